#!/bin/sh
# Run texts.py, where there is a Python. usage: texts.sh SOURCE_DIR
command -v python3 >/dev/null 2>&1 || { echo 'skipped: no python3'; exit 77; }
exec python3 "$1/tests/checks/texts.py" "$1"

#!/bin/sh
# Run every ```sh block of README.md, in order. usage: readme.sh SOURCE_DIR
set -eu
cd "$1"
awk '/^```sh$/ { on = 1; next } /^```/ { on = 0 } on' README.md >"${TMPDIR:-/tmp}/readme.$$"
trap 'rm -f "${TMPDIR:-/tmp}/readme.$$"' EXIT
[ -s "${TMPDIR:-/tmp}/readme.$$" ] || { echo 'README.md: no commands found'; exit 1; }
sh -eux "${TMPDIR:-/tmp}/readme.$$"

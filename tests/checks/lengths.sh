#!/bin/sh
# A report, not a check: files over 200 lines and functions over 80, to be read by a person. usage: lengths.sh SOURCE_DIR
set -eu
cd "$1"
find src include tools bench -name '*.[ch]' -type f | LC_ALL=C sort | xargs awk '
FNR == 1 { if (last > 200) printf "%5d lines  %s\n", last, name; name = FILENAME; start = 0 }
{ last = FNR }
/^[A-Za-z].*\) \{$/ { start = FNR; title = $0 }
/^}/ { if (start && FNR - start + 1 > 80) printf "%5d lines  %s:%d: %s\n", FNR - start + 1, FILENAME, start, title; start = 0 }
END { if (last > 200) printf "%5d lines  %s\n", last, name }'

#!/bin/sh
# Source text: no tab (but in makefiles), no trailing blank, no CR, a final newline, no leftover marker. usage: text.sh SOURCE_DIR
set -eu
cd "$1"
find . \( -path ./build -o -path ./.git -o -path ./models -o -path ./tests/fuzz/corpus -o -name data \) -prune -o -type f \
    ! -name LICENSE \( -name '*.[ch]' -o -name '*.md' -o -name '*.sh' -o -name '*.txt' -o -name '*.cmake' -o -name '*.in' \
    -o -name '*.json' -o -name '*.py' -o -name '*.cpp' -o -name Makefile -o -path './.ci/*' -o -name '.clang-*' \
    -o -name .editorconfig -o -name '.git[ai]*' \) -print | LC_ALL=C sort | xargs awk '
function fail(what) { printf "%s:%d: %s\n", FILENAME, FNR, what; bad = 1 }
FNR == 1 { files++ }
/\t/ && FILENAME !~ /Makefile$/ { fail("tab") }
/\r/ { fail("carriage return") }
/[ \t]$/ { fail("trailing blank") }
FILENAME ~ /\.[ch]$/ && /(TO)(DO)|(FIX)(ME)|(^|[^X])XXX([^X]|$)/ { fail("leftover marker") }
END {
    if (!bad) printf "%d files\n", files
    exit bad
}'
bad=0
for file in $(find src include tools tests -name '*.[ch]' -type f); do
    [ -z "$(tail -c 1 "$file")" ] || { echo "$file: no newline at the end"; bad=1; }
done
exit $bad

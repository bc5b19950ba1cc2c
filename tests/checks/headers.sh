#!/bin/sh
# Every header compiles alone: the public ones as C11 and C++11, the internal ones as C11. usage: headers.sh SOURCE_DIR CC [CXX]
set -eu
cd "$1"
strict='-fsyntax-only -Wall -Wextra -Wpedantic -Werror'
bad=0 count=0
check() { # compiler, arguments, header
    count=$((count + 1))
    # shellcheck disable=SC2086 # the arguments are a list
    printf '#include "%s"\n#include "%s"\n' "$3" "$3" | $1 $strict $2 - || { echo "$3: does not compile alone ($1 $2)"; bad=1; }
}
for header in include/foveate/*.h; do
    header=${header#include/}
    check "$2" '-x c -std=c11 -Iinclude' "$header"
    if [ -n "${3-}" ]; then check "$3" '-x c++ -std=c++11 -Iinclude' "$header"; fi
done
for header in src/*/*.h src/*/*/*.h; do
    [ -e "$header" ] || continue
    case $header in */avx2/* | */avx512/* | */amx/*) continue ;; esac # these need their instruction set's flags
    check "$2" '-x c -std=c11 -D_POSIX_C_SOURCE=200809L -Iinclude -Isrc' "${header#src/}"
done
[ $bad -eq 0 ] || exit 1
[ -n "${3-}" ] || echo 'no C++ compiler: headers not tried as C++'
echo "$count compilations"

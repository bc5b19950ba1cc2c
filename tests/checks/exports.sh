#!/bin/sh
# The shared library exports exactly the functions that the public headers declare. usage: exports.sh LIBRARY INCLUDE_DIR
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
nm -D --defined-only "$1" | awk '{ sub(/@.*/, "", $NF); print $NF }' | LC_ALL=C sort -u >"$work/exported"
# a declaration: FOV_API ... name( ; comments do not hold FOV_API
cat "$2"/foveate/*.h | grep -v "^#" | tr '\n' ' ' | grep -o 'FOV_API [^;(]*(' | sed 's/ *($//; s/.*[ *]//' | LC_ALL=C sort -u >"$work/declared"
[ -s "$work/exported" ] && [ -s "$work/declared" ] || { echo "nothing exported or nothing declared"; exit 1; }
LC_ALL=C comm -23 "$work/exported" "$work/declared" | sed 's/$/: exported, but not declared in a public header/' >"$work/bad"
LC_ALL=C comm -13 "$work/exported" "$work/declared" | sed 's/$/: declared in a public header, but not exported/' >>"$work/bad"
grep -v '^fov_' "$work/exported" | sed 's/$/: does not begin with fov_/' >>"$work/bad" || :
cat "$work/bad"
[ ! -s "$work/bad" ] || exit 1
echo "$(wc -l <"$work/exported") functions exported, all declared"

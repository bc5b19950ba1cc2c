#!/bin/sh
# clang-format changes nothing. Versions format differently, so only version 14 (Debian 12) judges; without it the check is
# skipped, or fails where FOV_REQUIRE_FORMAT is set. usage: format.sh SOURCE_DIR
set -eu
cd "$1"
for tool in clang-format-14 clang-format; do
    case $("$tool" --version 2>/dev/null) in *"version 14."*) break ;; esac
    tool=
done
if [ -z "$tool" ]; then
    echo 'clang-format 14 is not there'
    [ -z "${FOV_REQUIRE_FORMAT-}" ] || exit 1
    exit 77
fi
find src include tools tests bench bindings -name '*.[ch]' -type f 2>/dev/null | LC_ALL=C sort | xargs "$tool" --dry-run -Werror

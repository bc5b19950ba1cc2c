#!/bin/sh
# Run every fuzz target for a while, from its corpus; new inputs go to BUILD_DIR/corpus, a failing input is left in BUILD_DIR.
# usage: run.sh BUILD_DIR SECONDS
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$1"
for source in "$here"/fuzz_*.c; do
    name=$(basename "$source" .c)
    mkdir -p "corpus/${name#fuzz_}"
    program=$(find . -type f -name "$name" -perm -u+x)
    if ! "$program" -max_total_time="$2" -max_len=16384 -timeout=10 -print_final_stats=1 \
        "corpus/${name#fuzz_}" "$here/corpus/${name#fuzz_}" >"$name.log" 2>&1; then
        tail -60 "$name.log"
        echo "$name: failed; the input is in $PWD" >&2
        exit 1
    fi
    echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$name.log") inputs in $2 s, no failure"
done

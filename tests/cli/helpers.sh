# helpers.sh: what the scripts of this folder share; sourced with their arguments, PROGRAM SOURCE_DIR. Goes to an empty folder.
set -u
[ -x "$1" ] || { echo "$1 is not a program"; exit 1; }
program=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
shared=${FOV_SHARED:-$2/../shared}
place=$(mktemp -d) || exit 1
golden=$2/tests/golden
trap 'rm -rf "$place"' EXIT INT TERM
cd "$place" || exit 1
bad=0
cases=0

wrong() { echo "FAILED: $*"; bad=1; }

# run CODE ARGUMENT...: out and err hold what it wrote
run() {
    expected=$1
    shift
    cases=$((cases + 1))
    "$program" "$@" >out 2>err </dev/null
    code=$?
    [ "$code" -eq "$expected" ] || { wrong "exit $code, not $expected: foveate $*"; head -n 3 err; }
}
says() { grep -q -e "$1" err || { wrong "stderr does not say '$1':"; cat err; }; }
shows() { grep -q -e "$1" out || { wrong "stdout does not show '$1':"; head -n 5 out; }; }
one_line() { [ "$(wc -l <err)" -eq 1 ] || { wrong "stderr is not one line:"; cat err; }; }
refused() { run 2 "$@"; one_line; [ ! -s out ] || wrong "output beside a usage error: $*"; }
failed() { run 1 "$@"; one_line; }
lines() { [ "$(wc -l <"$1")" -eq "$2" ] || wrong "$1 has $(wc -l <"$1") lines, not $2"; }
json_lines() {
    command -v python3 >/dev/null 2>&1 || return 0
    python3 -c 'import json, sys
for line in open(sys.argv[1]): json.loads(line)' "$1" || wrong "$1 is not JSON lines"
}
json_file() {
    command -v python3 >/dev/null 2>&1 || return 0
    python3 -c 'import json, sys
json.load(open(sys.argv[1]))' "$1" || wrong "$1 is not JSON"
}

# helpers.sh: what the scripts of this folder share; sourced with their arguments, PROGRAM SOURCE_DIR. Goes to an empty folder.
set -u
[ -x "$1" ] || { echo "$1 is not a program"; exit 1; }
program=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
shared=${FOV_SHARED:-$2/../shared}
place=$(mktemp -d) || exit 1
golden=$2/tests/golden
tiny=$2/models/tiny-sentiment
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

# two texts that most cases read
printf 'a charming and often affecting journey\nit is slow and dull\n' >texts

# halved FOLDER: a model that computes in half the time: the embedded one's first two layers, the others' names hidden; no profile
halved() {
    mkdir "$1" && cp "$tiny/vocab.txt" "$tiny/tokenizer_config.json" "$1"
    sed 's/"num_hidden_layers": 4/"num_hidden_layers": 2/' "$tiny/config.json" >"$1/config.json"
    LC_ALL=C sed 's/encoder\.layer\.\([23]\)\./encoder.other.\1./g' "$tiny/model.safetensors" >"$1/model.safetensors"
}
# 160 different sentences of 16 tokens or so: some more than a profile of it needs. 60 texts to tune by, also labelled
sentences() {
    awk 'BEGIN { for (i = 0; i < 160; i++) print "film", i, "is not as", i % 7, "slow", i % 11, "as it is", i % 13, "dull" }' >sentences
}
mixed() {
    awk 'BEGIN { for (i = 0; i < 60; i++) print i % 3 ? "film " i " is a charming and often affecting journey" : "part " i " is slow and dull" }' >mixed
    awk 'BEGIN { print "sentence\tlabel" } { print $0 "\t" (/slow/ ? 0 : 1) }' mixed >mixed.tsv
}

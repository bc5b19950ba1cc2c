#!/bin/sh
# The grid behind docs/results/longformer.md, yoso.md and docs/methods/fastmax.md: one JSON per setting.
# usage: long.sh MODELS DATA OUT NAME...
#   MODELS holds the checkpoint folders; DATA: aapd/text_test, hnd/articles-*.xml and hnd-dev-ids.json, imdb/test.jsonl.xz and
#   glue/sst2/dev.tsv; OUT gets the JSON files (those there are kept). NAME: longformer-4096-*, bert-yoso-*, bert-fastmax2-*.
#   From the environment: IDS (DATA/hnd/hnd-dev-ids.json), SEEDS (4), LIMIT (examples; all, IMDB 1000), SETTINGS (only these), THREADS (all), FOVEATE (build/release/foveate).
set -eu
[ $# -gt 3 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
models=$1 data=$2 out=$3
shift 3
foveate=${FOVEATE:-build/release/foveate}
mkdir -p "$out"
for name in "$@"; do
    task=${name##*-} limit=${LIMIT:-} length= ids=
    case $name in
    longformer-4096-aapd) file=aapd/text_test length=512 ;;
    longformer-4096-hnd) file=$(cd "$data" && echo hnd/articles-*.xml) length=2048 ids=${IDS:-$data/hnd/hnd-dev-ids.json} ;;
    longformer-4096-imdb) file=imdb/test.jsonl.xz length=1024 limit=${LIMIT:-1000} ;;
    *-imdb) file=imdb/test.jsonl.xz length=512 limit=${LIMIT:-1000} ;;
    *-sst2) file=glue/sst2/dev.tsv length=128 ;;
    *) echo "$name: not one of this grid" >&2 && exit 2 ;;
    esac
    case $name in
    longformer-*) all="values:exact values:mca:alpha=.2,length=padded:$length values:mca:alpha=.4,length=padded:$length
        values:mca:alpha=.6,length=padded:$length values:mca:alpha=1,length=padded:$length values:mca:alpha=.03 values:mca:alpha=.1
        values:mca:alpha=.2" ;;
    bert-yoso-*) all="values:exact attention:yoso:tau=8,m=8 attention:yoso:tau=8,m=32 attention:yoso:tau=8,m=128
        attention:yoso:tau=8,m=512" ;;
    *) all=values:exact ;;
    esac
    for setting in ${SETTINGS:-$all}; do
        json=$out/$name.$(echo "$setting" | tr ':,=' '---').json
        [ ! -s "$json" ] || continue
        "$foveate" eval --task "$task" --data "$data/$file" --model "$models/$name" --max-length $length ${limit:+--limit "$limit"} \
            ${ids:+--ids "$ids"} "--${setting%%:*}" "${setting#*:}" --seeds "${SEEDS:-4}" ${THREADS:+--threads "$THREADS"} \
            --json "$json" --quiet >/dev/null
        echo "$json"
    done
done

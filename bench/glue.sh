#!/bin/sh
# The grid behind docs/results/glue.md: exact, and Monte-Carlo values at the paper's alphas in its padded convention, and on real lengths.
# usage: glue.sh MODELS GLUE OUT [NAME...]
#   MODELS holds the checkpoint folders, GLUE the task folders with dev.tsv, OUT gets one JSON per setting (those there are kept).
#   NAME: checkpoint folders, default all of the table. SEEDS (8), THREADS (all), FOVEATE (build/release/foveate) from the environment.
set -eu
models=$1 glue=$2 out=$3
shift 3
[ $# -gt 0 ] || set -- bert-base-uncased-cola bert-base-uncased-sst2 bert-base-uncased-mrpc bert-base-uncased-stsb bert-base-uncased-rte \
    distilbert-6-sst2 distilbert-6-mrpc distilbert-6-stsb distilbert-6-cola
foveate=${FOVEATE:-build/release/foveate}
mkdir -p "$out"
for name in "$@"; do
    task=${name##*-}
    for values in exact mca:alpha=.2,length=padded:128 mca:alpha=.4,length=padded:128 mca:alpha=.6,length=padded:128 \
        mca:alpha=1,length=padded:128 ${REAL:-mca:alpha=.03 mca:alpha=.05 mca:alpha=.1}; do
        json=$out/$name.$(echo "$values" | tr ':,=' '---').json
        [ ! -s "$json" ] || continue
        "$foveate" eval --task "$task" --data "$glue/$task/dev.tsv" --model "$models/$name" --values "$values" --seeds "${SEEDS:-8}" \
            ${THREADS:+--threads "$THREADS"} --json "$json" --quiet >/dev/null
        echo "$json"
    done
done

#!/bin/sh
# What the program says of itself and of wrong arguments: exit codes, messages of one line. usage: usage.sh PROGRAM SOURCE_DIR
. "$2/tests/cli/helpers.sh"

run 2
says 'usage: foveate'
run 0 --version
shows '^foveate [0-9]'
run 0 --help
shows 'classify'
refused clasify
says "did you mean 'classify'"
refused serve
refused --frobnicate
refused classify --fromat table
says 'did you mean --format'
refused classify --format xml
says 'table, jsonl, tsv'
refused classify --threads 0
refused classify --threads many
refused classify --max-length 2
refused classify --format
refused classify --threads 1 --quiet --quiet -t 2
says '^foveate: --threads: given twice'
refused classify ''
says 'the name is empty'
refused classify a b
refused classify --values mcaa
refused classify --values mca:alhpa=1
refused classify --attention nothing
refused classify --attention topk:k=0
says 'k=0 is outside'
refused classify --attention topk:k=-3
says 'k=-3 is outside'
refused classify --attention topk:scores=int4
says 'f32|int8'
refused classify --dtype f23
says 'f32, bf16 and int8'
refused eval --data x
refused eval --task sst2
refused eval --task sst3 --data x
says "did you mean 'sst2'"
refused eval --task sst2 --data x --json y --dump y
printf 'sentence\tlabel\nfine\t1\n' >data.tsv
refused eval --task sst2 --data data.tsv --json ./data.tsv
says 'it would replace data.tsv'
refused eval --task sst2 --data data.tsv --json absent-yet --dump ./absent-yet
printf 'a\n' >text_x
printf '1\n' >label_x
refused eval --task aapd --data text_x --dump ./label_x
says 'it would replace label_x'
failed eval --task aapd --data data.tsv
says "no 'text'"
refused embed --resume
refused embed --normalize --no-normalize
refused bench --compare frobnicate
refused bench --task sst2
refused bench nothing
refused bench attention --method densest
refused bench attention --max-length 511
refused completion
refused completion tcsh
refused help nothing
for command in classify embed eval fill-mask tag rerank tokenize explain calibrate tune import methods info bench completion help; do
    run 0 help $command
    shows "usage: foveate $command"
    cp out first
    run 0 $command --help
    cmp -s out first || wrong "help $command and $command --help differ"
done
run 0 help --man
shows '^.TH FOVEATE 1'
run 0 completion bash
if command -v bash >/dev/null 2>&1; then bash -n out || wrong 'bash completion does not parse'; fi
run 0 completion zsh
run 0 completion fish
run 0 methods
shows '  exact:'
run 0 methods --json
json_file out
run 0 info --json
json_file out
run 0 info
shows 'tiny-sentiment'

[ $bad -eq 0 ] && echo "$cases cases"
exit $bad

#!/bin/sh
# The commands that read texts or pairs, as a user sees them: output, streams, failures. usage: classify.sh PROGRAM SOURCE_DIR
. "$2/tests/cli/helpers.sh"

run 0 classify texts
lines out 2
shows 'positive'
says '^foveate: 2 texts, .* 0 truncated'
one_line
run 0 classify --format tsv --quiet texts
cut -f 1 out >labels
for dtype in f32 bf16 int8; do
    run 0 classify --format tsv --quiet --dtype $dtype texts
    cut -f 1 out | cmp -s - labels || wrong "--dtype $dtype: other labels"
    run 0 classify --format tsv --quiet --dtype $dtype --values mca texts
    lines out 2
done
for dtype in bf16 int8; do
    refused classify --dtype $dtype --ffn topk texts
    says 'dtype f32'
done
run 0 classify --quiet texts
[ ! -s err ] || wrong '--quiet is not quiet'
run 0 classify --format jsonl texts
lines out 2
json_lines out
shows '"label": "positive", "score": 0.99'
run 0 classify --format tsv texts
awk -F '\t' 'NF != 6 { exit 1 }' out || wrong 'tsv has not 6 fields'
run 0 classify
[ ! -s out ] || wrong 'output for an empty input'
says '^foveate: 0 texts'
printf '\n\nlast' >empty
run 0 classify --format jsonl empty
lines out 3
says '(2 empty)'
printf 'caf\351 noir\n\377\376\n' >invalid
run 0 classify --format jsonl invalid
lines out 2
json_lines out
says '2 with invalid UTF-8'
awk 'BEGIN { for (i = 0; i < 2000; i++) printf "word "; print "" }' >long
run 0 classify --format jsonl --max-length 16 long
shows '"tokens": 16, "truncated": [1-9]'
says '1 truncated'
printf 'one\ttwo\n' >pairs
run 0 classify --pairs --format jsonl pairs
json_lines out
printf 'one\ttwo\nthree\n' >pairs
failed classify --pairs pairs
says 'pairs: line 2: no TAB'
failed classify absent
says 'absent: cannot open'
failed classify --model absent texts
failed classify .
failed classify --output absent/x texts
says 'absent/x: cannot write'
cp texts kept
ln -s texts linked
mkdir folder
for name in texts ./texts linked folder/../texts; do
    refused classify --output $name texts
    says "would replace the input $name"
    refused embed --output $name texts
done
"$program" classify texts >>texts 2>err # would read what it writes, for ever
[ $? -eq 2 ] || wrong 'output appended to the input is not refused'
says 'texts: it is also the output'
one_line
cmp -s texts kept || wrong 'the input was changed'
if [ -e /dev/full ]; then
    "$program" classify texts >/dev/full 2>err
    [ $? -eq 1 ] || wrong 'a full device is not a failure'
    says 'standard output: cannot write: No space left'
fi
run 0 classify --quiet --format tsv --output saved texts
lines saved 2
[ ! -s out ] || wrong 'output beside --output'
[ "$(find . -name 'saved*' | wc -l)" -eq 1 ] || wrong 'a temporary file was left'
# the same bytes from standard input, and with any number of threads
"$program" classify --quiet --format tsv --threads 1 <texts >out 2>err
cmp -s out saved || wrong 'one thread gives other bytes'
# stopped by a signal while it waits for more: nothing is left, and it ends by that signal
mkfifo more
"$program" classify --quiet --output stopped <more 2>err &
stopped=$!
exec 3>more
echo 'a text' >&3
while kill -0 $stopped 2>/dev/null && [ -z "$(find . -name '*stopped*')" ]; do :; done
kill -TERM $stopped
wait $stopped
[ $? -eq 143 ] || wrong 'it does not end by SIGTERM'
exec 3>&-
[ -z "$(find . -name '*stopped*')" ] || wrong 'a stopped run leaves a file'
# an approximate run names what it really cost
run 0 classify --values mca:alpha=0.2 texts
says 'values mca:alpha=0.2.*real tokens'
# closed streams: nothing is taken for them
"$program" classify texts >&- 2>err
[ $? -eq 1 ] || wrong 'a closed standard output is not a failure'
says 'standard output: cannot write: Bad file descriptor'
"$program" classify --output unseen --quiet texts >&- 2>&-
[ $? -eq 0 ] || wrong 'closed streams harm an output file'
lines unseen 2
"$program" classify <&- 2>err
[ $? -eq 1 ] || wrong 'a closed standard input is not a failure'
# a file size limit is a full disk
awk 'BEGIN { for (i = 0; i < 3000; i++) print "dull" }' >limited
(ulimit -f 1 && "$program" embed --quiet --model "$golden/roberta-single" --output limited.npy limited 2>limited.err)
[ $? -eq 1 ] || wrong 'a file size limit is not a failure'
grep -q 'limited.npy.partial: cannot write: File too large' limited.err || { wrong 'file size limit:'; cat limited.err; }
[ -e limited.npy.partial ] && wrong 'a partial file was left'
# a closed pipe ends it quietly
awk 'BEGIN { for (i = 0; i < 5000; i++) print "dull" }' >many
{ "$program" classify --model "$golden/roberta-single" --format jsonl many 2>err; echo $? >status; } | head -n 1 >out
[ "$(cat status)" -eq 1 ] || wrong "closed pipe: exit $(cat status)"
[ ! -s err ] || { wrong 'closed pipe: not quiet'; cat err; }
{ "$program" help --man 2>err; echo $? >status; } | true

# tokenize, explain, fill-mask
run 0 tokenize 'a charm'
shows 'charm'
run 0 tokenize --format jsonl 'a' 'b c'
lines out 2
json_lines out
run 0 explain --color never 'a charming journey'
shows 'layer  mean importance'
run 0 explain --color always 'a charming journey'
shows '48;5;'
[ "$(grep -c '48;5;' out)" -eq 2 ] || wrong 'explain does not shade by importance and by work'
grep '^work' out | grep -q '48;5;231m' && wrong 'exact work is not the darkest shade'
run 0 explain --color auto 'a charming journey'
grep -q "$(printf '\033')" out && wrong 'explain colours what is no terminal'
if command -v script >/dev/null 2>&1; then
    script -qec "'$program' explain 'a charming journey'" typed </dev/null >/dev/null
    grep -q '48;5;' typed || wrong 'explain does not colour a terminal'
    script -qec "NO_COLOR=1 '$program' explain 'a charming journey'" typed </dev/null >/dev/null
    grep -q '48;5;' typed && wrong 'explain does not heed NO_COLOR'
fi
run 0 explain --json 'a charming journey'
json_lines out
shows '"head_work": \[\[1.0, 1.0, 1.0, 1.0\]'
failed explain --attention yoso 'a charming journey'
says 'no importance to explain'
failed fill-mask 'a [MASK]'
says 'masked-LM head'
failed embed --model absent texts

# tag, rerank: small models with random weights; the order is that of tests/golden/bert-rerank/expected.json
run 0 tag --model "$golden/bert-tags" --format tsv 'the film is' 'not good'
lines out 5
tr '\t' ' ' <out >blanks
mv blanks out
shows '^1 2 film LABEL_[0-3] 0\.[0-9]*$'
shows '^2 1 not '
run 0 tag --model "$golden/roberta-tags" --format jsonl 'the film'
json_lines out
shows '"token": "Ġfilm"'
failed tag 'a charm'
says 'does not label tokens'
failed classify --model "$golden/bert-tags" texts
says "use 'foveate tag'"
for document in 'the film is very good .' 'the ending is slow !' x 'not a film' 'bad, bad, very bad endings'; do
    printf 'is the film good?\t%s\n' "$document"
done >pairs.tsv
printf 'a slow ending\tx\na slow ending\tnot a film\n' >>pairs.tsv
run 0 rerank --model "$golden/bert-rerank" --format tsv pairs.tsv
cut -f 1,2,4 out | tr '\t\n' ', ' >order
[ "$(cat order)" = '1,1,5 1,2,1 1,3,3 1,4,2 1,5,4 2,1,7 2,2,6 ' ] || { wrong 'order of rerank:'; cat order; }
run 0 rerank --model "$golden/bert-rerank" --top 1 --format jsonl pairs.tsv
lines out 2
json_lines out
run 0 rerank --model "$golden/bert-sharded" --top 1 pairs.tsv
lines out 5
printf 'no tab\n' >untabbed.tsv
failed rerank --model "$golden/bert-rerank" untabbed.tsv
failed rerank --model "$golden/bert-tags" pairs.tsv
says 'does not score pairs'

# the published development set, with the figure of the reference implementation
if [ -r "$shared/data/glue/sst2/dev.tsv" ]; then
    run 0 eval --task sst2 --data "$shared/data/glue/sst2/dev.tsv" --quiet --json eval.json
    grep -q '"mean": 0.8566513' eval.json || { wrong 'SST-2 is not .856651'; cat out; }
    grep -q '"tokens": 23336' eval.json || wrong 'SST-2 has not 23336 tokens'
else
    echo "skipped: $shared is absent"
fi

[ $bad -eq 0 ] && echo "$cases cases"
exit $bad

#!/bin/sh
# The program as a user sees it: exit codes, messages of one line, streams. usage: cli.sh PROGRAM SOURCE_DIR
. "$2/tests/cli/helpers.sh"

# usage
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

# classify
printf 'a charming and often affecting journey\nit is slow and dull\n' >texts
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
(ulimit -f 1 && "$program" embed --quiet --output limited.npy limited 2>limited.err)
[ $? -eq 1 ] || wrong 'a file size limit is not a failure'
grep -q 'limited.npy.partial: cannot write: File too large' limited.err || { wrong 'file size limit:'; cat limited.err; }
[ -e limited.npy.partial ] && wrong 'a partial file was left'
# a closed pipe ends it quietly
awk 'BEGIN { for (i = 0; i < 5000; i++) print "dull" }' >many
{ "$program" classify --format jsonl many 2>err; echo $? >status; } | head -n 1 >out
[ "$(cat status)" -eq 1 ] || wrong "closed pipe: exit $(cat status)"
[ ! -s err ] || { wrong 'closed pipe: not quiet'; cat err; }
{ "$program" help --man 2>err; echo $? >status; } | true

# embed
run 0 embed texts
lines out 2
json_lines out
run 0 embed --format tsv --normalize texts
awk -F '\t' '{ s = 0; for (i = 1; i <= NF; i++) s += $i * $i; if (NF != 256 || s < .9999 || s > 1.0001) exit 1 }' out ||
    wrong 'not 256 columns of length 1'
run 0 embed --quiet --output x.npy texts
[ "$(wc -c <x.npy)" -eq $((256 + 2 * 256 * 4)) ] || wrong 'x.npy has not 2 rows of 256'
cp x.npy good.npy
failed embed --output absent/x.npy texts
failed embed --output x.npy absent
cmp -s x.npy good.npy || wrong 'a failure touched x.npy'
# a run that is stopped by a bad line, then taken up, gives the same file
awk 'BEGIN { for (i = 0; i < 1500; i++) print "text " i "\tpair" }' >whole
awk 'NR == 1300 { print "no pair"; next } { print }' whole >torn
run 0 embed --quiet --pairs --output all.npy whole
failed embed --quiet --pairs --output part.npy --resume torn
[ -e part.npy ] && wrong 'an unfinished part.npy is there'
[ -e part.npy.partial ] || wrong 'nothing was kept'
failed embed --quiet --pairs --output part.npy --resume --pooling cls whole
says 'other settings'
sed 1s/text/other/ whole >other
failed embed --quiet --pairs --output part.npy --resume other
says 'first .* lines are not those'
run 0 embed --pairs --output part.npy --resume whole
says '1024 rows are done'
cmp -s part.npy all.npy || wrong 'the resumed file differs'
failed embed --quiet --pairs --output part.npy --resume torn
cp part.npy.partial partial
failed embed --quiet --pairs --output part.npy whole
says 'go on from them with --resume, or remove it'
cmp -s part.npy.partial partial || wrong 'rows of an unfinished run were lost'
run 0 embed --quiet --pairs --output part.npy --resume whole
[ -e part.npy.partial ] && wrong 'part.npy.partial stays'
# weights that were replaced in place are another model; the same files in another folder are the same
mkdir one two && cp -r "$2/models/tiny-sentiment" one/model && cp -r "$2/models/tiny-sentiment" two/renamed
failed embed --quiet --pairs --model one/model --output part2.npy --resume torn
printf '\001\002\001\002' | dd of=one/model/model.safetensors bs=1 seek=10900000 conv=notrunc 2>dd.err || cat dd.err
failed embed --quiet --pairs --model one/model --output part2.npy --resume whole
says "the model's files have changed"
run 0 embed --quiet --pairs --model two/renamed --output part2.npy --resume whole
cmp -s part2.npy all.npy || wrong 'the resumed file differs'

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

# eval
printf 'sentence\tlabel\na charming and often affecting journey\t1\nit is slow\t0\n"a bore\tnegative\n' >sst2.tsv
run 0 eval --task sst2 --data sst2.tsv --json eval.json --dump dump.jsonl
shows 'accuracy  *1.0000'
json_file eval.json
lines dump.jsonl 3
json_lines dump.jsonl
run 0 eval --task sst2 --data sst2.tsv --values mca:alpha=0.4 --seeds 3 --quiet --json eval.json
shows 'over 3 seeds'
grep -q '"seeds": 3' eval.json || wrong 'eval.json does not say 3 seeds'
run 0 eval --task sst2 --data sst2.tsv --seeds 3
says 'one seed is enough'
printf 'sentence\tlabel\nx\tmaybe\n' >label.tsv
failed eval --task sst2 --data label.tsv
says "label.tsv: line 2, column 'label': the model has no label 'maybe': it has negative, positive"
failed eval --task mrpc --data sst2.tsv
says "no column '#1 String'"
failed eval --task stsb --data sst2.tsv
says 'does not fit'
failed eval --task sst2 --data sst2.tsv --json absent/x.json
# the page: its values are the JSON's, and texts, labels and names from outside stay text
failed eval --task sst2 --data sst2.tsv --report absent/x.html
failed eval --task sst2 --data absent-too --report absent/x.html
says 'absent/x.html: cannot write'
refused eval --task sst2 --data sst2.tsv --report ./sst2.tsv
refused eval --task sst2 --data sst2.tsv --json same --report ./same
refused eval --task sst2 --data sst2.tsv --report x.html --compare values=mcaa
refused eval --task sst2 --data sst2.tsv --report x.html --compare '<b>'
failed eval --task sst2 --data label.tsv --report x.html
[ -e x.html ] && wrong 'a failure left a page'
hostile="it's <i>&\"x.tsv"
printf 'sentence\tlabel\n<script>alert(1)</script> &amp; "a" </span><b>\t1\n\001\002 \303\050 \342\200\256 slow\t0\n' >"$hostile"
mkdir "<u>&'\"" && cp "$2"/models/tiny-sentiment/* "<u>&'\""
sed 's/"positive"/"<img src=x onerror=alert(1)>"/' "$2/models/tiny-sentiment/config.json" >"<u>&'\"/config.json"
grep -q onerror "<u>&'\"/config.json" || wrong 'no hostile label'
run 0 eval --model "<u>&'\"" --task sst2 --data "$hostile" --values mca:alpha=.4 --report page.html --json page.json --quiet \
    --compare 'attention=topk:k=4;ffn=topk:k=99' --compare values=mca:alpha=1 --seeds 4 --rounds 2 --dump page.jsonl
shows 'compared, 4 passes in turn'
json_file page.json
if command -v python3 >/dev/null 2>&1; then
    python3 "$2/tests/cli/report.py" page.html page.json || wrong 'the page is not as it should be'
fi
run 0 eval --task sst2 --data sst2.tsv --attention yoso --report page.html --quiet
grep -q 'No weights to show' page.html || wrong 'the page hides that yoso has no weights'
run 0 eval --task sst2 --data sst2.tsv --report page.html --json page.json --quiet --limit 1
if command -v python3 >/dev/null 2>&1; then
    python3 "$2/tests/cli/report.py" page.html page.json || wrong 'the page of one text is not as it should be'
fi
run 0 bench --limit 4 --repeat 2 --quiet --compare values=mca:alpha=.4 --json
json_file out
run 0 bench --limit 4 --repeat 2 --quiet --data texts --compare 'attention=dense;values=mca:alpha=.4'
shows 'of peak'
run 0 bench attention --max-length 1024 --head-size 8 --quiet --json
json_file out
grep -q '"workspace"' out || wrong 'bench attention --json has no workspace'
run 0 bench attention --max-length 512 --head-size 8 --threads 1 --quiet
shows 'dense '
run 0 bench attention --max-length 2048 --head-size 8 --threads 1 --quiet --exact-length 1024 --method topk:k=4096 --method yoso \
    --method yoso:m=4
shows '^# left out from T = 2048 on: --exact-length says so'
shows '^# extrapolated by T^2 from the longest measured: .* seconds at T = 2048'
shows '^# extrapolated: at T = 2048 .* times as fast as dense would be'
shows '^# error against yoso'
[ "$(grep -c '^2048 ' out)" -eq 3 ] || wrong 'an extrapolated time stands among the measured ones'
# all keys kept: exact. Sampled against its expectation: neither none nor all is wrong
awk '/^topk/ { exact = 1 } /^yoso / { exact = 0 } /^yoso:m=4/ { sampled = 1 }
     exact && /^1024 / && !($5 < 1e-5) { exit 1 } sampled && /^1024 / && !($5 > .01 && $5 < 1.5) { exit 1 }' out ||
    { wrong 'errors of bench attention'; cat out; }

# calibrate
refused calibrate
says '--data is missing'
refused calibrate --data texts
says '--output is missing'
refused calibrate --data texts --output ./texts
says 'it would replace texts'
refused calibrate --data texts --output p --dtype bf16
failed calibrate --data absent --output p
failed calibrate --data texts --output p
says 'too few texts: 2 with .* needs 2048 tokens, about [0-9]* such texts'
[ -e p ] && wrong 'a profile of too few texts is there'
awk 'BEGIN { for (i = 0; i < 400; i++) print "film", i, "is not as", i % 7, "slow", i % 11, "as it is", i % 13, "dull" }' >sentences
run 0 calibrate --data sentences --output p --threads 2
says '400 texts'
one_line
awk '{ line[NR] = $0 } END { for (i = NR; i; i--) print line[i] }' sentences >backwards
run 0 calibrate --data backwards --output q --threads 1 --quiet
cmp -s p q || wrong 'the order of the texts changes the profile'
for dtype in bf16 int8; do
    run 0 classify --dtype $dtype --values regress --profile p texts
    lines out 2
    refused classify --dtype $dtype --values poisson --profile p texts
    says 'dtype f32'
done
for values in regress lowrank poisson mca:p=calibrated; do
    run 0 classify --values $values --profile p texts
    lines out 2
    failed classify --values $values --profile q.absent texts
done
run 0 classify --values regress --ffn guided texts # the embedded profile
run 0 info --values regress --ffn guided
shows 'held out of the fits: [1-9]'
[ "$(grep -c '^ *[1-4]   *[01]\.' out)" -eq 8 ] || { wrong 'errors of four layers, twice'; cat out; }
run 0 info --values lowrank --json
json_file out
shows '"held_texts"'
refused info --values regress --attention yoso
cp -r "$2/models/tiny-sentiment" calibrated
rm calibrated/foveate-profile.safetensors
failed classify --model calibrated --values regress texts
says 'foveate calibrate --model calibrated'
run 0 calibrate --model calibrated --data sentences --quiet
run 0 classify --model calibrated --values regress texts
failed classify --model "$golden/bert-single-f32" --values regress --profile p texts
says 'other weights'

# tune: by counted work, so that nothing here depends on time
awk 'BEGIN { for (i = 0; i < 60; i++) print i % 3 ? "film " i " is a charming and often affecting journey" : "part " i " is slow and dull" }' >mixed
awk 'BEGIN { print "sentence\tlabel" } { print $0 "\t" (/slow/ ? 0 : 1) }' mixed >mixed.tsv
refused tune
says '--data is missing'
refused tune --data mixed
says '--output is missing'
refused tune --data mixed --model calibrated --values regress
refused tune --data mixed --model calibrated --max-loss much
says "'much' is not a number from 0 to 50"
refused tune --data mixed --model calibrated --confidence 95
says 'e.g. --confidence .95'
refused tune --data mixed --model calibrated --confidence .95 --max-loss 0
says 'no number of texts'
refused tune --data mixed.tsv --task sst2 --model calibrated --pairs
refused tune --data mixed --dry-run --output x
refused tune --data mixed --model calibrated --output ./mixed
says 'it would replace mixed'
failed tune --data texts --model calibrated
says 'too few texts: 2; a loss of 0.5 points needs at least 400'
# ln(.05) / ln(.95) = 58.4
failed tune --data mixed --model calibrated --max-loss 5 --confidence .95
says 'too few texts: 60; a bound of 5 points at 95 % needs at least 118'
awk 'BEGIN { for (i = 0; i < 60; i++) print "part", i, "is slow and dull" }' >dull
failed tune --data dull --model calibrated --max-loss 5
says "exact's answer is the same for all 30 texts of the first half ('negative')"
sed 's/0$/1/' mixed.tsv >one.tsv
failed tune --data one.tsv --task sst2 --model calibrated --max-loss 5
says "the label is the same for all 30 texts of the first half ('positive')"
failed tune --data mixed --model "$golden/bert-tags" --max-loss 5
says 'a --model that classifies'
[ "$(find calibrated -name "*.journal")" ] && wrong "a refused run left a journal"
failed classify --model calibrated --tuned texts
says "run 'foveate tune --model calibrated' first"
refused classify --tuned texts
says 'the embedded model has no folder'
run 0 tune --data mixed.tsv --task sst2 --model calibrated --max-loss 5 --by work --threads 1 --json whole.json
shows '^taken: '
shows 'written to calibrated/foveate-tuned.json'
json_file whole.json
json_file calibrated/foveate-tuned.json
[ -e calibrated/foveate-tuned.json.journal ] && wrong 'the journal of a finished run stays'
run 0 classify --model calibrated --tuned texts
lines out 2
values=$(sed -n 's/^  "values": "\(.*\)",$/\1/p' calibrated/foveate-tuned.json | head -n 1)
says "values $values"
refused classify --model calibrated --tuned --values exact:x texts
refused classify --model calibrated --tuned --values mca texts
says 'it decides --values and --ffn'
refused classify --model calibrated --tuned --attention topk:k=4 texts
refused classify --model calibrated --tuned --dtype bf16 texts
# cut off in the middle of a line of its journal, then taken up: the same setting
cp calibrated/foveate-tuned.json kept.json
chosen() { sed -n 's/^  "chosen": //p' "$1"; }
(ulimit -f 3 && "$program" tune --data mixed.tsv --task sst2 --model calibrated --max-loss 5 --by work --threads 1 >out 2>err)
[ $? -eq 1 ] || wrong 'a journal that cannot be written is not a failure'
says 'foveate-tuned.json.journal: cannot write: File too large'
cmp -s calibrated/foveate-tuned.json kept.json || wrong 'an interrupted run changed the setting'
failed tune --data mixed --model calibrated --max-loss 5 --by work --threads 1
says 'another data'
failed tune --data mixed.tsv --task sst2 --model calibrated --max-loss 5 --by work --threads 1 --swap
says 'another swap'
run 0 tune --data mixed.tsv --task sst2 --model calibrated --max-loss 5 --by work --threads 1 --json resumed.json
says '[1-9][0-9]* measurements are done'
[ "$(chosen whole.json)" = "$(chosen resumed.json)" ] || wrong 'the resumed run took another setting'
# nothing is taken, nothing is changed; what was tried is told all the same
cp calibrated/foveate-tuned.json kept.json
failed tune --data mixed --model calibrated --max-loss 5 --budget .01 --by work --json none.json --attention topk:k=2 --limit 1
says 'too few texts'
cmp -s calibrated/foveate-tuned.json kept.json || wrong 'a failed run changed the setting'
printf '\001\002\001\002' | dd of=calibrated/model.safetensors bs=1 seek=10900000 conv=notrunc 2>dd.err || cat dd.err
failed classify --model calibrated --tuned texts
says 'tuned for other weights'
run 0 tune --data mixed --dry-run --max-loss 5 --by work --quiet # with the embedded profile, whose levels are few
shows '  values=regress:lambda=0.02 '
shows '  ffn=narrow:m=160 '
shows 'left out: ffn=narrow:m=320: m=320 is no level'
cp -r "$2/models/tiny-sentiment" bare
rm bare/foveate-profile.safetensors
run 0 tune --data mixed --model bare --dry-run --max-loss 5 --by work --quiet
shows 'left out: regress.*foveate calibrate'
shows 'nothing written'

# a packed model: the same results in every command, type and tier
tiny=$2/models/tiny-sentiment
refused import
says '^foveate: --pack is missing'
refused import --pack
says '^foveate: --model is missing'
refused import --pack --model "$tiny"
says '^foveate: --output is missing'
refused import --pack --verify --model "$tiny" --output packed
refused import --verify --model "$tiny" --output packed
refused import --pack --model "$tiny" --output packed --dtype int4
failed import --pack --model absent --output packed
says 'no such folder'
failed import --pack --model "$tiny" --output absent/packed
[ -e packed ] && wrong 'a refused import left a file'
for dtype in f32 bf16 int8; do
    run 0 import --pack --model "$tiny" --dtype $dtype --output packed-$dtype
    says "^foveate: packed-$dtype: .* MB, packed in"
    one_line
    ls -l packed-$dtype | grep -q '^-r--[r-]--[r-]--' || wrong 'a packed file is not read-only'
    run 0 classify --quiet --format jsonl --model "$tiny" --dtype $dtype texts
    cp out plain
    run 0 classify --quiet --format jsonl --model packed-$dtype texts
    cmp -s out plain || wrong "packed in $dtype: other results"
    run 0 embed --quiet --model "$tiny" --dtype $dtype --output plain.npy texts
    run 0 embed --quiet --model packed-$dtype --output shared.npy texts
    cmp -s plain.npy shared.npy || wrong "packed in $dtype: other vectors"
    for tier in ref avx2 avx512; do
        FOV_CPU=$tier "$program" info >out 2>err || continue # this processor lacks it
        FOV_CPU=$tier "$program" import --pack --model "$tiny" --dtype $dtype --output packed-$tier --quiet 2>err || wrong "import on $tier"
        cmp -s packed-$tier packed-$dtype || wrong "packed on $tier: other bytes"
        rm -f packed-$tier
        FOV_CPU=$tier "$program" classify --quiet --format jsonl --model "$tiny" --dtype $dtype texts >plain
        FOV_CPU=$tier "$program" classify --quiet --format jsonl --model packed-$dtype texts >out
        cmp -s out plain || wrong "packed in $dtype, on $tier: other results"
    done
done
if [ "$(id -u)" -ne 0 ]; then
    failed import --pack --model "$tiny" --output packed-f32
    says 'Permission denied'
fi
mkdir shelf
run 0 import --pack --model "$tiny/" --dtype int8 --output shelf --quiet
cmp -s shelf/tiny-sentiment-int8.safetensors packed-int8 || wrong 'import to a folder'
run 0 info --model shelf/tiny-sentiment-int8.safetensors
shows '^model  *tiny-sentiment '
shows 'held as int8'
refused classify --model packed-int8 --dtype bf16 texts
says 'packed as int8, not bf16'
refused calibrate --model packed-int8 --data texts
says 'packed as int8'
failed import --pack --model packed-int8 --output again
says 'not a folder'
failed classify --model packed-f32 --values regress texts
says '^foveate: \./foveate-profile.safetensors: .*calibrate --model CHECKPOINT --data TEXTS --output \./foveate-profile.safetensors'
cp p shelf/foveate-profile.safetensors
run 0 classify --model shelf/tiny-sentiment-int8.safetensors --values regress texts
failed classify --model shelf/tiny-sentiment-int8.safetensors --tuned texts
says '^foveate: shelf/foveate-tuned.json'
run 0 import --verify --model packed-f32
says 'every byte is as it was written'
failed import --verify --model "$tiny"
says 'packed file'
cp packed-f32 damaged && chmod u+w damaged
printf 'a' | dd of=damaged bs=1 seek=9000000 conv=notrunc 2>dd.err || cat dd.err
run 0 classify --quiet --model damaged texts
failed import --verify --model damaged
says 'not those that were written'
head -c 9000000 packed-f32 >short
failed classify --model short texts
says 'short: '
failed classify --model "$tiny/model.safetensors" texts
says 'no packed model'
rm -f packed-* damaged short

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

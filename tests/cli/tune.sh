#!/bin/sh
# Calibrating and tuning as a user does. usage: tune.sh PROGRAM SOURCE_DIR
. "$2/tests/cli/helpers.sh"

sentences
mixed
halved calibrated
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
run 0 calibrate --model calibrated --data sentences --output p --threads 2
says '160 texts'
one_line
for dtype in bf16 int8; do
    run 0 classify --dtype $dtype --values regress --model calibrated --profile p texts
    lines out 2
    refused classify --dtype $dtype --values poisson --model calibrated --profile p texts
    says 'dtype f32'
done
for values in regress lowrank poisson mca:p=calibrated; do
    run 0 classify --values $values --model calibrated --profile p texts
    lines out 2
    failed classify --values $values --model calibrated --profile q.absent texts
done
run 0 classify --values regress --ffn guided texts # the embedded profile
run 0 info --values regress --ffn guided
shows 'held out of the fits: [1-9]'
[ "$(grep -c '^ *[1-4]   *[01]\.' out)" -eq 8 ] || { wrong 'errors of four layers, twice'; cat out; }
run 0 info --values lowrank --json
json_file out
shows '"held_texts"'
refused info --values regress --attention yoso
failed classify --model calibrated --values regress texts
says 'foveate calibrate --model calibrated'
run 0 calibrate --model calibrated --data sentences --quiet
cmp -s calibrated/foveate-profile.safetensors p || wrong 'the same profile has other bytes'
run 0 classify --model calibrated --values regress texts
failed classify --model "$golden/bert-single-f32" --values regress --profile p texts
says 'other weights'

# tune: by counted work, so that nothing here depends on time
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
shows '  values=regress:lambda=0.8 '
shows '  ffn=narrow:m=160 '
shows 'left out: ffn=narrow:m=64: m=64 is no level'
halved bare
run 0 tune --data mixed --model bare --dry-run --max-loss 5 --by work --quiet
shows 'left out: regress.*foveate calibrate'
shows 'nothing written'

[ $bad -eq 0 ] && echo "$cases cases"
exit $bad

#!/bin/sh
# Calibration and tuning with bad input, interrupted, and in other orders. usage: calibrate.sh PROGRAM SOURCE_DIR
. "$2/tests/cli/helpers.sh"
sentences
mixed
halved model
run 0 calibrate --model model --data sentences --quiet --threads 2
profile=model/foveate-profile.safetensors
cp $profile kept

# texts that give no profile
: >none
failed calibrate --data none --output q
says 'no texts: a profile of this model needs 2048 tokens'
awk 'BEGIN { for (i = 0; i < 3000; i++) print i % 2 ? "" : " \t " }' >blank
failed calibrate --data blank --output q
says 'no texts: all 3000 are blank: a profile of this model needs 2048 tokens'
awk 'BEGIN { for (i = 0; i < 3000; i++) print i % 2 ? "\t" : " \t " }' >blank.pairs
failed calibrate --pairs --data blank.pairs --output q
says 'no texts: all 3000 are blank'
# "part 3 is slow and dull" has 8 tokens
awk 'BEGIN { for (i = 0; i < 3000; i++) print i % 300 ? "" : "part " i / 300 " is slow and dull" }' >mostly
failed calibrate --data mostly --output q
says 'too few texts: 10 with 80 tokens (and 2990 blank), but .* needs 2048 tokens, about 256 such texts'
awk 'BEGIN { for (i = 0; i < 300; i++) print "part 1 is slow and dull" }' >same
failed calibrate --model model --data same --output q
says 'too few different texts: of 300, '
failed calibrate --pairs --data sentences --output q
says 'sentences: line 1: no TAB'
[ "$(find . -name 'q*')" ] && wrong 'a refused calibration left a file'

# neither order nor threads, nor texts that are there twice, cut off or blank, among them
awk '{ print } NR % 9 == 0 { print ""; print "the same again" } NR % 50 == 0 { for (i = 0; i < 40; i++) printf "%s ", $0; print "" }' \
    sentences >various
awk '{ line[NR - 1] = $0 } END { for (i = 0; i < NR; i++) print line[i * 359 % NR] }' various >permuted
[ "$(sort various | cksum)" = "$(sort permuted | cksum)" ] || wrong 'it is no permutation'
cmp -s various permuted && wrong 'the permutation changes nothing'
run 0 calibrate --model model --data various --output p --threads 1 --max-length 32
says '[1-9][0-9]* truncated'
run 0 calibrate --model model --data permuted --output q --threads 3 --max-length 32 --quiet
cmp -s p q || wrong 'order or threads change the profile'

# one token of each text, and no room for a pair
failed calibrate --data texts --output q --max-length 3
says 'too few texts: 2 with 6 tokens'
failed calibrate --pairs --data blank.pairs --output q --max-length 3
says 'max_length: 3 ids are too few; give at least 4'
# blank texts change nothing
awk 'NR % 3 == 0 { print "" } { print } NR % 5 == 0 { print " \t " }' sentences >sparse
run 0 calibrate --model model --data sparse --output q --quiet
cmp -s q kept || wrong 'blank texts change the profile'

# a calibration that is killed while its output is open leaves the profile that was there
leftovers() { ls $profile.?* 2>/dev/null; }
"$program" calibrate --model model --data sentences --quiet >/dev/null 2>&1 &
killed=$!
while kill -0 $killed 2>/dev/null && ! leftovers >left; do :; done
kill -9 $killed 2>/dev/null
wait $killed 2>/dev/null
[ -s left ] || echo 'finished before it was killed'
cmp -s kept $profile || wrong 'a killed calibration changed the profile'
run 0 classify --model model --values regress --ffn guided --quiet texts
for file in $(leftovers); do rm "$file"; done

# a profile that is cut off: at every boundary of the header, and all over the data
bytes=$(wc -c <kept)
header=$(($(od -An -tu8 -N8 kept) + 8))
[ $header -gt 1000 ] && [ $header -lt $((bytes / 2)) ] || wrong "a header of $header bytes"
for size in 0 7 8 1000 $((header - 1)) $header $((bytes / 2)) $((bytes - 1)); do
    head -c "$size" kept >$profile
    failed classify --model model --ffn guided texts
    says "^foveate: $profile: "
    failed tune --model model --data mixed --max-loss 5 --by work --dry-run --quiet
done
cp kept longer && printf 'x' >>longer
failed classify --model model --values regress --profile longer texts
printf 'not a profile' >words
failed classify --model model --values regress --profile words texts
failed classify --model model --values regress --profile . texts
failed classify --model model --profile absent texts # named: never passed over
failed tune --model model --data mixed --max-loss 5 --by work --dry-run --profile words
cp kept $profile

# settings that contradict
for attention in yoso fastmax; do
    for setting in --values=regress --values=lowrank --values=poisson --values=mca --ffn=guided; do
        refused classify --model model --attention $attention $setting texts
        says 'needs attention weights'
    done
done
run 0 classify --model model --attention yoso --ffn narrow:m=160 texts # one level for all: no weights needed
refused classify --model model --ffn narrow:m=77 texts
says 'm=77 is no level of the profile'
for dtype in bf16 int8; do
    refused classify --model model --dtype $dtype --values poisson texts
    says 'dtype f32'
done
halved bare
for setting in --values=regress --values=poisson --values=mca:p=calibrated --ffn=narrow --ffn=guided; do
    failed classify --model bare $setting texts
    says 'foveate calibrate --model bare'
done

# a profile of another model, of weights that changed since, and of a packed model
failed classify --model "$golden/bert-single-f32" --ffn guided --profile kept texts
says 'other weights'
failed tune --model "$golden/bert-single-f32" --data mixed --max-loss 5 --dry-run --profile kept
says 'other weights'
cp -r model changed
printf '\001\002' | dd of=changed/model.safetensors bs=1 seek=10900000 conv=notrunc 2>dd.err || cat dd.err
failed classify --model changed --ffn guided texts
says 'other weights'
mkdir shelf
run 0 import --pack --model model --dtype bf16 --output shelf/packed --quiet
failed classify --model shelf/packed --values regress texts
says '--model CHECKPOINT --data TEXTS --output shelf/'
run 0 classify --model shelf/packed --values regress --profile kept texts
refused calibrate --model shelf/packed --data sentences
says 'packed as bf16'

# tune: texts
failed tune --data none --dry-run
says 'no texts'
failed tune --data blank --dry-run
says 'all 3000 texts are blank'
printf 'sentence\tlabel\n' >header.tsv
failed tune --data header.tsv --task sst2 --dry-run
says 'no examples'

# tune, killed after so many of the journal's lines and taken up: what is reported is what one run reports, times apart
tune() { run "$1" tune --model model --data mixed.tsv --task sst2 --max-loss 5 --by work --threads 1 --json "$2"; }
journal=model/foveate-tuned.json.journal
told() { grep -v '"seconds"\|"median"\|"min"\|"max"' "$1"; }
tune 0 whole.json
[ -e $journal ] && wrong 'the journal of a finished run stays'
grep '"values"\|"ffn"' model/foveate-tuned.json | head -n 2 >whole.setting
told whole.json | grep -q '"flops_real_share"' || wrong 'told shows nothing'
for least in 2 9 20; do
    rm -f model/foveate-tuned.json
    "$program" tune --model model --data mixed.tsv --task sst2 --max-loss 5 --by work --threads 1 --quiet >/dev/null 2>&1 &
    killed=$!
    while kill -0 $killed 2>/dev/null && ! { [ -e $journal ] && [ "$(wc -l <$journal)" -ge $least ]; }; do :; done
    kill -9 $killed 2>/dev/null
    wait $killed 2>/dev/null
    [ -e $journal ] || echo "finished before it was killed ($least)"
    # a run that is killed at its end may leave both
    if [ -e model/foveate-tuned.json ] && [ -e $journal ]; then
        grep '"values"\|"ffn"' model/foveate-tuned.json | head -n 2 >setting
        cmp -s setting whole.setting || wrong 'a killed run wrote another setting'
    fi
    tune 0 resumed.json
    told whole.json >a && told resumed.json >b
    cmp -s a b || { wrong "killed after $least lines, another report:"; diff a b | head -n 5; }
done
# a damaged journal is never taken for a whole one
echo 'no journal' >$journal
tune 1 none.json
says 'not a journal'
rm $journal

# a setting that reads no profile does not belong to the one that was named
cp model/foveate-tuned.json tuned.json
# (the embedded profile has none of narrow's levels that serve, and yoso no attention weights for the other methods)
cp -r "$tiny" whole
run 0 tune --model whole --data mixed.tsv --task sst2 --attention yoso --max-loss 5 --by work --quiet
grep -q '^  "profile": ""' whole/foveate-tuned.json || wrong 'a setting without a profile names one'
run 0 classify --model whole --tuned --quiet texts
rm whole/foveate-profile.safetensors
run 0 classify --model whole --tuned --quiet texts
# nor does one of the format before go unnoticed
sed 's/"foveate-tuned": 2/"foveate-tuned": 1/' tuned.json >model/foveate-tuned.json
failed classify --model model --tuned texts
says 'tune again'
cp tuned.json model/foveate-tuned.json

# the setting that was tuned belongs to its profile
run 0 classify --model model --tuned --quiet texts
failed classify --model model --tuned --profile p texts
says 'tuned with another profile'
run 0 calibrate --model model --data sentences --compact --quiet
failed classify --model model --tuned texts
says 'tuned with another profile'
run 0 classify --model model --tuned --profile kept --quiet texts
cp kept $profile
cp model/foveate-tuned.json tuned.json
for size in 0 1 40 300; do
    head -c $size tuned.json >model/foveate-tuned.json
    failed classify --model model --tuned texts
    says '^foveate: model/foveate-tuned.json: '
done
sed 's/"ffn": "[^"]*"/"ffn": "frobnicate"/' tuned.json >model/foveate-tuned.json
refused classify --model model --tuned texts
says "unknown method 'frobnicate'"
sed '/^  "profile"/d' tuned.json >model/foveate-tuned.json
failed classify --model model --tuned texts
says "no setting 'profile'"

[ $bad -eq 0 ] && echo "$cases cases"
exit $bad

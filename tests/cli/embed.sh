#!/bin/sh
# Vectors to a file; a run that is stopped and taken up. usage: embed.sh PROGRAM SOURCE_DIR
. "$2/tests/cli/helpers.sh"

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
# a run that is stopped by a bad line, then taken up, gives the same file; by a model whose 1500 texts take no time
cp -r "$golden/roberta-single" small
awk 'BEGIN { for (i = 0; i < 1500; i++) print "text " i "\tpair" }' >whole
awk 'NR == 1300 { print "no pair"; next } { print }' whole >torn
run 0 embed --quiet --pairs --model small --output all.npy whole
failed embed --quiet --pairs --model small --output part.npy --resume torn
[ -e part.npy ] && wrong 'an unfinished part.npy is there'
[ -e part.npy.partial ] || wrong 'nothing was kept'
failed embed --quiet --pairs --model small --output part.npy --resume --pooling cls whole
says 'other settings'
sed 1s/text/other/ whole >other
failed embed --quiet --pairs --model small --output part.npy --resume other
says 'first .* lines are not those'
run 0 embed --pairs --model small --output part.npy --resume whole
says '1024 rows are done'
cmp -s part.npy all.npy || wrong 'the resumed file differs'
failed embed --quiet --pairs --model small --output part.npy --resume torn
cp part.npy.partial partial
failed embed --quiet --pairs --model small --output part.npy whole
says 'go on from them with --resume, or remove it'
cmp -s part.npy.partial partial || wrong 'rows of an unfinished run were lost'
run 0 embed --quiet --pairs --model small --output part.npy --resume whole
[ -e part.npy.partial ] && wrong 'part.npy.partial stays'
# weights that were replaced in place are another model; the same files in another folder are the same
mkdir one two && cp -r small one/model && cp -r small two/renamed
failed embed --quiet --pairs --model one/model --output part2.npy --resume torn
printf '\001\002\001\002' | dd of=one/model/model.safetensors bs=1 seek=39600 conv=notrunc 2>dd.err || cat dd.err
failed embed --quiet --pairs --model one/model --output part2.npy --resume whole
says "the model's files have changed"
run 0 embed --quiet --pairs --model two/renamed --output part2.npy --resume whole
cmp -s part2.npy all.npy || wrong 'the resumed file differs'

[ $bad -eq 0 ] && echo "$cases cases"
exit $bad

#!/bin/sh
# A packed model: the same results in every command, type and tier. usage: packed.sh PROGRAM SOURCE_DIR
. "$2/tests/cli/helpers.sh"

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
cp "$tiny/foveate-profile.safetensors" shelf
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

[ $bad -eq 0 ] && echo "$cases cases"
exit $bad

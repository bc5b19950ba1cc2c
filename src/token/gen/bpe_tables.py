#!/usr/bin/env python3
"""Writes src/token/bpe_tables.c: letter, number or white space, as the pattern of Hugging Face's ByteLevel pre-tokenizer sees every
code point. The regular expression engine inside that library has a Unicode version of its own, so each code point is asked of it.

    pip install tokenizers==0.23.3; python3 src/token/gen/bpe_tables.py > src/token/bpe_tables.c
"""
import tokenizers
from tokenizers import pre_tokenizers

OTHER, LETTER, NUMBER, SPACE = range(4)
split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True).pre_tokenize_str
parts = lambda text: len(split(text))


def kind(c):
    if parts("a" + c) == 1:
        return LETTER
    if parts("1" + c) == 1:
        return NUMBER
    if parts("!" + c) == 1:
        return OTHER
    assert parts(c + c) == 1 and parts("a" + c + c + "a") == (3 if c == " " else 4), hex(ord(c))
    return SPACE


kinds = [OTHER if 0xD800 <= code < 0xE000 else kind(chr(code)) for code in range(0x110000)]
blocks, index = [], []
for start in range(0, 0x110000, 128):
    some = kinds[start : start + 128]
    block = tuple(sum(some[i + j] << 2 * j for j in range(4)) for i in range(0, 128, 4))
    if block not in blocks:
        blocks.append(block)
    index.append(blocks.index(block))
assert len(blocks) <= 256
print(f"""/* bpe_tables.c: made by src/token/gen/bpe_tables.py from Hugging Face tokenizers {tokenizers.__version__}; see bpe_words.h. */
#include "token/bpe_words.h"

/* clang-format off */
const uint8_t fov_bpe_index[{len(index)}] = {{""")
for i in range(0, len(index), 24):
    print("    " + ", ".join(map(str, index[i : i + 24])) + ",")
print(f"}};\n\nconst uint8_t fov_bpe_kinds[{len(blocks)}][32] = {{")
for block in blocks:
    print("    {" + ",".join(map(str, block)) + "},")
print("};\n/* clang-format on */")

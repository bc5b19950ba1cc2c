#!/usr/bin/env python3
"""Writes src/token/unicode_tables.c: what Hugging Face `tokenizers` does with every code point.

The Rust library mixes Unicode versions: control, punctuation and non-spacing marks come from the crate unicode_categories
(Unicode 8), canonical decomposition from unicode-normalization-alignments (before Unicode 13), lower case from the Rust standard
library (newer than either). No one database gives its ids, so each code point is asked of the library itself.

    pip install tokenizers==0.23.3; python3 src/token/gen/unicode_tables.py > src/token/unicode_tables.c
"""
import unicodedata

import tokenizers
from tokenizers import normalizers, pre_tokenizers

DROP, SPACE, CJK, PUNCT, MARK, NONSTARTER, DECOMPOSES, LOWERS = (1 << i for i in range(8))
SHIFT = 7


def bert(**on):
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**off, **on}).normalize_str


clean, chinese = bert(clean_text=True), bert(handle_chinese_chars=True)
strip, lower, nfd = bert(strip_accents=True), bert(lowercase=True), normalizers.NFD().normalize_str
split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str


def nonstarter(c):
    """Combining class not 0: changes places with U+0345 (class 240) before it or U+0334 (class 1) behind it."""
    return nfd("\u0345" + c) != "\u0345" + c or nfd(c + "\u0334") != c + "\u0334"


flags, decomposition, lowers, classes = [0] * 0x110000, {}, {}, {}
for code in range(0x110000):
    if 0xD800 <= code < 0xE000:
        continue
    c = chr(code)
    cleaned, f = clean(c), 0
    assert cleaned in ("", " ", c)
    f |= DROP if cleaned == "" else SPACE if cleaned == " " else 0
    if chinese(c) != c:
        assert chinese(c) == f" {c} "
        f |= CJK
    words = [w for w, _ in split("a" + c + "a")]
    if words == ["a", c, "a"]:
        f |= PUNCT
    elif words == ["a", "a"]:
        assert f & (SPACE | DROP)
    else:
        assert words == [f"a{c}a"] and not f & SPACE
    decomposed = nfd(c)
    if decomposed != c:
        if not 0xAC00 <= code <= 0xD7A3:  # Hangul syllables: by the formula of the standard, checked here
            decomposition[code] = [ord(d) for d in decomposed]
            f |= DECOMPOSES
        else:
            s = code - 0xAC00
            parts = [0x1100 + s // 588, 0x1161 + s % 588 // 28] + ([0x11A7 + s % 28] if s % 28 else [])
            assert decomposed == "".join(map(chr, parts))
    else:
        if strip(c) == "":
            f |= MARK
        if nonstarter(c):
            f |= NONSTARTER
            assert not f & (SPACE | DROP | PUNCT | CJK) and lower(c) == c
            assert unicodedata.combining(c)
            if not f & MARK:
                classes[code] = unicodedata.combining(c)
    if lower(c) != c:
        lowers[code] = [ord(d) for d in lower(c)]
        assert len(lowers[code]) <= 2
        f |= LOWERS
    flags[code] = f
for code in range(0x110000):  # the pieces put together again, and: never more characters than bytes
    if 0xD800 <= code < 0xE000 or 0xAC00 <= code <= 0xD7A3:
        continue
    c = chr(code)
    kept = [d for d in decomposition.get(code, [code]) if not flags[d] & MARK]
    assert strip(c) == "".join(map(chr, kept)) and len(kept) <= len(c.encode()), hex(code)
    out = "".join(chr(x) for d in kept for x in lowers.get(d, [d]))
    assert bert(strip_accents=True, lowercase=True)(c) == out and len(out) <= len(c.encode()), hex(code)
    assert not any(flags[ord(x)] & (SPACE | DROP) for x in out) or flags[code] & (SPACE | DROP), hex(code)

blocks, index = [], []
for start in range(0, 0x110000, 1 << SHIFT):
    block = tuple(flags[start : start + (1 << SHIFT)])
    if block not in blocks:
        blocks.append(block)
    index.append(blocks.index(block))
assert len(blocks) <= 256


def rows(values, width=24):
    values = list(values)
    for i in range(0, len(values), width):
        print("    " + ", ".join(str(v) for v in values[i : i + width]) + ",")


print(f"""/* unicode_tables.c: made by src/token/gen/unicode_tables.py from Hugging Face tokenizers {tokenizers.__version__}; see unicode.h.
 *
 * {len(blocks)} distinct blocks of {1 << SHIFT} code points, {len(decomposition)} decompositions, {len(lowers)} lower-case mappings. */
#include "token/unicode.h"

/* clang-format off */
const uint8_t fov_unicode_index[{len(index)}] = {{""")
rows(index)
print(f"}};\n\nconst uint8_t fov_unicode_flags[{len(blocks)}][{1 << SHIFT}] = {{")
for block in blocks:
    if len(set(block)) == 1 and block[0] == 0:
        print("    {0},")
        continue
    print("    {" + ",".join(map(str, block)) + "},")
print("};\n\n/* code point, first of the pool, count */")
pool, entries = [], []
for code, parts in sorted(decomposition.items()):
    entries.append((code, len(pool), len(parts)))
    pool += parts
print(f"const size_t fov_unicode_decomposition_count = {len(entries)};")
print(f"const fov_unicode_decomposition fov_unicode_decompositions[{len(entries)}] = {{")
rows((f"{{{c},{o},{n}}}" for c, o, n in entries), 8)
print(f"}};\nconst uint32_t fov_unicode_pool[{len(pool)}] = {{")
rows(pool, 18)
print(f"}};\n\n/* code point, lower case, second code point or 0 */\nconst size_t fov_unicode_lower_count = {len(lowers)};")
print(f"const fov_unicode_lower fov_unicode_lowers[{len(lowers)}] = {{")
rows((f"{{{c},{l[0]},{l[1] if len(l) > 1 else 0}}}" for c, l in sorted(lowers.items())), 8)
print("};\n\n/* code point, canonical combining class: nonstarters that are not dropped as marks */")
print(f"const size_t fov_unicode_class_count = {len(classes)};")
print(f"const fov_unicode_class fov_unicode_classes[{len(classes)}] = {{")
rows((f"{{{c},{k}}}" for c, k in sorted(classes.items())), 10)
print("};\n/* clang-format on */")

#!/usr/bin/env python3
"""Writes tests/token/golden_uncased.tsv: ids that Hugging Face `tokenizers` gives with models/tiny-sentiment/vocab.txt
followed by tests/token/golden_extra.txt, also written: every character of the normalised texts, so that none hides behind [UNK].

    pip install tokenizers==0.23.3; python3 tests/token/golden.py

Columns: lower, strip, chinese, max_length, a, b ("-": none), ids dropped, invalid sequences, ids. Bytes outside printable ASCII, the
backslash and a lone "-" are written \\xNN.
"""
import os

import tokenizers
from tokenizers import BertWordPieceTokenizer

here = os.path.dirname(os.path.abspath(__file__))
OPTIONS = ((1, 1, 1), (0, 0, 1), (1, 0, 0), (0, 1, 1))


def escape(data):
    if data == b"-":
        return "\\x2d"
    return "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x5C else f"\\x{b:02x}" for b in data)


TEXTS = [
    "", " ", "a", "The movie was GREAT, wasn't it?", "unaffable tokenisation of antidisestablishmentarianism",
    "[MASK] [CLS][SEP]x[UNK]y[PAD] [mask] [MAS K] [[MASK]]", "caf\u00e9 na\u00efve \u00c5ngstr\u00f6m \u0130stanbul \u01c5 STRASSE \u00df",
    "\u4e2d\u56fd abc\u65e5\u672c\u8a9e \uf900\u2f00 \U00020000", "\ud55c\uad6d\uc5b4 \uac00\uac01 \u3072\u3089\u304c\u306a \u30ac",
    "tab\tnewline\nreturn\rnbsp\u00a0thin\u2009line\u2028ideographic\u3000end", "nul\0bell\7del\x7fsoft\u00adzero\u200bjoin\u200d\ufeffrepl\ufffd",
    "vt\x0bff\x0cnel\x85fs\x1c", "\u2026 \u00ab\u00bb \u2014 \u00a1\u00bf \u20ac $ + < = > ^ ` | ~ \u00a7 \u00b6 \u2e43 \u166d",
    "\U0001f600\U0001f44d\U0001f3fd flag \U0001f1eb\U0001f1f7 zwj \U0001f468\u200d\U0001f469", "e\u0301 o\u0308\u0323 a\u302e\u0301\u302f \u0344 \u0958 \u1e9b\u0323 \u212b \u2126",
    "\u03a3\u03a3 \u039f\u0394\u039f\u03a3 \u1f88 \ufb01 \u037e \u1fef", "\u0378\u0380 \U000e0041 \ue000 \U0010fffd \u2fff",
    "\u0436\u302e\u0436\U0001d165 \u0436\u302e\u034f\U0001d165\u0436 \u0436\u302eabc \u302e\U0001d165\u0301\u302fabc",
    "x" * 99, "x" * 100, "x" * 101, "\u00e9" * 100, "\u00e9" * 101, "a" * 50 + "." + "a" * 101, "\u1c89\ua7cb \U00010d50 \u0898 \u1734 \U00011938",
]  # fmt: skip
BROKEN = [b"\xff", b"a\xc0\xafb", b"\xe2\x82 \xe2\x82\xac", b"\xf0\x9f\x98", b"\xed\xa0\x80\xed\xb0\x80", b"\xf4\x90\x80\x80", b"th\x80e",
          b"\xf0\x80\x80\x80", b"\xe0\x80\x80 ok", b"[MA\xffSK] [MASK]\xe2", b"\xc3\xc3\xa9"]  # fmt: skip
PAIRS = [("The first one is short.", "The second one, however, goes on and on until nobody can follow it any more."),
         ("one two three four five six seven eight nine ten", "a b c"), ("a b c d e f", "g h i j k l"), ("", "x y z"), ("x y z", ""),
         ("a b c d e f g", "h i j k l m")]  # fmt: skip


def tokenizer(vocab, options):
    lower, strip, chinese = map(bool, options)
    return BertWordPieceTokenizer(vocab, lowercase=lower, strip_accents=strip, handle_chinese_chars=chinese)


def extra_pieces(base):
    known, pieces = set(base), []
    normalized = "".join(tokenizer({p: i for i, p in enumerate(base)}, o).normalize(t) for o in OPTIONS for t in TEXTS)
    for c in sorted(set(normalized)):
        pieces += [p for p in (c, "##" + c) if p not in known and not c.isspace()]
    return pieces


def main():
    rows = []
    base = open(os.path.join(here, "../../models/tiny-sentiment/vocab.txt"), encoding="utf-8").read().split("\n")[:-1]
    extra = extra_pieces(base)
    with open(os.path.join(here, "golden_extra.txt"), "w", encoding="utf-8", newline="\n") as f:
        f.writelines(p + "\n" for p in extra)
    vocab = {p: i for i, p in enumerate(base + extra)}

    def row(options, limit, a, b=None):
        hf = tokenizer(vocab, options)
        text_a, text_b = a.decode(errors="replace"), None if b is None else b.decode(errors="replace")
        whole = len(hf.encode(text_a, text_b).ids)
        hf.enable_truncation(limit, strategy="longest_first")
        ids = hf.encode(text_a, text_b).ids
        invalid = sum(x.decode(errors="replace").count("\ufffd") - x.count(b"\xef\xbf\xbd") for x in (a, b or b""))
        rows.append([*map(str, options), str(limit), escape(a), "-" if b is None else escape(b), str(whole - len(ids)), str(invalid),
                     " ".join(map(str, ids))])  # fmt: skip

    for text in TEXTS:
        for options in OPTIONS:
            row(options, 512, text.encode())
    for text in BROKEN:
        row((1, 1, 1), 512, text)
    for a, b in PAIRS:
        for limit in (4, 5, 6, 7, 8, 9, 10, 13, 16, 64):
            row((1, 1, 1), limit, a.encode(), b.encode())
        for limit in (3, 4, 8):
            row((1, 1, 1), limit, a.encode())
    with open(os.path.join(here, "golden_uncased.tsv"), "w", newline="\n") as f:
        f.write(f"# golden.py, tokenizers {tokenizers.__version__}, models/tiny-sentiment/vocab.txt + golden_extra.txt\n")
        f.writelines("\t".join(r) + "\n" for r in rows)


if __name__ == "__main__":
    main()

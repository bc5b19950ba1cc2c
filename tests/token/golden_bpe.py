#!/usr/bin/env python3
"""Writes tests/token/bpe/: a small byte-level BPE vocabulary trained on the texts below, and golden.tsv, the ids that Hugging Face
`tokenizers` gives with it as RoBERTa's tokenizer.

    pip install tokenizers==0.23.3; python3 tests/token/golden_bpe.py

Columns: add_prefix_space, max_length, a, b ("-": none), ids dropped, invalid sequences, ids; texts as in golden.py.
"""
import os

import tokenizers
from tokenizers import AddedToken, ByteLevelBPETokenizer, models, pre_tokenizers, processors

from golden import BROKEN, PAIRS, TEXTS, escape

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bpe")
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SENTENCES = [
    "The first one is short.", "The second one, however, goes on and on until nobody can follow it any more.",
    "It was raining when the train left, and it was still raining when we arrived three hours later.",
    "She'd said they're late; he hadn't heard. I've told you: we'll see, I'm sure, it's his.",
    "In 1984 there were 12 of them, in 2001 about 3,500, and by 2020 nearly 47.25 million.",
    "Nobody knows why the old lighthouse keeper painted every second step of the staircase green.",
    "An \u00c4rger in Z\u00fcrich, a caf\u00e9 in Montr\u00e9al, na\u00efve r\u00e9sum\u00e9s, \u4e2d\u56fd \u65e5\u672c\u8a9e \ud55c\uad6d\uc5b4, \u0440\u0443\u0441\u0441\u043a\u0438\u0439 \u0442\u0435\u043a\u0441\u0442 \U0001f600\U0001f600",
    "Bread, butter, tomatoes, onions and garlic; a little salt, a little pepper, and an hour in the oven.",
    "    return value + 1;\n\n\tif (value == 0) {\n        break;\n    }\n",
]  # fmt: skip
MORE = [
    "it's IT'S 's 't're've'm'll'd 'S ''s ' s don't  'tis x's.'s", "  two  leading\n\n lines \t\t tabs \u00a0\u00a0 nbsp \u3000x\u3000\u3000y  ", "   ",
    " \n", "\n", "a1b22c333 \u0663\u0664 \u2163 \u00bd x\u00b2", "!!! ?! a!b ...'s #tag @name http://x.y/z?q=1&r=2", "a\u0301 e\u0301\u0302 \u0939\u093f\u0928\u094d\u0926\u0940",
    "<mask>", "a <mask> b", "a   <mask>  b<mask>", "x\u3000\u00a0<mask>", " <s> </s><pad> <unk> <mask", "<<mask>>mask>", "</s>\u0085<mask>",
    "the" * 40, "0123456789" * 30, " " * 70 + "end", "\u4e2d" * 60, "abc" * 500, "\U0001f600" * 50, "!" * 100,
]  # fmt: skip


def roberta(prefix):
    made = tokenizers.Tokenizer(models.BPE.from_file(os.path.join(folder, "vocab.json"), os.path.join(folder, "merges.txt")))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=prefix)
    made.add_special_tokens([*SPECIAL[:4], AddedToken("<mask>", lstrip=True, normalized=False)])
    return made


def main():
    os.makedirs(folder, exist_ok=True)
    trainer, rows = ByteLevelBPETokenizer(), []
    trainer.train_from_iterator(SENTENCES, 861, min_frequency=1, special_tokens=SPECIAL, show_progress=False)
    trainer.save_model(folder)

    def row(prefix, limit, a, b=None):
        hf = roberta(prefix)
        text_a, text_b = a.decode(errors="replace"), None if b is None else b.decode(errors="replace")
        whole = len(hf.encode(text_a, text_b).ids)
        hf.enable_truncation(limit, strategy="longest_first")
        e = hf.encode(text_a, text_b)
        assert not any(e.type_ids)
        invalid = sum(x.decode(errors="replace").count("\ufffd") - x.count(b"\xef\xbf\xbd") for x in (a, b or b""))
        rows.append([str(int(prefix)), str(limit), escape(a), "-" if b is None else escape(b), str(whole - len(e.ids)), str(invalid),
                     " ".join(map(str, e.ids))])  # fmt: skip

    for prefix in (False, True):
        for text in SENTENCES + MORE + TEXTS:
            row(prefix, 4096, text.encode())
        for text in BROKEN:
            row(prefix, 512, text)
    for a, b in PAIRS:
        for limit in (5, 6, 7, 8, 9, 10, 13, 16, 64):
            row(False, limit, a.encode(), b.encode())
        for limit in (3, 4, 8):
            row(False, limit, a.encode())
    with open(os.path.join(folder, "golden.tsv"), "w", newline="\n") as f:
        f.write(f"# golden_bpe.py, tokenizers {tokenizers.__version__}\n")
        f.writelines("\t".join(r) + "\n" for r in rows)


if __name__ == "__main__":
    main()

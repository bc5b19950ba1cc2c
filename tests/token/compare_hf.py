#!/usr/bin/env python3
"""Ids of tool_encode against Hugging Face `tokenizers`: real texts, generated Unicode, pairs under truncation, invalid UTF-8.

    python3 tests/token/compare_hf.py --tool build/release/tests/tool_encode (--vocab VOCAB.TXT | --bpe FOLDER) [--shared DIR] [--strings 1000000]

Run by hand (minutes). Prints one line per comparison and exits 1 when any text differs. The generated strings are encoded with a
vocabulary that also holds every assigned code point as a piece, so that a slip in normalisation shows as another id, not as [UNK].

With --bpe FOLDER in place of --vocab: byte-level BPE of FOLDER/vocab.json and FOLDER/merges.txt; --train N first makes them, with
N pieces, of the texts in DIR.
"""
import argparse
import itertools
import json
import lzma
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata
from glob import glob

import tokenizers
from tokenizers import BertWordPieceTokenizer, models, pre_tokenizers, processors

NO_PAIR = 2**32 - 1
OPTIONS = [(l, s, c) for l in (1, 0) for s in (1, 0) for c in (1, 0)]


def record(a, b=None):
    return struct.pack("<II", len(a), NO_PAIR if b is None else len(b)) + a + (b or b"")


class Ours:
    def __init__(self, tool, folder):
        self.tool, self.texts, self.out = tool, os.path.join(folder, "texts"), os.path.join(folder, "out")

    def encode(self, vocab, options, max_length, pairs):
        with open(self.texts, "wb") as f:
            f.writelines(record(*p) for p in pairs)
        subprocess.run([self.tool, vocab, *map(str, options), str(max_length), self.texts, self.out], check=True)
        data, at = open(self.out, "rb").read(), 0
        while at < len(data):
            n, truncated, invalid = struct.unpack_from("<III", data, at)
            at += 12
            ids = list(struct.unpack_from(f"<{n}i", data, at))
            yield ids, list(data[at + 4 * n : at + 5 * n]), truncated, invalid
            at += 5 * n


def theirs(vocab, options):
    lower, strip, chinese = options
    return BertWordPieceTokenizer(
        vocab, lowercase=bool(lower), strip_accents=bool(strip), handle_chinese_chars=bool(chinese)
    )._tokenizer


def real_texts(shared):
    """Every field of every table, every review, every article: a superset of the text columns."""
    data, seen = os.path.join(shared, "data"), {}
    for pattern in ("glue/*/*.tsv", "stsb/*", "sts12-16/*/*.tsv", "lra/*.tsv", "aapd/text_*"):
        for path in sorted(glob(os.path.join(data, pattern))):
            for line in open(path, encoding="utf-8", errors="replace", newline="\n"):
                seen.update(dict.fromkeys(line.rstrip("\r\n").split("\t")))
    for path in sorted(glob(os.path.join(data, "imdb/*.xz"))):
        for line in lzma.open(path, "rt", encoding="utf-8"):
            seen[json.loads(line)["text"]] = None
    for path in sorted(glob(os.path.join(data, "hnd/articles*.xml"))):
        for article in open(path, encoding="utf-8").read().split("</article>"):
            seen[article] = None
            seen[re.sub(r"<[^>]*>", " ", article)] = None
    return list(seen)


def generator(words, seed, bpe=False):
    """Endless strings that mix everything a tokenizer may meet."""
    rng = random.Random(seed)
    special = ["[MASK]", "[SEP]", "[CLS]", "[PAD]", "[UNK]", "[MASK", "MASK]", "[mask]", "[[MASK]]"]
    if bpe:
        special = ["<mask>", "</s>", "<s>", "<pad>", "<unk>", "<mask", "mask>", "  <mask>", "<<mask>>", "\u3000<mask> ", "'s", "'re", "'LL", " 've"]
    spaces = " \t\n\r\u00a0\u1680\u2003\u2028\u3000\u0085\u000b\u000c\u001c"
    ranges = [(0x20, 0x7F), (0, 0x20), (0x7F, 0x250), (0x250, 0x370), (0x300, 0x370), (0x370, 0x600), (0x600, 0x1100),
              (0x1100, 0x1200), (0x1200, 0x1E00), (0x1DC0, 0x1F00), (0x1E00, 0x2000), (0x2000, 0x2C00), (0x2C00, 0x3100),
              (0x3000, 0x3400), (0x3400, 0xA000), (0xA000, 0xAC00), (0xAC00, 0xD800), (0xE000, 0xFB00), (0xF900, 0xFB00),
              (0xFB00, 0x10000), (0x10000, 0x12000), (0x12000, 0x1F000), (0x1D100, 0x1D200), (0x1F000, 0x20000),
              (0x20000, 0x32000), (0xE0000, 0xE0200), (0x32000, 0x110000)]  # fmt: skip
    marks = [chr(i) for i in range(0x110000) if unicodedata.combining(chr(i)) or unicodedata.category(chr(i))[0] == "M"]
    changing = [chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000 and not 0xAC00 <= i < 0xD7A4
                and (chr(i).lower() != chr(i) or unicodedata.normalize("NFD", chr(i)) != chr(i))]  # fmt: skip

    def char():
        low, high = rng.choice(ranges)
        return chr(rng.randrange(low, high))

    def part():
        kind = rng.randrange(16)
        if kind < 5:
            word = rng.choice(words)
            return rng.choice((word, word.upper(), word.title(), word + rng.choice(marks), word + rng.choice(words)))
        if kind == 5:
            return rng.choice(special)
        if kind == 6:
            return rng.choice("abcXYZ.,-'é中") * rng.choice((1, 2, 3, 50, 98, 99, 100, 101, 102, 150))
        if kind == 7:
            return char() + "".join(rng.choice(marks) for _ in range(rng.randrange(6)))
        if kind == 8:
            return "".join(rng.choice(changing) for _ in range(rng.randrange(5)))
        if kind == 9:
            low, high = rng.choice(ranges)
            return "".join(chr(rng.randrange(low, high)) for _ in range(rng.randrange(8)))
        if kind == 10:
            return rng.choice(special) + rng.choice(spaces) + rng.choice(marks)
        if kind == 11:
            return "".join(rng.choice(marks) for _ in range(rng.choice((1, 3, 8, 110))))
        return char()

    while True:
        yield "".join(part() + rng.choice(("", "", " ", " ", rng.choice(spaces))) for _ in range(rng.randrange(1, 8)))


def rich_vocabulary(base, path):
    """`base` and every code point that is assigned, a sample of the others, alone and inside a word."""
    pieces = [line.rstrip("\n") for line in open(base, encoding="utf-8", newline="\n")]
    known = set(pieces)
    for i in range(0x21, 0x110000):
        c = chr(i)
        if 0xD800 <= i < 0xE000 or c.isspace() or (unicodedata.category(c) in ("Cn", "Co") and i % 16):
            continue
        pieces += [p for p in (c, "##" + c) if p not in known]
    pieces += [w.title() for w in pieces[1000:20000] if w.isascii() and w.isalpha() and w.title() not in known]
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        f.writelines(p + "\n" for p in pieces)
    return path


def compare(name, ours, vocab, options, texts, chunk=100000, theirs=theirs):
    """Singles, no limit."""
    hf, start, total, bad = theirs(vocab, options), time.time(), 0, 0
    while batch := list(itertools.islice(texts, chunk)):
        total += len(batch)
        got = ours.encode(vocab, options, 2**31, [(t.encode(),) for t in batch])
        for at in range(0, len(batch), 2000):
            for text, e in zip(batch[at : at + 2000], hf.encode_batch_fast(batch[at : at + 2000])):
                ids, types, truncated, invalid = next(got)
                if ids != e.ids or types != e.type_ids or truncated or invalid:
                    bad += 1
                    if bad <= 3:
                        print("  differs:", ascii(text)[:300], ids[:40], e.ids[:40])
    print(f"{name}: lower {options[0]} strip {options[1]} chinese {options[2]}: {total} texts, {bad} differ, {time.time() - start:.0f} s")
    return bad


def compare_pairs(ours, vocab, pairs, options=(1, 1, 1), theirs=theirs, least=4):
    bad, total = 0, 0
    hf, long = theirs(vocab, options), theirs(vocab, options)
    for limit in range(least, 65):
        hf.enable_truncation(limit, strategy="longest_first")
        for cut in (2, 1):
            batch = [p[:cut] for p in pairs]
            got = ours.encode(vocab, options, limit, [tuple(t.encode() for t in p) for p in batch])
            plain = [p if cut == 2 else p[0] for p in batch]
            for p, want, whole, (ids, types, truncated, _) in zip(batch, hf.encode_batch(plain), long.encode_batch(plain), got):
                total += 1
                if ids != want.ids or types != want.type_ids or truncated != len(whole.ids) - len(want.ids):
                    bad += 1
                    if bad <= 3:
                        print("  differs:", limit, p, ids, want.ids, truncated)
    print(f"pairs and singles cut to {least}..64 ids: {total}, {bad} differ")
    return bad


def compare_invalid(ours, vocab, words, count, options=(1, 1, 1), theirs=theirs):
    rng, bad = random.Random(5), 0
    hf, texts = theirs(vocab, options), []
    for _ in range(count):
        text = bytearray(" ".join(rng.choice(words) + rng.choice(("é", "中", "😀", " ", " [MASK] ", "  <mask>", "\u3000<mask>")) for _ in range(4)).encode())
        for _ in range(rng.randrange(1, 8)):
            at = rng.randrange(len(text) + 1)
            text[at : at + rng.randrange(3)] = rng.choice(
                (bytes([rng.randrange(256)]), b"\xed\xa0\x80", b"\xf0\x90\x80", b"\xe2\x82", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\0"))
        texts.append(bytes(text))
    whole = [t.decode(errors="replace") for t in texts]
    for t, w, e, (ids, _, _, invalid) in zip(texts, whole, hf.encode_batch(whole), ours.encode(vocab, options, 2**31, [(t,) for t in texts])):
        if ids != e.ids or invalid != w.count("\ufffd"):
            bad += 1
            if bad <= 3:
                print("  differs:", t, ids, e.ids, invalid)
    print(f"invalid UTF-8: {count} texts, {bad} differ")
    return bad


def roberta(folder, options):
    """RoBERTa's tokenizer as transformers puts it together."""
    prefix = bool(options[0])
    made = tokenizers.Tokenizer(models.BPE.from_file(folder + "vocab.json", folder + "merges.txt"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    made.post_processor = processors.RobertaProcessing(("</s>", made.token_to_id("</s>")), ("<s>", made.token_to_id("<s>")),
                                                       trim_offsets=True, add_prefix_space=prefix)  # fmt: skip
    made.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", tokenizers.AddedToken("<mask>", lstrip=True, normalized=False)])
    return made


def templated(folder, options):
    """The same with a template, and an added token of its own."""
    made = roberta(folder, options)
    ids = [(t, made.token_to_id(t)) for t in ("<s>", "</s>")]
    made.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", ids)
    made.add_tokens([tokenizers.AddedToken("<new one>", rstrip=True, normalized=False), "colour"])
    return made


def compare_bpe(a, ours, folder, temporary):
    real = real_texts(a.shared) if a.shared else []
    if a.train:
        trainer = tokenizers.ByteLevelBPETokenizer(add_prefix_space=False)
        trainer.train_from_iterator(real[::5], a.train, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], show_progress=False)
        os.makedirs(folder, exist_ok=True)
        trainer.save_model(folder)
    words = [w.replace("\u0120", " ") for w in json.load(open(folder + "vocab.json", encoding="utf-8")) if w.strip("\u0120").isascii()]
    bad, source = 0, generator(words, a.seed, True)
    for prefix in (0, 1):
        options = (prefix, 0, 0)
        bad += compare_invalid(ours, folder, words, 20000, options, roberta)
        bad += compare_pairs(ours, folder, [(next(source), next(source)) for _ in range(500)], options, roberta, 5)
        bad += compare("generated", ours, folder, options, itertools.islice(source, a.strings), theirs=roberta)
        for made in (roberta, templated):
            path = os.path.join(temporary, "tokenizer.json")
            made(folder, options).save(path)
            texts = (t + (" <new one> " if i % 3 else "colours") + t[:9] for i, t in enumerate(itertools.islice(source, a.strings // 5)))
            bad += compare(f"tokenizer.json, {made.__name__}", JsonOurs(ours, path), folder, options, texts, theirs=made)
    long = ["ab" * 40000, "x" * 70001, "".join(random.Random(1).choices("etaoin", k=50000)), "\U0001f600" * 9999, "!?" * 5000, " \n" * 9999]
    bad += compare("long words", ours, folder, (0, 0, 0), iter(long), theirs=roberta)
    if real:
        bad += compare_pairs(ours, folder, list(zip(real[1000:2000], real[5000:6000])), (0, 0, 0), roberta, 5)
        bad += compare("real", ours, folder, (0, 0, 0), iter(real), 30000, theirs=roberta)
    return bad


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--tool", required=True)
    arguments.add_argument("--vocab")
    arguments.add_argument("--bpe")
    arguments.add_argument("--train", type=int)
    arguments.add_argument("--shared")
    arguments.add_argument("--strings", type=int, default=1000000)
    arguments.add_argument("--seed", type=int, default=1)
    a = arguments.parse_args()
    print(f"tokenizers {tokenizers.__version__}")
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(a.tool, folder)
        if a.bpe:
            sys.exit(1 if compare_bpe(a, ours, os.path.join(a.bpe, ""), folder) else 0)
        words = [w.strip().lstrip("#") or "x" for w in open(a.vocab, encoding="utf-8")]
        rich = rich_vocabulary(a.vocab, os.path.join(folder, "rich.txt"))
        bad += compare_invalid(ours, rich, words, 50000)
        source = generator(words, a.seed)
        bad += compare_pairs(ours, a.vocab, [(next(source), next(source)) for _ in range(1500)])
        for options in OPTIONS:
            count = a.strings if options in ((1, 1, 1), (0, 0, 1)) else a.strings // 10
            bad += compare("generated", ours, rich, options, itertools.islice(source, count))
        if a.shared:
            real = real_texts(a.shared)
            some = [t for t in real if " " in t][:3000]
            bad += compare_pairs(ours, a.vocab, list(zip(some[::2], some[1::2])))
            for vocab, options in ((a.vocab, (1, 1, 1)), (a.vocab, (0, 0, 1)), (rich, (0, 0, 1))):
                bad += compare("real", ours, vocab, options, iter(real), 30000)
            path = os.path.join(folder, "tokenizer.json")
            theirs(a.vocab, (1, 1, 1)).save(path)
            bad += compare("tokenizer.json", JsonOurs(ours, path), a.vocab, (1, 1, 1), iter(real[:20000]))
    sys.exit(1 if bad else 0)


class JsonOurs:
    """The same, but our side reads tokenizer.json and so knows the options from there."""

    def __init__(self, ours, path):
        self.ours, self.path = ours, path

    def encode(self, _vocab, _options, max_length, pairs):
        return self.ours.encode(self.path, (0, 0, 0), max_length, pairs)


if __name__ == "__main__":
    main()

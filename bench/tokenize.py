#!/usr/bin/env python3
"""Encode speed on one thread: foveate against Hugging Face `tokenizers`, interleaved in one run.

    python3 bench/tokenize.py --tool build/release/tests/tool_encode --vocab VOCAB.TXT TEXTS [--rounds 7] [--limit 20000]

TEXTS: one text per line, or .jsonl(.xz) with a "text" member. Their side is the better of encode_batch, encode_batch_fast and a loop
of encode. Both sides hold the texts in memory and truncate at 512 ids; loading is not timed. Prints medians, the ratio of the
medians, and the least and greatest ratio of one round.
"""
import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import argparse
import json
import lzma
import statistics
import struct
import subprocess
import tempfile
import time

import tokenizers
from tokenizers import BertWordPieceTokenizer


def read(path, limit):
    lines = (lzma.open if path.endswith(".xz") else open)(path, "rt", encoding="utf-8", errors="replace")
    texts = (json.loads(line)["text"] if ".jsonl" in path else line.rstrip("\n") for line in lines)
    return [t for t, _ in zip(texts, range(limit))]


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("texts")
    arguments.add_argument("--tool", required=True)
    arguments.add_argument("--vocab", required=True)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--limit", type=int, default=20000)
    a = arguments.parse_args()
    texts = read(a.texts, a.limit)
    hf = BertWordPieceTokenizer(a.vocab, lowercase=True)._tokenizer
    hf.enable_truncation(512)
    with tempfile.NamedTemporaryFile() as file:
        for t in texts:
            b = t.encode()
            file.write(struct.pack("<II", len(b), 2**32 - 1) + b)
        file.flush()
        command = [a.tool, a.vocab, "1", "1", "1", "512", file.name]
        ours = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def mine():
            ours.stdin.write("\n")
            ours.stdin.flush()
            return float(ours.stdout.readline())

        kinds = {
            "encode_batch": lambda: hf.encode_batch(texts),
            "encode_batch_fast": lambda: hf.encode_batch_fast(texts),
            "encode": lambda: [hf.encode(t) for t in texts],
        }
        mine()
        rounds = [(mine(), {k: seconds(v) for k, v in kinds.items()}) for _ in range(a.rounds)]
        ours.stdin.close()
        ours.wait()
    size = sum(len(t.encode()) for t in texts)
    best = min(kinds, key=lambda k: statistics.median(r[1][k] for r in rounds))
    us = statistics.median(r[0] for r in rounds)
    them = statistics.median(r[1][best] for r in rounds)
    ratios = [r[1][best] / r[0] for r in rounds]
    print(f"{len(texts)} texts, {size} bytes; tokenizers {tokenizers.__version__}, {a.rounds} rounds")
    print(f"foveate {us:.4f} s ({size / us / 1e6:.1f} MB/s); tokenizers {best} {them:.4f} s ({size / them / 1e6:.1f} MB/s)")
    print(f"ratio {them / us:.1f} (one round: {min(ratios):.1f} to {max(ratios):.1f})")


main()

#!/usr/bin/env python3
"""One peer in one setting, as a process of its own: started by peers.py with a job (JSON), it converts the checkpoint and tunes
(--prepare), says the label of the first text and ends (--once), or loads, warms up and then answers one JSON line per command:

    pass              all texts once, sorted by length and padded in batches: {"seconds"}; tokenising is apart
    latency AT COUNT  COUNT texts one by one, tokenising included: {"seconds": [...]}
    answers           the results of every text of the larger file, in its order: {"answers": [[...], ...], "tokens"}
    memory            {"peak": bytes}: the most that was resident

foveate_side.c is foveate's counterpart. A peer is a module with DISTRIBUTIONS, prepare(job) and Runner(job, mode).
"""
import collections
import importlib
import importlib.metadata
import json
import os
import sys
import time

import numpy as np

Job = collections.namedtuple("Job", "peer dtype model embed texts all threads max_length work batches task")
TUNING_TOKENS, WARM_UP = 1500, 3


def read_texts(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        return [tuple(line.split("\t")) for line in file.read().split("\n")[:-1]]


def make_tokenizer(job):
    import tokenizers
    settings = os.path.join(job.model, "tokenizer_config.json")
    lower = json.load(open(settings)).get("do_lower_case", True) if os.path.exists(settings) else True
    tokenizer = tokenizers.BertWordPieceTokenizer(os.path.join(job.model, "vocab.txt"), lowercase=lower)
    tokenizer.enable_truncation(job.max_length)
    return tokenizer


def encode(job, texts, tokenizer=None):
    """(ids, segments) of each text or pair."""
    tokenizer = tokenizer or make_tokenizer(job)
    return [(e.ids, e.type_ids) for e in tokenizer.encode_batch([t if len(t) > 1 else t[0] for t in texts])]


def pad(encoded):
    ids = np.zeros((len(encoded), max(len(i) for i, _ in encoded)), np.int64)
    mask, types = np.zeros_like(ids), np.zeros_like(ids)
    for row, (i, t) in enumerate(encoded):
        ids[row, : len(i)], mask[row, : len(i)], types[row, : len(i)] = i, 1, t
    return ids, mask, types


def make_batches(runner, encoded, size):
    """(rows, feed) per batch: sorted by length, padded to the longest of the batch; the largest first, so that scratch grows once."""
    order = sorted(range(len(encoded)), key=lambda i: -len(encoded[i][0]))
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    return [(rows, runner.feed(*pad([encoded[i] for i in rows]))) for rows in parts]


def answers(runner, encoded, size):
    batches = make_batches(runner, encoded, size)
    out = [None] * len(encoded)
    for (rows, _), result in zip(batches, runner.run([feed for _, feed in batches])):
        for row, values in zip(rows, result.tolist()):
            out[row] = values
    return out


def choice_path(job):
    return os.path.join(job.work, f"{job.peer}-{job.dtype}-{job.task}.json")


def window(encoded, size):
    """Texts of about the median length, as they would stand side by side in a sorted set: full batches of about TUNING_TOKENS."""
    ordered = sorted(encoded, key=lambda e: len(e[0]))
    middle = len(ordered) // 2
    batches = max(1, round(TUNING_TOKENS / len(ordered[middle][0]) / size))
    first = max(0, middle - batches * size // 2)
    return ordered[first : first + batches * size]


def tune(module, job):
    """The fastest batch size, then the fastest mode; each candidate runs twice, the first time to warm up."""
    encoded, tried = encode(job, read_texts(job.texts)), []

    def attempt(runner, mode, size):
        part = window(encoded, size)
        feeds = [feed for _, feed in make_batches(runner, part, size)]
        runner.run(feeds)
        start = time.perf_counter()
        runner.run(feeds)
        tried.append((sum(len(i) for i, _ in part) / (time.perf_counter() - start), size, mode))

    best = lambda: max(tried, key=lambda t: t[0])
    runner = module.Runner(job, module.Runner.MODES[0])
    for size in job.batches:
        attempt(runner, module.Runner.MODES[0], size)
    for mode in module.Runner.MODES[1:]:
        runner, size = module.Runner(job, mode), best()[1]
        attempt(runner, mode, size)
        attempt(runner, mode, max(job.batches[0], size // 2))  # a mode that runs several batches at once likes smaller ones
    rate, size, mode = best()
    with open(choice_path(job), "w") as file:
        json.dump({"mode": mode, "batch": size, "tried": tried}, file)


def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def once(runner, job, out):
    text = read_texts(job.texts)[0]
    logits = runner.run([runner.feed(*pad(encode(job, [text])))])[0][0]
    print(json.dumps({"label": int(np.argmax(logits))}), file=out, flush=True)


def alone(runner, job, text, tokenizer):
    start = time.perf_counter()
    runner.run([runner.feed(*pad(encode(job, [text], tokenizer)))])
    return time.perf_counter() - start


def serve(module, runner, job, choice, out):
    tokenizer, texts = make_tokenizer(job), read_texts(job.texts)
    start = time.perf_counter()
    encoded = encode(job, texts, tokenizer)
    tokenising = time.perf_counter() - start
    feeds = [feed for _, feed in make_batches(runner, encoded, choice["batch"])]
    runner.run(feeds)
    single = runner if choice["mode"] == module.Runner.MODES[0] else None  # of one text at a time: every thread on it
    say = lambda reply: print(json.dumps(reply), file=out, flush=True)
    say({"tokens": sum(len(i) for i, _ in encoded), "seconds_tokenize": tokenising, "batch": choice["batch"], "mode": choice["mode"],
         "versions": {d: importlib.metadata.version(d) for d in module.DISTRIBUTIONS}})
    for line in sys.stdin:
        word, *numbers = line.split()
        if word == "pass":
            start = time.perf_counter()
            runner.run(feeds)
            say({"seconds": time.perf_counter() - start})
        elif word == "latency":
            at, count = map(int, numbers)
            single = single or module.Runner(job, module.Runner.MODES[0])
            some = [texts[i % len(texts)] for i in range(at, at + count)]
            for text in some[:WARM_UP]:
                alone(single, job, text, tokenizer)
            say({"seconds": [alone(single, job, text, tokenizer) for text in some]})
        elif word == "answers":
            every = encode(job, read_texts(job.all), tokenizer)
            say({"answers": answers(runner, every, choice["batch"]), "tokens": sum(len(i) for i, _ in every)})
        elif word == "memory":
            say({"peak": peak()})


def main():
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an engine prints must not mix with the replies
    job = Job(**json.loads(sys.argv[2]))
    module = importlib.import_module(job.peer)
    if sys.argv[1] == "--prepare":
        module.prepare(job)
        tune(module, job)
        return
    with open(choice_path(job)) as file:
        choice = json.load(file)
    mode = choice["mode"] if sys.argv[1] == "--serve" else module.Runner.MODES[0]
    runner = module.Runner(job, mode)
    if sys.argv[1] == "--once":
        once(runner, job, out)
    else:
        serve(module, runner, job, choice, out)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Time onnxruntime (CPU, f32) on the SST-2 dev set, set up as a careful user would, and check its answers.

    ort.py --model CHECKPOINT --data dev.tsv [--threads N] [--repetitions N] [--batch N] [--limit N] [--expected FILE.json]

Needs numpy, onnx, onnxruntime, tokenizers, and sympy (shape inference of the fusions). Graph optimisations are all on, after
onnxruntime.transformers' fusions (attention, skip + layer norm, bias + gelu; --no-fusion leaves these out). Texts are sorted by
length and padded in batches. Tokenising is timed apart. Prints one JSON object; tokens are real ones, padding is not counted;
tokens_per_second is of the median repetition.
"""
import argparse
import json
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
import tokenizers

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import onnx_export


def read_tsv(path, limit):
    lines = pathlib.Path(path).read_text(encoding="utf-8").split("\n")[1:]
    rows = [line.split("\t") for line in lines if line.strip()]
    return [r[0] for r in rows][:limit], np.array([int(r[1]) for r in rows][:limit])


def make_tokenizer(folder, max_length):
    settings = folder / "tokenizer_config.json"
    lower = json.loads(settings.read_text()).get("do_lower_case", True) if settings.exists() else True
    tokenizer = tokenizers.BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=lower)
    tokenizer.enable_truncation(max_length)
    return tokenizer


def make_session(folder, threads, fuse, where):
    """The session, and the names and counts of the fused nodes."""
    from onnxruntime.transformers import optimizer
    model, heads, width = onnx_export.build(folder)
    path = str(pathlib.Path(where) / "model.onnx")
    onnx.save(model, path)
    fused = {}
    if fuse:
        optimised = optimizer.optimize_model(path, model_type="bert", num_heads=heads, hidden_size=width, opt_level=0, use_gpu=False)
        fused = {k: v for k, v in optimised.get_fused_operator_statistics().items() if v}
        path = str(pathlib.Path(where) / "fused.onnx")
        optimised.save_model_to_file(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]), fused


def make_batches(ids, size):
    """(rows, inputs) per batch: sorted by length, padded to the longest of the batch."""
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    batches = []
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        longest = max(len(ids[i]) for i in rows)
        tokens = np.zeros((len(rows), longest), np.int64)
        mask = np.zeros_like(tokens)
        for r, i in enumerate(rows):
            tokens[r, : len(ids[i])] = ids[i]
            mask[r, : len(ids[i])] = 1
        batches.append((rows, {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}))
    return batches


def run(session, batches, count):
    names = {i.name for i in session.get_inputs()}
    feeds = [(rows, {k: v for k, v in feed.items() if k in names}) for rows, feed in batches]
    start = time.perf_counter()
    outputs = [session.run(None, feed)[0] for _, feed in feeds]
    seconds = time.perf_counter() - start
    logits = np.zeros((count, outputs[0].shape[1]), np.float32)
    for (rows, _), output in zip(feeds, outputs):
        logits[rows] = output
    return logits, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--no-fusion", action="store_true", help="leave out onnxruntime.transformers' fusions")
    parser.add_argument("--expected", help="JSON with the logits and ids of the first texts; a difference above 1e-4 fails")
    a = parser.parse_args()

    texts, labels = read_tsv(a.data, a.limit)
    tokenizer = make_tokenizer(a.model, a.max_length)
    start = time.perf_counter()
    ids = [e.ids for e in tokenizer.encode_batch(texts)]
    tokenising = time.perf_counter() - start
    batches = make_batches(ids, a.batch)
    with tempfile.TemporaryDirectory() as where:
        start = time.perf_counter()
        session, fused = make_session(a.model, a.threads, not a.no_fusion, where)
        load = time.perf_counter() - start
    run(session, batches[:1], len(texts))  # warm up
    results = [run(session, batches, len(texts)) for _ in range(a.repetitions)]
    logits, seconds = results[0][0], [s for _, s in results]
    tokens = sum(map(len, ids))
    report = {"engine": "onnxruntime", "version": onnxruntime.__version__, "threads": a.threads, "texts": len(texts), "tokens": tokens,
              "seconds": seconds, "tokens_per_second": tokens / statistics.median(seconds),
              "accuracy": float(np.mean(logits.argmax(1) == labels)), "seconds_tokenize": tokenising, "seconds_load": load,
              "batch": a.batch, "fused": fused}
    if a.expected:
        expected = json.loads(pathlib.Path(a.expected).read_text())
        n = min(len(expected["logits"]), len(texts))
        report["max_logit_difference"] = float(np.abs(logits[:n] - np.array(expected["logits"][:n])).max())
        same_ids = all(i == j for i, j in zip(expected["input_ids"], ids))
        if not (report["max_logit_difference"] <= 1e-4 and same_ids):
            print(json.dumps(report))
            raise SystemExit(f"logits or ids differ from {a.expected} (ids equal: {same_ids})")
    print(json.dumps(report))


if __name__ == "__main__":
    main()

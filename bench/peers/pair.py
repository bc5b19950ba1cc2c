#!/usr/bin/env python3
"""foveate against onnxruntime on SST-2's dev set, f32, in turn: a round is one pass of each.

    pair.py --model CHECKPOINT --data dev.tsv [--foveate PATH] [--threads N] [--rounds N] [--limit N]

onnxruntime as in ort.py. Prints one JSON object: tokens per second of both, the ratio per round, median, least and most."""
import argparse, json, pathlib, statistics, subprocess, sys, tempfile, time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import ort


def foveate_pass(a):
    command = [a.foveate, "bench", "--model", str(a.model), "--task", "sst2", "--data", a.data, "--limit", str(a.limit), "--threads",
               str(a.threads), "--repeat", "1", "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--foveate", default="build/release/foveate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=872)
    a = parser.parse_args()
    texts, _ = ort.read_tsv(a.data, a.limit)
    ids = [e.ids for e in ort.make_tokenizer(a.model, 128).encode_batch(texts)]
    batches, tokens = ort.make_batches(ids, 32), sum(map(len, ids))
    with tempfile.TemporaryDirectory() as where: session, _ = ort.make_session(a.model, a.threads, True, where)
    ort.run(session, batches[:1], len(texts))  # warm up
    rounds = []
    for _ in range(a.rounds):
        time.sleep(.5)  # threads of the last pass fall asleep
        theirs = tokens / ort.run(session, batches, len(texts))[1]
        time.sleep(.5)
        rounds.append((foveate_pass(a), theirs))
    ratios = [ours["tokens_per_second"] / theirs for ours, theirs in rounds]
    first = rounds[0][0]
    print(json.dumps({"cpu": first["cpu"], "tier": first["tier"], "threads": a.threads, "tokens": tokens,
                      "peak_gflops": max(r["peak_gflops"] for r, _ in rounds),
                      "foveate": statistics.median(r["tokens_per_second"] for r, _ in rounds),
                      "share_of_peak": statistics.median(r["share_of_peak"] for r, _ in rounds),
                      "onnxruntime": statistics.median(t for _, t in rounds), "version": ort.onnxruntime.__version__,
                      "ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}))


if __name__ == "__main__":
    main()

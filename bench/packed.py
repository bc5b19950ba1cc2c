#!/usr/bin/env python3
"""A packed model against its checkpoint: start to first label, and the memory of one and of two processes.

Start: a fresh process classifies one text; the two kinds take turns. Warm: the files are in the page cache; cold: they are dropped
from it before (POSIX_FADV_DONTNEED). Memory: Pss of /proc/PID/smaps_rollup, a process's own memory and its share of what it shares, after
texts were classified one by one; with --batches after full batches, whose working memory every process has for itself.

    python3 bench/packed.py --model MODELS/bert-base-uncased-sst2 --rounds 9
"""
import argparse
import os
import pathlib
import pty
import statistics
import subprocess
import tempfile
import time

TEXTS = ["the ending stayed with me for days .", "two hours of people explaining the plot to each other .", "no ."]


def pss(process):
    with open(f"/proc/{process.pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024


class Batched:
    """A process that has computed full batches, and stays: its working memory is its own."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        lines = 4096  # a block of the program
        self.process.stdin.write("no .\n" * lines)
        self.process.stdin.flush()
        for _ in range(lines):
            if not self.process.stdout.readline():
                raise SystemExit("foveate ended: " + " ".join(command))

    def end(self):
        self.process.kill()
        self.process.wait()


class Alive:
    """A process at a terminal answers line by line, and stays."""

    def __init__(self, command):
        self.terminal, end = pty.openpty()
        self.process = subprocess.Popen(command, stdin=end, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        os.close(end)
        for text in TEXTS:
            os.write(self.terminal, text.encode() + b"\n")
            if not self.process.stdout.readline():
                raise SystemExit("foveate ended: " + " ".join(command))

    def end(self):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)


def files_of(path):
    return [path] if path.is_file() else [p for p in path.iterdir() if p.is_file()]


def drop(path):
    for name in files_of(path):
        with open(name, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds(command):
    start = time.perf_counter()
    subprocess.run(command, input=TEXTS[0], text=True, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def show(values):
    return f"{statistics.median(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foveate", type=pathlib.Path, default=pathlib.Path("build/release/foveate"))
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--dtypes", default="f32,bf16,int8")
    parser.add_argument("--cold", action="store_true", help="with the files dropped from the page cache, too")
    parser.add_argument("--batches", action="store_true", help="memory after full batches")
    a = parser.parse_args()
    print("| type | model | file MiB | start, warm: s | " + ("start, cold: s | " if a.cold else "") + "one process MiB | two MiB | the second adds |")
    print("|---|---|---|---|" + ("---|" if a.cold else "") + "---|---|---|")
    with tempfile.TemporaryDirectory(dir=".") as place:
        for dtype in a.dtypes.split(","):
            file = pathlib.Path(place) / dtype
            subprocess.run([a.foveate, "import", "--pack", "--quiet", "--model", a.model, "--dtype", dtype, "--output", file], check=True)
            kinds = {"folder": (a.model, [str(a.foveate), "classify", "--quiet", "--model", str(a.model), "--dtype", dtype]),
                     "packed": (file, [str(a.foveate), "classify", "--quiet", "--model", str(file)])}
            warm, cold = {k: [] for k in kinds}, {k: [] for k in kinds}
            for _, command in kinds.values():
                seconds(command)
            for _ in range(a.rounds):
                for kind, (_, command) in kinds.items():
                    warm[kind].append(seconds(command))
            for _ in range(a.rounds if a.cold else 0):
                for kind, (path, command) in kinds.items():
                    drop(path)
                    cold[kind].append(seconds(command))
            for kind, (path, command) in kinds.items():
                work = Batched if a.batches else Alive
                first = work(command)
                one = pss(first.process)
                second = work(command)
                two = pss(first.process) + pss(second.process)
                second.end()
                first.end()
                size = sum(p.stat().st_size for p in files_of(path)) / 2**20
                print(f"| {dtype} | {kind} | {size:.0f} | {show(warm[kind])} | " + (f"{show(cold[kind])} | " if a.cold else "") +
                      f"{one:.0f} | {two:.0f} | {100 * (two - one) / one:.0f} % |", flush=True)
            os.chmod(file, 0o600)
            file.unlink()


if __name__ == "__main__":
    main()

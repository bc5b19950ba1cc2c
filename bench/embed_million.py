#!/usr/bin/env python3
"""`foveate embed` at scale: a million short texts, killed (SIGKILL) on the way and resumed, checked for what it promises.

    embed_million.py --texts sst2/train.tsv --work DIR [--model DIR] [--count 1000000] [--kills .1,.35,.6] [--threads N] [--dtype f32]

The texts are pieces of 3 to 8 words of the lines of --texts, made by arithmetic alone: the same ones every time. stderr is a
pseudo-terminal, so that rate and time left are shown and read here. Checked: every run shows both; after each kill the partial array
holds no fewer rows than before, and no more than were asked; memory stays flat (the peak grows by at most 8 MiB after the first 20000
texts of a run); the array has one row per text; rows at the seams and 2000 others equal, bit for bit, those of a separate run on these texts alone.
One JSON object on standard output; exit code 1 and a line on stderr when a promise is broken. The standard library suffices.
"""
import argparse
import ast
import json
import mmap
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import time

GROWTH, SETTLED = 8 << 20, 20000
SHOWN = re.compile(rb"(\d+) texts, (\d+)/s(?:, (\d+):(\d\d) left)?")


def make_texts(source, path, count):
    lines = pathlib.Path(source).read_text(encoding="utf-8").split("\n")[1:]
    lines = [words for words in (line.split("\t")[0].split() for line in lines) if len(words) >= 3]
    with open(path, "w", encoding="utf-8") as file:
        for i in range(count):
            words, turn = lines[i % len(lines)], i // len(lines)
            start = (turn * 3) % (len(words) - 2)
            file.write(" ".join(words[start : start + 3 + (i * 2654435761 >> 16) % 6]) + "\n")


class Array:
    """Rows of an .npy file as bytes."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        size = int.from_bytes(self.bytes[8:10], "little")
        self.at = 10 + size
        self.rows, self.columns = ast.literal_eval(self.bytes[10 : self.at].split(b"#")[0].decode().strip())["shape"]

    def row(self, i):
        size = 4 * self.columns
        return self.bytes[self.at + i * size : self.at + (i + 1) * size]


def memory(pid, name):
    try:
        with open(f"/proc/{pid}/status") as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith(name)), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def run(command, stop_at):
    """One run, killed once `stop_at` texts are shown (None: to its end). What was seen of it."""
    master, slave = os.openpty()
    start = time.monotonic()
    child = subprocess.Popen(command, stderr=slave, stdin=subprocess.DEVNULL)
    os.close(slave)
    residents, text, seen, first = [], b"", {"rates": 0, "left": 0, "rows": 0, "early": 0, "peak": 0, "killed": False}, None
    while True:
        ready = select.select([master], [], [], .2)[0]
        try:
            part = os.read(master, 65536) if ready else b""
        except OSError:  # the other end is closed
            break
        text = (text + part)[-4000:]
        for match in SHOWN.finditer(part):
            seen["rates"] += 1
            seen["left"] += match[3] is not None
            seen["rows"], seen["rate"] = int(match[1]), int(match[2])
            if match[3]:
                seen["promised"] = 60 * int(match[3]) + int(match[4]) + time.monotonic() - start
                seen.setdefault("promised_first", seen["promised"])
            first = seen["rows"] if first is None else first
        seen["peak"] = max(seen["peak"], memory(child.pid, "VmHWM"))
        resident = memory(child.pid, "VmRSS")
        if resident and first is not None:
            residents.append(resident)
        if not seen["early"] and first is not None and seen["rows"] - first >= SETTLED:
            seen["early"] = seen["peak"]
        if stop_at and seen["rows"] >= stop_at and not seen["killed"]:
            child.send_signal(signal.SIGKILL)
            seen["killed"] = True
        if child.poll() is not None and not ready:
            break
    os.close(master)
    seen["resident"] = [residents[i] for i in (0, len(residents) // 2, -1)] if residents else []  # at first, half-way, at the end
    seen.update(code=child.wait(), seconds=time.monotonic() - start, last=text.decode(errors="replace").strip().splitlines()[-1:] or [""])
    return seen


def fail(reason):
    print(f"embed_million: {reason}", file=sys.stderr)
    sys.exit(1)


def check_run(seen, index):
    if seen["code"] not in (0, -signal.SIGKILL):
        fail(f"run {index}: exit code {seen['code']}: {seen['last'][0]}")
    if not seen["rates"] or not seen["left"]:
        fail(f"run {index}: it showed {seen['rates']} rates and {seen['left']} times left")
    if seen["early"] and seen["peak"] > seen["early"] + GROWTH:
        fail(f"run {index}: memory grew from {seen['early']} to {seen['peak']} bytes")


def check_rows(a, texts, array, seams):
    """The rows at the seams and others spread over the file, against a run on these texts alone."""
    chosen = sorted({i for s in seams for i in range(s - 3, s + 3)} | {i * (a.count - 1) // 1999 for i in range(2000)})
    chosen = [i for i in chosen if 0 <= i < a.count]
    wanted = set(chosen)
    alone = a.work / "sample.txt"
    with open(texts, encoding="utf-8") as file, open(alone, "w", encoding="utf-8") as out:
        out.writelines(line for i, line in enumerate(file) if i in wanted)
    subprocess.run(command_of(a, alone, a.work / "sample.npy"), check=True, stderr=subprocess.DEVNULL)
    sample = Array(a.work / "sample.npy")
    wrong = [i for k, i in enumerate(chosen) if sample.row(k) != array.row(i)]
    if wrong:
        fail(f"{len(wrong)} of {len(chosen)} rows differ from those of the texts alone, the first is {wrong[0]}")
    return len(chosen)


def command_of(a, texts, output):
    return [str(a.foveate), "embed", *(["--model", str(a.model)] if a.model else []), *(["--threads", str(a.threads)] if a.threads else []),
            "--dtype", a.dtype, "--output", str(output), str(texts)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", required=True, help="a file whose first column has texts, below a header")
    parser.add_argument("--work", required=True, type=pathlib.Path, help="folder for the texts and the arrays")
    parser.add_argument("--model", help="[the embedded tiny-sentiment]")
    parser.add_argument("--foveate", default="build/release/foveate")
    parser.add_argument("--count", type=int, default=1000000)
    parser.add_argument("--kills", default=".1,.35,.6", help="shares of the texts after which the run is killed")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--dtype", default="f32")
    a = parser.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    texts, output = a.work / "texts.txt", a.work / "vectors.npy"
    partial = pathlib.Path(str(output) + ".partial")
    for old in (output, partial):
        old.unlink(missing_ok=True)
    make_texts(a.texts, texts, a.count)
    command, rows, seams, runs = command_of(a, texts, output) + ["--resume"], 0, [], []
    for index, share in enumerate([float(k) for k in a.kills.split(",") if k] + [None]):
        seen = run(command, share and int(share * a.count))
        check_run(seen, index)
        if share and not seen["killed"]:
            fail(f"run {index}: it ended before it was killed: give more texts")
        now = Array(partial if share else output).rows
        if not rows < now <= a.count:
            fail(f"run {index}: {now} rows after {rows}, of {a.count}")
        runs.append({"from": rows, "to": now, **{k: v for k, v in seen.items() if k not in ("rows", "last")}})
        rows = now
        seams.append(rows)
    if rows != a.count or partial.exists():
        fail(f"{rows} rows of {a.count} texts" + (", and a partial file is left" if partial.exists() else ""))
    array = Array(output)
    checked = check_rows(a, texts, array, seams)
    print(json.dumps({"texts": a.count, "columns": array.columns, "checked_rows": checked, "runs": runs,
                      "texts_per_second": a.count / sum(r["seconds"] for r in runs)}))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""foveate against the engines people use, on the same checkpoint, texts, processor cores and threads.

    peers.py --venv DIR --models MODELS --glue GLUE --imdb test.jsonl.xz [--peers ort,openvino] [--tasks sst2,mrpc] [...]

DIR gets a virtual environment with the versions pinned below, and the converted checkpoints. MODELS holds the Hugging Face folders
bert-base-uncased-{sst2,mrpc,imdb}, GLUE the folders sst2, mrpc and stsb with their dev.tsv. The task "embed" runs --embedder DIR, or
without it a model of all-MiniLM-L6's shape with random weights, which shows speed alone.

Steps (--steps): install; prepare (convert, choose batch size and mode: once per checkpoint, kept in DIR); start (process start to first
label, fresh processes); speed (real tokens per second, latency of single texts, peak memory); accuracy (also against foveate f32).
Every side is a process of its own, bound to the same cores, warmed up, and stopped (SIGSTOP) while another is measured. A round
measures each side once, in an order that rotates; ratios are taken within rounds. Peers get their texts tokenised, sorted by length
and padded in batches of the size that was fastest, and their converted checkpoints; foveate gets text, and packed checkpoints. Results are appended to --results as JSON lines; --table is
written from all of them. A side that cannot run is listed with its reason.

Short form, foveate and ONNX Runtime in f32 on SST-2: --peers ort --dtypes f32 --tasks sst2 --steps install,prepare,speed
"""
import argparse
import collections
import json
import os
import pathlib
import platform
import re
import select
import signal
import subprocess
import sys
import time

import table
import tasks

HERE = pathlib.Path(__file__).resolve().parent
COMMON = ["numpy==2.4.6", "tokenizers==0.23.3"]
Peer = collections.namedtuple("Peer", "module title pins dtypes")
PEERS = {
    "ort": Peer("ort", "ONNX Runtime", ["onnxruntime==1.31.1", "onnx==1.23.2", "sympy==1.14.0"], ("f32", "int8")),
    "openvino": Peer("ov", "OpenVINO", ["openvino==2026.4.1", "nncf==3.4.0", "onnx==1.23.2"], ("f32", "bf16", "int8")),
    "pytorch": Peer("pt", "PyTorch", ["torch==2.15.0", "transformers==5.23.0"], ("f32", "f32-compile", "bf16", "bf16-compile")),
    "ctranslate2": Peer("ct2", "CTranslate2", ["ctranslate2==4.8.5"], ("f32", "bf16", "int8")),
}
Side = collections.namedtuple("Side", "name dtype")
OURS = ("f32", "bf16", "int8")
LOAD_LIMIT, REPLY_LIMIT, SLOW_START = 400, 600, 15  # seconds


class Failed(Exception):
    pass


def say(*words):
    print(*words, file=sys.stderr, flush=True)


class Process:
    """A side that answers JSON lines; stopped between questions."""

    def __init__(self, command, environment, log):
        self.log = open(log, "w+")
        self.child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)

    def reply(self, limit):
        ready = select.select([self.child.stdout], [], [], limit)[0]
        line = self.child.stdout.readline() if ready else ""
        if line:
            return json.loads(line)
        self.end()
        raise Failed(last_line(self.log) if ready else f"no answer within {limit} s")

    def ask(self, *words):
        self.child.send_signal(signal.SIGCONT)
        try:
            self.child.stdin.write(" ".join(map(str, words)) + "\n")
            self.child.stdin.flush()
        except BrokenPipeError:
            pass  # reply() says why
        answer = self.reply(REPLY_LIMIT)
        self.child.send_signal(signal.SIGSTOP)
        return answer

    def end(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()


def last_line(log):
    log.flush()
    log.seek(0)
    lines = [line.strip() for line in log.read().splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it ended without a word"


class Bench:
    def __init__(self, a):
        self.a, self.failed, self.run_number = a, {}, int(time.time())
        self.work = a.venv / "work"
        self.work.mkdir(parents=True, exist_ok=True)
        self.python = {name: str(a.venv / "bin" / "python") for name in PEERS}
        self.python.update(dict(p.split("=", 1) for p in a.python))
        sides = [Side("foveate", d) for d in OURS] + [Side(n, d) for n in a.peers for d in PEERS[n].dtypes]
        self.sides = [s for s in sides if s.dtype.split("-")[0] in a.dtypes]
        self.environment = dict(os.environ, OMP_NUM_THREADS=str(a.threads), MKL_NUM_THREADS=str(a.threads), HF_HUB_OFFLINE="1",
                                OPENVINO_TELEMETRY="0", TOKENIZERS_PARALLELISM="true")

    def record(self, step, task, side, **fields):
        line = {"run": self.run_number, "step": step, "task": task, "engine": side.name, "dtype": side.dtype, "threads": self.a.threads, **fields}
        with open(self.a.results, "a") as file:
            file.write(json.dumps(line) + "\n")

    def fail(self, task, side, reason):
        self.failed[task, side] = reason
        say(f"  {side.name} {side.dtype}: not run: {reason}")
        self.record("not run", task, side, reason=reason)

    def alive(self, task):
        return [s for s in self.sides if (task, s) not in self.failed and (None, s) not in self.failed]

    # ---- jobs ----

    def open_task(self, name):
        """Write the texts; the job that every side gets."""
        a, t = self.a, tasks.TASKS[name]
        file = {"imdb": a.imdb, "embed": a.glue and a.glue / "stsb/dev.tsv"}.get(name) or (a.glue and a.glue / name / "dev.tsv")
        if not file or not (a.models or (name == "embed" and a.embedder)):
            raise Failed("needs --models and " + ("--imdb" if name == "imdb" else "--glue"))
        model = a.models / t.model if t.model else a.embedder or self.make_embedder()
        timed, every, self.gold = tasks.read(name, file, a.limit.get(name, t.limit), a.accuracy_limit.get(name, t.accuracy_limit))
        folder = self.work / f"{name}-{model.name}"
        folder.mkdir(exist_ok=True)
        for path, texts in ((folder / "texts.tsv", timed), (folder / "all.tsv", every), (folder / "one.tsv", timed[:1])):
            path.write_text("".join("\t".join(text) + "\n" for text in texts), encoding="utf-8")
        self.count, self.every = len(timed), len(every)
        return dict(model=str(model), embed=t.model is None, texts=str(folder / "texts.tsv"), all=str(folder / "all.tsv"),
                    threads=a.threads, max_length=t.max_length, work=str(folder), batches=t.batches, task=name)

    def make_embedder(self):
        folder = self.work / "minilm-shape-random"
        if not (folder / "config.json").exists():
            source = self.a.models / tasks.TASKS["sst2"].model / "vocab.txt"
            code = f"import checkpoint; checkpoint.make_embedder({str(folder)!r}, {str(source)!r})"
            python = next(p for n, p in self.python.items() if n in self.a.peers)
            subprocess.run([python, "-c", code], check=True, cwd=HERE, env=self.environment)
        return folder

    def command(self, side, job, how):
        if side.name != "foveate":
            full = dict(job, peer=PEERS[side.name].module, dtype=side.dtype)
            return [self.python[side.name], str(HERE / "side.py"), how, json.dumps(full)]
        model = str(self.prepared(side, job))
        if how == "--prepare":
            return [str(self.a.foveate), "import", "--model", job["model"], "--dtype", side.dtype, "--pack", "--output", model, "--quiet"]
        if how == "--once":
            return [str(self.a.foveate), "classify", "--model", model, "--threads", str(job["threads"]),
                    "--max-length", str(job["max_length"]), "--format", "tsv", "--quiet", job["work"] + "/one.tsv"]
        return [str(self.work / "foveate_side"), model, side.dtype, str(job["threads"]), str(job["max_length"]),
                "embed" if job["embed"] else "classify", job["texts"], job["all"]]

    def log(self, side):
        return self.work / f"{side.name}-{side.dtype}.log"

    def prepared(self, side, job):
        """What the step prepare leaves: a peer's batch size and mode, beside its converted checkpoint; foveate's packed model."""
        if side.name in PEERS:
            return pathlib.Path(job["work"]) / f"{PEERS[side.name].module}-{side.dtype}-{job['task']}.json"
        return pathlib.Path(job["work"]) / f"foveate-{side.dtype}.safetensors"

    def ready(self, job):
        """The sides that are prepared; why another is not was recorded then."""
        return [side for side in self.alive(job["task"]) if self.prepared(side, job).exists()]

    # ---- steps ----

    def build_ours(self):
        """foveate's side, against the library beside the program."""
        library = self.a.foveate.resolve().parent / "src"
        subprocess.run(["cc", "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", f"-I{HERE.parents[1] / 'include'}",
                        str(HERE / "foveate_side.c"), "-o", str(self.work / "foveate_side"), f"-L{library}", "-lfoveate",
                        f"-Wl,-rpath,{library}"], check=True)

    def install(self):
        if not (self.a.venv / "bin" / "python").exists():
            subprocess.run([sys.executable, "-m", "venv", str(self.a.venv)], check=True)
        for name in self.a.peers:
            if self.python[name] != str(self.a.venv / "bin" / "python"):
                continue
            say(f"install {name}: {' '.join(PEERS[name].pins + COMMON)}")
            done = subprocess.run([self.python[name], "-m", "pip", "install", "-q", *PEERS[name].pins, *COMMON], capture_output=True, text=True)
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["pip failed"])[-1][:300]
                for side in [s for s in self.sides if s.name == name]:
                    self.fail(None, side, "pip: " + reason)

    def prepare(self, job):
        for side in self.alive(job["task"]):
            left = self.prepared(side, job)
            if left.exists() and not self.a.again:
                continue
            left.unlink(missing_ok=True)
            start = time.time()
            with open(self.log(side), "w+") as log:
                code = subprocess.run(self.command(side, job, "--prepare"), env=self.environment, stdout=log, stderr=log).returncode
                if code:
                    self.fail(job["task"], side, last_line(log))
                    continue
            batch = f", {json.loads(left.read_text())['batch']} texts a batch" if side.name in PEERS else ""
            say(f"  {side.name} {side.dtype}: prepared in {time.time() - start:.0f} s{batch}")

    def start(self, job):
        seconds = collections.defaultdict(list)
        for r in range(self.a.rounds):
            for side in self.ready(job):
                if seconds[side] and seconds[side][-1] > SLOW_START:
                    continue
                with open(self.log(side), "w+") as log:
                    begin = time.perf_counter()
                    child = subprocess.Popen(self.command(side, job, "--once"), env=self.environment, stdout=subprocess.PIPE, stderr=log)
                    line = child.stdout.readline()
                    taken = time.perf_counter() - begin
                    child.stdout.close()
                    child.wait()
                    if not line:
                        self.fail(job["task"], side, last_line(log))
                    else:
                        seconds[side].append(taken)
        for side in self.ready(job):
            say(f"  {side.name} {side.dtype}: first label after {min(seconds[side]):.2f} s")
            self.record("start", job["task"], side, seconds=seconds[side])

    def open_sides(self, job, sides):
        """Side -> (process, what it said once it was warm)."""
        opened, tokens = {}, None
        for side in sides:
            process = Process(self.command(side, job, "--serve"), self.environment, self.log(side))
            try:
                ready = process.reply(LOAD_LIMIT)
                tokens = tokens or ready["tokens"]
                if ready["tokens"] != tokens:
                    process.end()
                    raise Failed(f"it makes {ready['tokens']} tokens of the texts, the others {tokens}")
                process.child.send_signal(signal.SIGSTOP)
                opened[side] = process, ready
            except Failed as failure:
                self.fail(job["task"], side, str(failure))
        return opened

    def speed(self, job):
        name, count = job["task"], tasks.TASKS[job["task"]].latency if self.a.latency is None else self.a.latency
        opened = self.open_sides(job, self.ready(job))
        rates, latencies, peaks = collections.defaultdict(list), collections.defaultdict(list), {}
        for r in range(self.a.rounds):
            order = list(opened)[r % len(opened) :] + list(opened)[: r % len(opened)] if opened else []
            for side in order:
                process, ready = opened[side]
                try:
                    rates[side].append(ready["tokens"] / process.ask("pass")["seconds"])
                    peaks.setdefault(side, process.ask("memory")["peak"])
                    if count:
                        latencies[side].append(process.ask("latency", r * count, count)["seconds"])
                except Failed as failure:
                    self.fail(name, side, str(failure))
                    del opened[side]
        for side, (process, ready) in opened.items():
            process.end()
            middle = sorted(rates[side])[len(rates[side]) // 2]
            say(f"  {side.name} {side.dtype}: {middle:.0f} tokens/s [{min(rates[side]):.0f}, {max(rates[side]):.0f}], {peaks[side] >> 20} MiB")
            self.record("speed", name, side, texts=self.count, rounds=rates[side], latency=latencies[side], peak=peaks[side], **ready)

    def accuracy(self, job):
        reference = None
        for side in self.ready(job):  # foveate f32 is the first
            for process, ready in self.open_sides(job, [side]).values():
                try:
                    answers = process.ask("answers")["answers"]
                except Failed as failure:
                    self.fail(job["task"], side, str(failure))
                    continue
                process.end()
                reference = reference or (answers if side == Side("foveate", "f32") else None)
                unlike = tasks.difference(job["task"], answers, reference) if reference else None
                merit = tasks.merit(job["task"], answers, self.gold)
                say(f"  {side.name} {side.dtype}: {merit:.4f}" + (f", unlike foveate f32: {unlike:.4f}" if reference else ""))
                self.record("accuracy", job["task"], side, texts=self.every, merit=merit, unlike=unlike)

    def run(self):
        a = self.a
        if "install" in a.steps:
            self.install()
        self.build_ours()
        machine = {"run": self.run_number, "step": "machine", "cpu": cpu_name(), "cores": sorted(os.sched_getaffinity(0)), "threads": a.threads,
                   "kernel": platform.release(), "command": " ".join(["bench/peers/peers.py"] + [re.sub(r"[^=]*/", "", word) for word in sys.argv[1:]]),
                   "date": time.strftime("%Y-%m-%d", time.gmtime())}
        with open(a.results, "a") as file:
            file.write(json.dumps(machine) + "\n")
        for name in a.tasks:
            try:
                job = self.open_task(name)
            except (Failed, OSError) as failure:
                say(f"{name}: not run: {failure}")
                continue
            for step in [s for s in ("prepare", "start", "speed", "accuracy") if s in a.steps]:
                if step == "start" and not tasks.TASKS[name].start:
                    continue
                begin = time.time()
                say(f"{name}: {step}")
                getattr(self, step)(job)
                say(f"{name}: {step} took {time.time() - begin:.0f} s")
        if a.table:
            a.table.write_text(table.markdown(a.results, {n: p.title for n, p in PEERS.items()}))


def cpu_name():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), platform.machine())


def words(allowed):
    def parse(text):
        found = text.split(",")
        for word in found:
            if word not in allowed:
                raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(allowed)}")
        return found
    return parse


def numbers(text):
    return {name: int(value) for name, value in (part.split("=") for part in text.split(","))}


def main():
    steps = ("install", "prepare", "start", "speed", "accuracy")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    path = pathlib.Path
    parser.add_argument("--venv", required=True, type=lambda p: path(p).absolute(), help="folder of the virtual environment")
    parser.add_argument("--models", type=path)
    parser.add_argument("--glue", type=path)
    parser.add_argument("--imdb", type=path)
    parser.add_argument("--embedder", type=path)
    parser.add_argument("--foveate", type=path, default=path("build/release/foveate"))
    parser.add_argument("--peers", type=words(PEERS), default=list(PEERS))
    parser.add_argument("--dtypes", type=words(OURS), default=list(OURS))
    parser.add_argument("--tasks", type=words(tasks.TASKS), default=list(tasks.TASKS))
    parser.add_argument("--steps", type=words(steps), default=list(steps))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=numbers, default={}, metavar="TASK=N,...", help="texts of a timed pass")
    parser.add_argument("--accuracy-limit", type=numbers, default={}, metavar="TASK=N,...", help="texts of the accuracy, 0: all")
    parser.add_argument("--latency", type=int, help="single texts per round")
    parser.add_argument("--cores", type=lambda t: [int(c) for c in t.split(",")], help="cores that every side is bound to [all allowed]")
    parser.add_argument("--threads", type=int, help="threads of every side [as many as cores]")
    parser.add_argument("--python", action="append", default=[], metavar="PEER=PATH", help="an interpreter that has the peer already")
    parser.add_argument("--again", action="store_true", help="prepare again what is prepared")
    parser.add_argument("--results", type=path, default=path("peers.jsonl"))
    parser.add_argument("--table", type=path)
    a = parser.parse_args()
    if a.cores:
        os.sched_setaffinity(0, a.cores)
    a.threads = a.threads or len(os.sched_getaffinity(0))
    a.models, a.glue, a.embedder = (p and p.absolute() for p in (a.models, a.glue, a.embedder))
    Bench(a).run()


if __name__ == "__main__":
    main()

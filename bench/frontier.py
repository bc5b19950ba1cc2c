#!/usr/bin/env python3
"""What the calibrated methods save and lose, behind docs/results/frontier.md. For every task:

  calibrate  a profile from texts of the training set, without labels
  eval       each setting below with its defaults, and the ablations, on the whole development set
  tune       `foveate tune` on one half of the development set, judged on the other, and the other way round, in each of --tune-types
  time       the settings tuned in f32 and some defaults, in each of --types, in turn with exact of the same type: time and loss

    frontier.py --models DIR --data DIR --out DIR [--tasks sst2,cola] [--steps eval,tune] [--table frontier.md]

DIR of --models has the Hugging Face folders, of --data glue/TASK/{train,dev}.tsv, imdb/{train,test}.jsonl.xz, aapd/text_{val,test} and
hnd/articles-*.xml with hnd-dev-ids.json. Results are JSON files in --out; those there are kept. With --parallel the tasks run
side by side, each on cores of its own: only ratios within a job mean something then.
"""
import argparse
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree

sys.path.append(str(pathlib.Path(__file__).resolve().parent / "peers"))
import texts

# texts: of the calibration; limit: texts judged; weight: its share of the cores, by its work; timed: texts of `time`, which has many
# passes; points: the loss that tune accepts where the halves are too small for --max-loss
Task = collections.namedtuple("Task", "model name train columns texts data limit length weight timed points", defaults=(0, 0))
TASKS = {
    "sst2": Task("bert-base-uncased-sst2", "sst2", "glue/sst2/train.tsv", ("sentence",), 4000, "glue/sst2/dev.tsv", 0, 128, 32),
    "cola": Task("bert-base-uncased-cola", "cola", "glue/cola/train.tsv", (3,), 4000, "glue/cola/dev.tsv", 0, 128, 19),
    "mrpc": Task("bert-base-uncased-mrpc", "mrpc", "glue/mrpc/train.tsv", ("#1 String", "#2 String"), 2000, "glue/mrpc/dev.tsv", 0, 128, 34),
    "stsb": Task("bert-base-uncased-stsb", "stsb", "glue/stsb/train.tsv", ("sentence1", "sentence2"), 3000, "glue/stsb/dev.tsv", 1000, 128, 44),
    "rte": Task("bert-base-uncased-rte", "rte", "glue/rte/train.tsv", ("sentence1", "sentence2"), 2000, "glue/rte/dev.tsv", 0, 128, 29, points=0.75),
    "imdb": Task("bert-base-uncased-imdb", "imdb", "imdb/train.jsonl.xz", "text", 500, "imdb/test.jsonl.xz", 400, 512, 120,
                 timed=100, points=1),
    "longformer-imdb": Task("longformer-4096-imdb", "imdb", "imdb/train.jsonl.xz", "text", 400, "imdb/test.jsonl.xz", 200, 1024, 27,
                            timed=80, points=1),
    "longformer-aapd": Task("longformer-4096-aapd", "aapd", "aapd/text_val", None, 500, "aapd/text_test", 200, 512, 19, timed=100, points=1),
    "longformer-hnd": Task("longformer-4096-hnd", "hnd", "hnd", None, 150, "hnd", 0, 2048, 43, timed=40, points=1.6),
}
SETTINGS = {  # name: (setting, what it shows)
    "regress": ("values=regress", "default"),
    "regress, .1": ("values=regress:lambda=.1", "budget"),
    "regress, .2": ("values=regress:lambda=.2", "budget"),
    "lowrank": ("values=lowrank", "linear features in place of chosen ones"),
    "poisson": ("values=poisson", "unbiased"),
    "mca, calibrated": ("values=mca:p=calibrated", "the paper's estimator, best p"),
    "mca": ("values=mca", "the paper's estimator, real lengths"),
    "guided": ("ffn=guided", "default"),
    "guided, .006": ("ffn=guided:lambda=.006", "budget"),
    "guided, .01": ("ffn=guided:lambda=.01", "budget"),
    "guided without importance": ("ffn=guided:beta=0", "every token alike, by error alone"),
    "narrow": ("ffn=narrow", "one level for all"),
    "narrow heads": ("attention=narrow", "default: queries and keys of fewer columns"),
    "narrow heads, values too": ("attention=narrow:kappa=.3", "the same of values and outputs"),
    "narrow heads, values too + guided .006": ("attention=narrow:kappa=.3;ffn=guided:lambda=.006", "budget"),
    "narrow heads + regress .05 + guided .006": ("attention=narrow;values=regress:lambda=.05;ffn=guided:lambda=.006", "budget"),
    "narrow heads + regress + guided": ("attention=narrow;values=regress;ffn=guided", "all defaults"),
    "regress + guided": ("values=regress;ffn=guided", "both defaults"),
    "regress + guided .006": ("values=regress;ffn=guided:lambda=.006", "budget"),
    "regress .1 + guided .006": ("values=regress:lambda=.1;ffn=guided:lambda=.006", "budget"),
    "lowrank + guided": ("values=lowrank;ffn=guided", "both defaults"),
    "lowrank + guided .006": ("values=lowrank;ffn=guided:lambda=.006", "budget"),
    "regress + narrow": ("values=regress;ffn=narrow", "both defaults"),
}
LONG = {  # of the Longformer, whose texts are many times as long
    **{name: SETTINGS[name] for name in ("regress", "lowrank", "guided", "guided, .006", "narrow", "regress + guided", "regress + narrow")},
    "guided, .02": ("ffn=guided:lambda=.02", "budget"),
    "guided, .04": ("ffn=guided:lambda=.04", "budget"),
    "regress + guided .02": ("values=regress;ffn=guided:lambda=.02", "budget"),
    "regress + guided .04": ("values=regress;ffn=guided:lambda=.04", "budget"),
    "lowrank + guided .02": ("values=lowrank;ffn=guided:lambda=.02", "budget"),
}
TIMED = {  # besides those tuned: of f32 the time, of the others whether they keep their loss and saving too
    "f32": ("values=regress;ffn=guided", "values=regress;ffn=narrow"),
    "bf16": ("values=regress", "values=lowrank", "values=regress;ffn=guided", "values=regress;ffn=narrow"),
    "int8": ("values=regress", "values=lowrank", "values=regress;ffn=guided", "values=regress;ffn=narrow"),
}
LONG_TIMED = dict.fromkeys(
    TIMED, (*TIMED["f32"], "values=regress;ffn=guided:lambda=.02", "values=regress;ffn=guided:lambda=.04"))
STEPS = ("calibrate", "eval", "tune", "time")
WAYS = ("first", "second")
BERT = [name for name in TASKS if not name.startswith("longformer")]


def read_train(task, data):
    """Every k-th text of the training set, as lines for calibrate."""
    path = data / task.train
    if task.name == "imdb":
        lines = [" ".join(row["text"].split()) for row in texts.objects(path)]
    elif task.name == "hnd":
        dev = set(map(str, json.loads((path / "hnd-dev-ids.json").read_text())))
        root = xml.etree.ElementTree.parse(next(path.glob("articles-*.xml"))).getroot()
        lines = [a.get("title", "") + ". " + " ".join(" ".join(a.itertext()).split()) for a in root if a.get("id") not in dev]
    elif task.columns is None:
        lines = list(texts.lines(path))
    else:
        lines = ["\t".join(row) for row in texts.rows(path, task.columns)]
    step = max(1, len(lines) // task.texts)
    return lines[::step][: task.texts]


def settings_of(name):
    return SETTINGS if name in BERT else LONG


def timed_of(name):
    return TIMED if name in BERT else LONG_TIMED


class Frontier:
    def __init__(self, a):
        self.a = a
        self.cores = sorted(os.sched_getaffinity(0))
        a.out.mkdir(parents=True, exist_ok=True)

    def path(self, name, kind):
        return self.a.out / f"{name}.{kind}"

    def common(self, name, training=False, most=0):
        t = TASKS[name]
        words = ["--model", self.a.models / t.model, "--max-length", t.length]
        if training:
            return words
        data = self.a.data / t.data
        words += ["--task", t.name, "--data", next(data.glob("articles-*.xml")) if t.name == "hnd" else data]
        words += ["--ids", data / "hnd-dev-ids.json"] if t.name == "hnd" else []
        limit = min(n for n in (t.limit, most, self.a.limit, 1 << 30) if n)
        words += ["--limit", limit] if limit < 1 << 30 else []
        return words + ["--profile", self.path(name, "profile")]

    def calibrate(self, name):
        t, listed = TASKS[name], self.path(name, "texts")
        listed.write_text("".join(line + "\n" for line in read_train(t, self.a.data)[: self.a.limit or None]), encoding="utf-8")
        pairs = ["--pairs"] if t.columns and len(t.columns) == 2 else []
        profile = self.path(name, "profile")
        return [(profile, ["calibrate", "--data", listed, "-o", profile, *pairs, *self.common(name, True)])]

    def eval(self, name):
        out = self.path(name, "eval.json")
        words = [word for setting, _ in settings_of(name).values() for word in ("--compare", setting)]
        return [(out, ["eval", "--json", out, "--rounds", 1, "--seeds", self.a.seeds, *words, *self.common(name)])]

    def tune(self, name):
        jobs = []
        for dtype in self.a.tune_types:
            for way in WAYS:
                out = self.path(name, tune_file(way, dtype))
                words = ["tune", "--json", out, "--by", self.a.by, "--dtype", dtype, "--dry-run", *self.common(name)]
                words += ["--max-loss", max(self.a.max_loss, TASKS[name].points), "--journal", out.with_suffix(".journal")]
                words += ["--budget", self.a.budget] if self.a.budget else []
                jobs.append((out, words + (["--swap"] if way == "second" else [])))
        return jobs

    def time(self, name):
        chosen = [c["setting"] for way in WAYS for c in tuned(self.path(name, tune_file(way, "f32"))).values() if c["setting"] != "exact"]
        jobs = []
        for dtype in self.a.types:
            others = timed_of(name)[dtype]
            out = self.path(name, f"time-{dtype}.json")
            able = [s for s in dict.fromkeys([*chosen, *others]) if dtype == "f32" or "poisson" not in s and "topk" not in s]
            words = [word for setting in able for word in ("--compare", setting)]
            words += ["--dtype", dtype, "--rounds", self.a.rounds, *self.common(name, most=TASKS[name].timed)]
            jobs.append((out, ["eval", "--json", out, *words]))
        return jobs

    def shares(self):
        """Cores of each task: all when they run one after another, else as many as its work wants."""
        if not self.a.parallel:
            return [self.cores for _ in self.a.tasks]
        weights, left = [TASKS[name].weight for name in self.a.tasks], list(self.cores)
        counts = [2 for _ in weights]
        for _ in range(len(left) - sum(counts)):  # the next core goes where a core has most to do
            counts[max(range(len(counts)), key=lambda i: weights[i] / counts[i])] += 1
        return [[left.pop(0) for _ in range(min(count, len(left)))] or self.cores[-2:] for count in counts]

    def start(self, out, words, cores):
        log = open(str(out) + ".log", "w")
        command = [str(w) for w in [self.a.foveate, *words, "--threads", len(cores), "--quiet"]]
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, preexec_fn=lambda: os.sched_setaffinity(0, cores))

    def run_jobs(self, jobs, cores):
        for out, words in jobs:
            begin = time.time()
            code = self.start(out, words, cores).wait()
            state = "" if code == 0 or (".tune-" in out.name and out.exists()) else f", FAILED: see {out}.log"
            print(f"{out.name}: {time.time() - begin:.0f} s{state}", file=sys.stderr, flush=True)

    def chain(self, name, cores):
        for step in [s for s in STEPS if s in self.a.steps]:
            if step != "calibrate" and not self.path(name, "profile").exists():
                print(f"{name}: no profile: the rest is left out", file=sys.stderr, flush=True)
                return
            jobs = [job for job in getattr(self, step)(name) if self.a.again or not job[0].exists()]
            if step == "tune" and self.a.parallel and len(cores) > 1:  # each way round has its cores, whatever is left to do
                ways = [threading.Thread(target=self.run_jobs, args=([job for job in jobs if f"-{way}" in job[0].name], cores[i::2]))
                        for i, way in enumerate(WAYS)]
                for way in ways:
                    way.start()
                for way in ways:
                    way.join()
            else:
                self.run_jobs(jobs, cores)

    def run(self):
        chains = [threading.Thread(target=self.chain, args=pair) for pair in zip(self.a.tasks, self.shares())]
        for chain in chains:
            chain.start()
            if not self.a.parallel:
                chain.join()
        for chain in chains:
            chain.join()


# ---- the table ----


def load(path):
    return json.loads(path.read_text()) if path.exists() else None


def tune_file(way, dtype):
    return f"tune-{way}.json" if dtype == "f32" else f"tune-{way}-{dtype}.json"


def tuned(path):
    """What the other half says of the setting that the choosing half prefers (first), and of the one tune takes (taken)."""
    report = load(path)
    if not report:
        return {}
    tried = {row["setting"]: row for row in report["tried"]}
    found = {}
    for kind, setting in (("first", report["tested"][0] if report["tested"] else "exact"), ("taken", report["chosen"] or "exact")):
        row = tried[setting].get("second")
        if row:
            found[kind] = dict(setting=setting, accepted=report["max_loss"], loss=row["loss"], low=row["low"], high=row["high"],
                               fewer=1 / row["flops_real_share"], speed=row["speedup"])
    return found


def geometric(values):
    values = list(values)
    return statistics.geometric_mean(values) if values else float("nan")


def fewer(row, part):
    return row["flops_real"][part]["exact"] / row["flops_real"][part]["done"]


def table_defaults(a, names, part, title):
    found = {name: load(a.out / f"{name}.eval.json") for name in names}
    found = {name: report for name, report in found.items() if report}
    lines = [f"| {title} | " + " | ".join(found) + " | mean loss | fewer |", "|---|" + "---|" * (len(found) + 2)]
    settings = settings_of(names[0])
    for name, setting in [("exact", "exact"), *((name, settings[name][0]) for name in settings)]:
        if part == "values" and ("ffn" in setting or "attention" in setting):
            continue
        cells, losses, ratios = [], [], []
        for report in found.values():
            row = next((r for r in report["compared"] if r["setting"] == setting), None)
            if not row:
                cells.append("")
                continue
            exact = report["compared"][0]["metric"]["mean"]
            cells.append(f"{row['metric']['mean']:.3f} @ {fewer(row, part):.2f}")
            losses.append(100 * (exact - row["metric"]["mean"]))
            ratios.append(fewer(row, part))
        if not losses:
            continue
        label = name if name == "exact" else f"{name} `{setting}`"
        lines.append(f"| {label} | " + " | ".join(cells) + f" | {statistics.mean(losses):+.2f} | {geometric(ratios):.2f} |")
    return lines


def speed_cell(speed):
    return f"{speed['median']:.2f} [{speed['min']:.2f}, {speed['max']:.2f}]"


def table_tuned(a, names, dtype):
    """A row for each half's first choice, and one for what tune takes where that is another; speeds of tune itself and of `time`."""
    timed = [d for d in TIMED if dtype == "f32" and any((a.out / f"{n}.time-{d}.json").exists() for n in names)]
    lines = [f"| task, points accepted | chosen on | setting | loss on the other half, points | fewer multiply-adds | {dtype}: times as fast there |"
             + "".join(f" {d}: on all |" for d in timed), "|---" * (6 + len(timed)) + "|"]
    means = {kind: collections.defaultdict(list) for kind in ("first", "taken")}
    for name in names:
        speeds = {d: load(a.out / f"{name}.time-{d}.json") for d in timed}
        for way in WAYS:
            found = tuned(a.out / f"{name}.{tune_file(way, dtype)}")
            for kind, t in found.items():
                rows = {d: report and next((r for r in report["compared"] if r["setting"] == t["setting"]), None) for d, report in speeds.items()}
                for key, value in (("loss", t["loss"]), ("fewer", t["fewer"]), ("there", t["speed"]["median"])):
                    means[kind][key, name].append(value)
                for d, row in rows.items():
                    if row:
                        means[kind][d, name].append(row["speedup"]["median"])
                if kind == "taken" and "first" in found and t["setting"] == found["first"]["setting"]:
                    continue
                cells = [speed_cell(row["speedup"]) if row else "" for row in rows.values()]
                label = f"`{t['setting']}`" + (" (taken)" if kind == "taken" else "")
                lines.append(f"| {name}, {t['accepted']:g} | {way} | {label} | {t['loss']:+.2f} [{t['low']:+.2f}, {t['high']:+.2f}] | "
                             f"{t['fewer']:.2f} | {speed_cell(t['speed'])} |" + "".join(f" {c} |" for c in cells))
    for kind, label in (("first", "first choices"), ("taken", "what tune takes")):
        over = lambda key: [statistics.mean(means[kind][key, n]) for n in names if means[kind][key, n]]
        if over("loss"):
            lines.append(f"| mean, {label} | | | {statistics.mean(over('loss')):+.2f} | {geometric(over('fewer')):.2f} | {geometric(over('there')):.2f} |"
                         + "".join(f" {geometric(over(d)):.2f} |" for d in timed))
    return lines


def table_types(a, names):
    """Loss against exact of the same type, and how many times as fast, of the settings that were not tuned."""
    names = [n for n in names if any((a.out / f"{n}.time-{d}.json").exists() for d in TIMED)]
    lines = ["| type | setting | " + " | ".join(names) + " | mean loss | fewer | times as fast |",
             "|---|---|" + "---|" * (len(names) + 3)]
    for dtype, settings in timed_of(names[0]).items() if names else ():
        for setting in ("exact", *settings):
            cells, losses, ratios, speeds = [], [], [], []
            for report in (load(a.out / f"{n}.time-{dtype}.json") for n in names):
                row = report and next((r for r in report["compared"] if r["setting"] == setting), None)
                if not row:
                    cells.append("")
                    continue
                losses.append(100 * (report["compared"][0]["metric"]["mean"] - row["metric"]["mean"]))
                ratios.append(fewer(row, "total"))
                speeds.append(row["speedup"]["median"])
                cells.append(f"{row['metric']['mean']:.3f}" if setting == "exact" else
                             f"{losses[-1]:+.2f} @ {speed_cell(row['speedup'])}")
            if losses:
                lines.append(f"| {dtype} | {setting if setting == 'exact' else f'`{setting}`'} | " + " | ".join(cells) +
                             f" | {statistics.mean(losses):+.2f} | {geometric(ratios):.2f} | {geometric(speeds):.2f} |")
    return lines


def table(a):
    there = lambda names, *kinds: any((a.out / f"{n}.{kind}").exists() for n in names for kind in kinds)
    reports = [load(path) for n in a.tasks for path in sorted(a.out.glob(f"{n}.*.json"))]
    if not reports:
        return "no results\n"
    lines = [f"{reports[0]['cpu']}, kernels {reports[0]['tier']}.", ""]
    for names, what in ((BERT, "BERT-base"), ([n for n in TASKS if n not in BERT], "Longformer")):
        names = [n for n in names if n in a.tasks]
        if there(names, "eval.json"):
            lines += [f"### {what}: the value projection", "", *table_defaults(a, names, "values", "metric @ times fewer"), ""]
            lines += [f"### {what}: the whole encoder", "", *table_defaults(a, names, "total", "metric @ times fewer"), ""]
        for dtype in TIMED:
            if there(names, *(tune_file(way, dtype) for way in WAYS)):
                lines += [f"### {what}: tuned in {dtype}", "", *table_tuned(a, names, dtype), ""]
        if there(names, *(f"time-{dtype}.json" for dtype in TIMED)):
            lines += [f"### {what}: exact's metric by type, and points lost @ times as fast", "", *table_types(a, names), ""]
    return "\n".join(lines)


def main():
    path, words = pathlib.Path, lambda t: t.split(",")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=path, required=True)
    parser.add_argument("--data", type=path, required=True)
    parser.add_argument("--out", type=path, required=True)
    parser.add_argument("--foveate", type=path, default=path("build/release/foveate"))
    parser.add_argument("--tasks", type=words, default=BERT)
    parser.add_argument("--steps", type=words, default=list(STEPS))
    parser.add_argument("--max-loss", type=float, default=0.5)
    parser.add_argument("--by", choices=("time", "work"), default="time", help="what tune saves")
    parser.add_argument("--budget", type=float, default=0, help="minutes of each run of tune; 0: as long as it takes")
    parser.add_argument("--tune-types", type=words, default=["f32"], help="types that tune runs in")
    parser.add_argument("--types", type=words, default=list(TIMED), help="types of time")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=0, help="at most so many texts in every step, for a trial")
    parser.add_argument("--parallel", action="store_true")
    parser.add_argument("--again", action="store_true", help="run what has its result already")
    parser.add_argument("--table", type=path, help="write the tables there")
    a = parser.parse_args()
    for word, known in [(t, TASKS) for t in a.tasks] + [(s, STEPS) for s in a.steps if s] + [(d, TIMED) for d in a.types + a.tune_types]:
        if word not in known:
            parser.error(f"{word!r} is none of {', '.join(known)}")
    Frontier(a).run()
    if a.table:
        a.table.write_text(table(a))


if __name__ == "__main__":
    main()

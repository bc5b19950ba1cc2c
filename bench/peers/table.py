"""The JSON lines of peers.py as one markdown table. A ratio compares rounds of the same run; of several runs the last counts."""
import json
import statistics

TASKS = {"sst2": "SST-2", "mrpc": "MRPC", "imdb": "IMDB (512)", "embed": "embeddings"}
COLUMNS = ("task", "type", "engine", "real tokens/s", "foveate's / it", "batch 1: p50 ms", "p99", "foveate's / it", "start-up s", "foveate's / it",
           "peak MiB", "accuracy", "labels unlike foveate f32")


def read(path):
    """(machines by run, the last record of each step, task, engine and type)."""
    machines, last = {}, {}
    with open(path) as file:
        for row in map(json.loads, file):
            if row["step"] == "machine":
                machines[row["run"]] = row
                continue
            if row["step"] != "not run":
                last.pop(("not run", row["task"], row["engine"], row["dtype"]), None)
            last[row["step"], row["task"], row["engine"], row["dtype"]] = row
    return machines, last


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


def middle(values, form):
    """Median [least, most]."""
    if len(values) == 1:
        return format(values[0], form)
    return f"{statistics.median(values):{form}} [{min(values):{form}}, {max(values):{form}}]"


class Row:
    """What is known of one engine in one type on one task."""

    def __init__(self, last, task, engine, dtype):
        self.task, self.engine, self.dtype = task, engine, dtype
        self.speed, self.start, self.accuracy = (last.get((s, task, engine, dtype)) for s in ("speed", "start", "accuracy"))
        none = last.get(("not run", task, engine, dtype)) or last.get(("not run", None, engine, dtype))
        self.reason = none and none["reason"]

    def values(self, what):
        """Per round: tokens per second, median latency, seconds to the first label."""
        if what == "start":
            return self.start["seconds"] if self.start else []
        if not self.speed:
            return []
        return self.speed["rounds"] if what == "rate" else [statistics.median(one) for one in self.speed["latency"]]

    def same_run(self, other, what):
        mine, theirs = (r.start if what == "start" else r.speed for r in (self, other))
        return mine and theirs and mine["run"] == theirs["run"]

    def ratios(self, ours, what):
        """foveate's figure over this one's, round by round."""
        if self.engine == "foveate" or not ours.same_run(self, what):
            return []
        return [a / b for a, b in zip(ours.values(what), self.values(what))]


def cells(row, ours, titles):
    ratio = lambda what: middle(row.ratios(ours, what), ".2f") if row.ratios(ours, what) else ""
    singles = [1e3 * s for one in row.speed["latency"] for s in one] if row.speed else []
    return (TASKS[row.task], row.dtype, titles.get(row.engine, "**foveate**"), middle(row.values("rate"), ".0f") if row.speed else "",
            ratio("rate"), middle([1e3 * v for v in row.values("latency")], ".1f") if singles else "",
            f"{quantile(singles, .99):.1f}" if singles else "", ratio("latency") if singles else "",
            middle(row.start["seconds"], ".2f") if row.start else "", ratio("start"), f"{row.speed['peak'] / 2**20:.0f}" if row.speed else "",
            f"{row.accuracy['merit']:.4f}" if row.accuracy else "",
            f"{100 * row.accuracy['unlike']:.1f} %" if row.accuracy and row.accuracy["unlike"] is not None and row.task != "embed" else "")


def best(rows, ours, titles):
    """One line: foveate against the best peer of the class, per figure."""
    parts = []
    for what, name, better in (("rate", "throughput", max), ("latency", "latency", min), ("start", "start-up", min)):
        able = [r for r in rows if r.engine != "foveate" and r.values(what) and r.ratios(ours, what)]
        if able:
            peer = better(able, key=lambda r: statistics.median(r.values(what)))
            parts.append(f"{name} {middle(peer.ratios(ours, what), '.2f')} ({titles[peer.engine]} {peer.dtype})")
    return "; ".join(parts)


def markdown(path, titles):
    machines, last = read(path)
    used = sorted({row["run"] for row in last.values()})
    versions = {d: v for row in last.values() for d, v in row.get("versions", {}).items()}
    out = ["# Against other engines", "", "Written by `bench/peers/peers.py`, whose head says how each side is run. Median [least, most] over rounds; "
           "p99 over all single texts; ratios within rounds: above 1 is faster for tokens/s, below 1 for seconds.", ""]
    for run in used:
        m = machines[run]
        out += [f"{m['date']}, {m['cpu']}, cores {m['cores']}, {m['threads']} threads, Linux {m['kernel']}:", "", f"    {m['command']}", ""]
    out += ["Versions: " + ", ".join(f"{d} {v}" for d, v in sorted(versions.items())) + ".", ""]
    keys = sorted({key[1:] for key in last if key[1]}, key=lambda k: (list(TASKS).index(k[0]), k[2].split("-")[0] != "f32", k[2].split("-")[0], k[1] != "foveate", k[1], k[2]))
    rows = [Row(last, *key) for key in keys]
    out += ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    bars, missing = [], []
    for row in rows:
        kind = row.dtype.split("-")[0]
        ours = Row(last, row.task, "foveate", kind)
        if row.speed or row.start or row.accuracy:
            out.append("| " + " | ".join(cells(row, ours, titles)) + " |")
        if row.reason:
            missing.append(f"- {TASKS[row.task]}, {titles.get(row.engine, 'foveate')} {row.dtype}: not run: {row.reason}")
        if row.engine == "foveate":
            line = best([r for r in rows if r.task == row.task and r.dtype.split("-")[0] == kind], ours, titles)
            bars += [f"- {TASKS[row.task]}, {kind}: {line}"] if line else []
    for (step, task, engine, dtype), row in last.items():
        if step == "not run" and task is None:
            missing.append(f"- {titles.get(engine, 'foveate')} {dtype}: not run: {row['reason']}")
    out += ["", "foveate over the best peer of the same class:", ""] + bars
    texts = [f"{TASKS[k[1]]} {k[0]} {r['texts']}" for k, r in last.items() if k[0] in ("speed", "accuracy") and k[2] == "foveate" and k[3] == "f32"]
    out += ["", "Texts: " + ", ".join(texts) + "."] + (["", "Not run:", ""] + missing if missing else [])
    return "\n".join(out) + "\n"

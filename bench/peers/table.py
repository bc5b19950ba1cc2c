"""The JSON lines of peers.py as one markdown table. A ratio compares rounds of the same run; of several runs the last counts."""
import json
import statistics

TASKS = {"sst2": "SST-2", "mrpc": "MRPC", "imdb": "IMDB (512)", "embed": "embeddings"}
COLUMNS = ("task", "type", "engine", "real tokens/s", "foveate's / it", "batch 1: p50 ms", "p99", "foveate's / it", "start-up s", "foveate's / it",
           "peak MiB", "accuracy", "labels unlike foveate f32")


def read(path):
    """(machines by run, the last record of each step, task, engine and type, foveate's records of every run)."""
    machines, last, ours = {}, {}, {}
    with open(path) as file:
        for row in map(json.loads, file):
            if row["step"] == "machine":
                machines[row["run"]] = row
                continue
            if row["step"] != "not run":
                last.pop(("not run", row["task"], row["engine"], row["dtype"]), None)
            last[row["step"], row["task"], row["engine"], row["dtype"]] = row
            if row["engine"] == "foveate":
                ours[row["run"], row["step"], row["task"], row["dtype"]] = row
    return machines, last, ours


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


def middle(values, form):
    """Median [least, most]."""
    if len(values) == 1:
        return format(values[0], form)
    return f"{statistics.median(values):{form}} [{min(values):{form}}, {max(values):{form}}]"


def values(record, what):
    """Per round: tokens per second, median latency, seconds to the first label."""
    if not record:
        return []
    if what == "latency":
        return [statistics.median(one) for one in record["latency"]]
    return record["rounds" if what == "rate" else "seconds"]


class Row:
    """What is known of one engine in one type on one task."""

    def __init__(self, last, ours, task, engine, dtype):
        self.task, self.engine, self.dtype, self.kind, self.ours = task, engine, dtype, dtype.split("-")[0], ours
        self.speed, self.start, self.accuracy = (last.get((s, task, engine, dtype)) for s in ("speed", "start", "accuracy"))
        none = last.get(("not run", task, engine, dtype)) or last.get(("not run", None, engine, dtype))
        self.reason = none and none["reason"]

    def values(self, what):
        return values(self.start if what == "start" else self.speed, what)

    def ratios(self, what):
        """foveate's figure over this one's, round by round of the run that measured this one."""
        mine = self.start if what == "start" else self.speed
        if self.engine == "foveate" or not mine:
            return []
        theirs = self.ours.get((mine["run"], mine["step"], self.task, self.kind))
        return [a / b for a, b in zip(values(theirs, what), values(mine, what))]


def cells(row, titles):
    ratio = lambda what: middle(row.ratios(what), ".2f") if row.ratios(what) else ""
    singles = [1e3 * s for one in row.speed["latency"] for s in one] if row.speed else []
    return (TASKS[row.task], row.dtype, titles.get(row.engine, "**foveate**"), middle(row.values("rate"), ".0f") if row.speed else "",
            ratio("rate"), middle([1e3 * v for v in row.values("latency")], ".1f") if singles else "",
            f"{quantile(singles, .99):.1f}" if singles else "", ratio("latency") if singles else "",
            middle(row.start["seconds"], ".2f") if row.start else "", ratio("start"), f"{row.speed['peak'] / 2**20:.0f}" if row.speed else "",
            f"{row.accuracy['merit']:.4f}" if row.accuracy else "",
            f"{100 * row.accuracy['unlike']:.1f} %" if row.accuracy and row.accuracy["unlike"] is not None and row.task != "embed" else "")


def best(rows, titles):
    """One line: per figure the peer of the class that comes nearest, or is farthest ahead."""
    parts = []
    for what, name, nearest in (("rate", "throughput", min), ("latency", "latency", max), ("start", "start-up", max)):
        able = [r for r in rows if r.ratios(what)]
        if able:
            peer = nearest(able, key=lambda r: statistics.median(r.ratios(what)))
            parts.append(f"{name} {middle(peer.ratios(what), '.2f')} ({titles[peer.engine]} {peer.dtype})")
    return "; ".join(parts)


def markdown(path, titles):
    machines, last, ours = read(path)
    used = sorted({row["run"] for row in last.values()})
    versions = {d: v for row in last.values() for d, v in row.get("versions", {}).items()}
    out = ["# Against other engines", "", "Written by `bench/peers/peers.py`, whose head says how each side is run. Median [least, most] over rounds; "
           "p99 over all single texts; ratios within rounds: above 1 is faster for tokens/s, below 1 for seconds.", ""]
    shown = None
    for run in used:
        m = machines[run]
        where = f"{m['date']}, {m['cpu']}, cores {', '.join(map(str, m['cores']))}, {m['threads']} threads, Linux {m['kernel']}:"
        out += ([where, ""] if where != shown else []) + [f"    {m['command']}", ""]
        shown = where
    out += ["Versions: " + ", ".join(f"{d} {v}" for d, v in sorted(versions.items())) + ".", ""]
    keys = sorted({key[1:] for key in last if key[1]}, key=lambda k: (list(TASKS).index(k[0]), k[2].split("-")[0] != "f32", k[2].split("-")[0],
                                                                  k[1] != "foveate", k[1], k[2]))
    rows = [Row(last, ours, *key) for key in keys]
    out += ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    bars, missing = [], []
    for row in rows:
        if row.speed or row.start or row.accuracy:
            out.append("| " + " | ".join(cells(row, titles)) + " |")
        if row.reason:
            missing.append(f"- {TASKS[row.task]}, {titles.get(row.engine, 'foveate')} {row.dtype}: not run: {row.reason}")
        if row.engine == "foveate":
            line = best([r for r in rows if (r.task, r.kind) == (row.task, row.kind)], titles)
            bars += [f"- {TASKS[row.task]}, {row.kind}: {line}"] if line else []
    for (step, task, engine, dtype), row in last.items():
        if step == "not run" and task is None:
            missing.append(f"- {titles.get(engine, 'foveate')} {dtype}: not run: {row['reason']}")
    out += ["", "foveate over the best peer of the same class:", ""] + bars
    texts = [f"{TASKS[k[1]]} {k[0]} {r['texts']}" for k, r in last.items() if k[0] in ("speed", "accuracy") and k[2] == "foveate" and k[3] == "f32"]
    out += ["", "Texts: " + ", ".join(texts) + "."] + (["", "Not run:", ""] + missing if missing else [])
    return "\n".join(out) + "\n"

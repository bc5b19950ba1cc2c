"""The page of `foveate eval --report` against its JSON: well-formed, nothing from elsewhere, no element that is not ours, and every
value that both hold the same. usage: report.py PAGE JSON"""

import html.parser
import json
import math
import sys
import xml.etree.ElementTree as tree

page, values = open(sys.argv[1], encoding="utf-8").read(), json.load(open(sys.argv[2], encoding="utf-8"))
OURS = set("html head meta title style body h1 h2 h3 p div span small br data code table tr th td figure figcaption svg g line text "
           "circle rect".split())
ATTRIBUTES = set("lang charset name content http-equiv class style value title dir role viewBox x y x1 y1 x2 y2 cx cy r width height "
                 "transform text-anchor xmlns".split())
problems = []


def check(ok, what):
    if not ok:
        problems.append(what)


class Reader(html.parser.HTMLParser):
    """As a browser reads it: every element opened is closed in turn, and is one of ours."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.seen(tag, attributes)

    def handle_startendtag(self, tag, attributes):
        self.seen(tag, attributes)

    def seen(self, tag, attributes):
        check(tag in OURS, f"element {tag}")
        for name, value in attributes:
            check(name in {a.lower() for a in ATTRIBUTES}, f"attribute {name} of {tag}")
            check(name == "xmlns" or "://" not in (value or ""), f"{name}={value}")

    def handle_endtag(self, tag):
        check(self.open and self.open.pop() == tag, f"</{tag}> closes nothing")

    def handle_data(self, data):
        self.text.append(data)


reader = Reader()
reader.feed(page)
reader.close()
check(not reader.open, f"not closed: {reader.open}")
for word in ("url(", "@import", "<script", "javascript:"):
    check(word not in page, f"{word} in the page")
root = tree.fromstring(page)  # raises where it is not well-formed


def number(element, name):
    found = [float(d.get("value")) for d in element.iter("data") if d.get("class") == name]
    return found[0] if found else math.nan


def same(a, b):
    return (b is None and math.isnan(a)) or (b is not None and a == b)


def percent(ratio):  # both hold nine digits, of a number and of a quotient of such numbers
    return 100 * ratio["done"] / ratio["exact"] if ratio["exact"] else None


check(number(root, "examples") == values["examples"], "examples")
check(number(root, "tokens-all") == values["tokens"], "tokens")
rows = [r for r in root.iter("tr") if r.get("class") == "setting"]
check(len(rows) == len(values["compared"]), "number of settings")
check(values["compared"][0]["setting"] == "exact", "the first is exact")
for row, item in zip(rows, values["compared"]):
    shown = "".join(row.itertext())
    for key in ("setting", "attention", "values", "ffn"):
        check(item[key] in shown, f"{key} {item[key]}")
    for name in ("mean", "low", "high"):
        check(same(number(row, f"metric-{name}"), item["metric"][name]), f"metric {name}")
    for key, name in (("seconds", "seconds"), ("speedup", "speed")):
        for ours, theirs in (("median", "mean"), ("min", "low"), ("max", "high")):
            check(same(number(row, f"{name}-{theirs}"), item[key][ours]), f"{key} {ours}")
    check(number(row, "changed") == item["changed"], "changed")
    for name, ratio in (("total-share", item["flops_real"]["total"]), ("values-share", item["flops_real"]["values"]),
                        ("padded-share", item["flops_padded"]["values"])):
        share = percent(ratio)
        check(share is None if math.isnan(number(row, name)) else abs(number(row, name) - share) <= 1e-7 * share, name)

# Work by layer and head: the shares are those of the counted work, one text's tokens for another's; each between nothing and all.
for element in root.iter("data"):
    if element.get("class") in ("head-work", "head-importance", "layer-mean"):
        check(0 < float(element.get("value")) <= 1.000001, f"{element.get('class')} {element.get('value')}")
for table in (t for t in root.iter("table") if t.get("class") == "heat"):
    for row in table.iter("tr"):
        cells = [float(d.get("value")) for d in row.iter("data")]
        if cells:
            check(abs(sum(cells[:-1]) / len(cells[:-1]) - cells[-1]) < 1e-7, "mean of a layer")
given = [i for i in values["compared"] if i["metric"]["mean"] == values["metric"]["mean"] and i["values"] == values["values"]]
check(given, "the command's own setting is one of those compared")

for problem in sorted(set(problems)):
    print(f"{sys.argv[1]}: {problem}")
sys.exit(bool(problems))

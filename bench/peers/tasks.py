"""The texts of bench/peers and their figures of merit; the standard library alone."""
import collections

import texts

Task = collections.namedtuple("Task", "model max_length batches limit accuracy_limit latency start")
# limit: texts of a timed pass; accuracy_limit: texts of the accuracy (0: all); latency: single texts per round; start: measure start-up.
TASKS = {
    "sst2": Task("bert-base-uncased-sst2", 128, (8, 16, 32, 64), 192, 0, 40, True),
    "mrpc": Task("bert-base-uncased-mrpc", 128, (4, 8, 16, 32), 96, 0, 0, False),
    "imdb": Task("bert-base-uncased-imdb", 512, (1, 2, 4, 8), 16, 200, 0, False),
    "embed": Task(None, 128, (8, 32, 64, 128), 1000, 0, 40, False),
}
COLUMNS = {"sst2": ("sentence", "label"), "mrpc": ("#1 String", "#2 String", "Quality"),
           "embed": ("sentence1", "sentence2", "score")}


def clean(text):
    """As one line of a file: no TAB, no line end, IMDB's line breaks as blanks."""
    return "".join(c if c.isprintable() else " " for c in text.replace("<br />", " "))


def read_tsv(path, columns):
    """[((text, or two), label)]"""
    return [(tuple(map(clean, row[:-1])), float(row[-1])) for row in texts.rows(path, columns)]


def read_imdb(path, limit):
    """The first reviews of each class, half and half, as `foveate eval --limit` takes them."""
    found = ([], [])
    for row in texts.objects(path):
        if not limit or len(found[row["label"]]) < limit // 2:
            found[row["label"]].append(((clean(row["text"]),), float(row["label"])))
    return found[0] + found[1]


def spread(rows, count):
    """`count` rows evenly over all: their lengths are those of the set."""
    return [rows[i * len(rows) // count] for i in range(count)] if 0 < count < len(rows) else rows


def read(name, path, limit, accuracy_limit):
    """(rows of a timed pass, rows of the accuracy, gold)."""
    if name == "imdb":
        rows = read_imdb(path, accuracy_limit)
    else:
        rows = spread(read_tsv(path, COLUMNS[name]), accuracy_limit)
    every = [t for t, _ in rows]
    if name == "embed":  # each sentence on its own; the score is of the pair
        every = [(one,) for pair in every for one in pair]
    return spread(every, limit), every, [g for _, g in rows]


def ranks(values):
    order, out, i = sorted(range(len(values)), key=lambda k: values[k]), [0.0] * len(values), 0
    while i < len(order):
        j = i
        while j + 1 < len(order) and values[order[j + 1]] == values[order[i]]:
            j += 1
        for k in range(i, j + 1):
            out[order[k]] = (i + j) / 2
        i = j + 1
    return out


def pearson(x, y):
    mx, my = sum(x) / len(x), sum(y) / len(y)
    top = sum((a - mx) * (b - my) for a, b in zip(x, y))
    return top / (sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y)) ** .5


def labels(answers):
    return [max(range(len(row)), key=row.__getitem__) for row in answers]


def merit(name, answers, gold):
    """Accuracy; for vectors of length 1, Spearman's correlation of their products with the scores."""
    if name == "embed":
        products = [sum(a * b for a, b in zip(x, y)) for x, y in zip(answers[::2], answers[1::2])]
        return pearson(ranks(products), ranks(gold))
    return sum(a == g for a, g in zip(labels(answers), gold)) / len(gold)


def difference(name, answers, reference):
    """Share of labels unlike the reference's; for vectors 1 - the mean product with the reference's."""
    if name == "embed":
        return 1 - sum(sum(a * b for a, b in zip(x, y)) for x, y in zip(answers, reference)) / len(answers)
    return sum(a != b for a, b in zip(labels(answers), labels(reference))) / len(answers)

"""Lines, rows and objects of the text files that benchmarks read; the standard library alone."""
import itertools
import json
import lzma


def lines(path):
    """Lines without their ends (LF or CR LF) of a UTF-8 file, of an .xz file as of what it holds."""
    with (lzma.open if str(path).endswith(".xz") else open)(path, "rt", encoding="utf-8-sig", newline="\n") as file:
        for line in file:
            yield line.removesuffix("\n").removesuffix("\r")


def objects(path):
    """The values of a JSON Lines file."""
    return map(json.loads, lines(path))


def rows(path, columns):
    """The named columns of a table with TABs, quoting off and a header; the numbered ones of one without. Short rows are left out."""
    table = (line.split("\t") for line in lines(path) if line.strip())
    header = next(table, None)
    if header is None:
        raise ValueError(f"{path}: empty; a table with column {columns[0]!r} is needed")
    if any(isinstance(c, str) for c in columns):
        for c in columns:
            if c not in header:
                raise ValueError(f"{path}: no column {c!r} in its header: {', '.join(header)}")
        columns = [header.index(c) for c in columns]
    else:
        table = itertools.chain([header], table)
    for row in table:
        if len(row) > max(columns):
            yield [row[c] for c in columns]

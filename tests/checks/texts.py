"""bench/peers/texts.py: lines, objects and rows of files as published data sets have them. usage: texts.py SOURCE_DIR"""
import lzma
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(sys.argv[1]) / "bench" / "peers"))
import texts  # noqa: E402

failures = 0


def same(got, want, what):
    global failures
    if got != want:
        failures += 1
        print(f"{what}: {got!r}, not {want!r}")


def refused(path, columns, word):
    try:
        got = list(texts.rows(path, columns))
    except ValueError as error:
        if word in str(error) and str(path) in str(error):
            return
        got = error
    same(got, f"an error that says {word}", f"{path.name}, {columns}")


with tempfile.TemporaryDirectory() as folder:
    def file(name, data):
        path = pathlib.Path(folder) / name
        path.write_bytes(lzma.compress(data) if name.endswith(".xz") else data)
        return path

    # ends: LF, CR LF, none; a byte order mark is no text; what Unicode or Python calls a line's end is not one here
    odd = "\ufeffa \r\n\n\tb\u2028c\x0bd\re\x85f\r\r\nlast".encode()
    want = ["a ", "", "\tb\u2028c\x0bd\re\x85f\r", "last"]
    same(list(texts.lines(file("odd", odd))), want, "lines")
    same(list(texts.lines(file("odd.xz", odd))), want, "lines of .xz")
    same(list(texts.lines(str(file("none", b"")))), [], "lines of nothing")
    same(list(texts.objects(file("o.jsonl", b'{"a": [1, "\\u00e9"]}\r\n2\n'))), [{"a": [1, "\u00e9"]}, 2], "objects")
    # a table: columns by name in the order asked for, quotes are text, short and blank rows are left out
    table = file("t.tsv", b'id\tsentence\tlabel\n0\t"so" it says\t1\n\n1\tshort\n2\t\t0\textra\r\n')
    same(list(texts.rows(table, ["label", "sentence"])), [["1", '"so" it says'], ["0", ""]], "rows by name")
    same(list(texts.rows(table, [2])), [["label"], ["1"], ["0"]], "rows by number")
    same(list(texts.rows(table, [0])), [["id"], ["0"], ["1"], ["2"]], "blank rows")
    refused(table, ["sentence", "labels"], "no column 'labels' in its header: id, sentence, label")
    refused(file("empty.tsv", b"\n \n"), ["label"], "column 'label'")
print("texts.py:", f"{failures} wrong" if failures else "as it should be")
sys.exit(failures != 0)

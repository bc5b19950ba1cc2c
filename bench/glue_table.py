#!/usr/bin/env python3
"""Print docs/results/glue.md's tables from the JSON files of bench/glue.sh, or from lines of JSON.    usage: glue_table.py FILE..."""
import json, sys

# Kim & Ko, AAAI 2022, Tables 1 and 2 (128 seeds, their checkpoints): exact metric, then metric and FLOPS ratio by alpha.
PAPER = {
    'bert-base-uncased-cola': ('mcc', .5374, {.2: (.5374, 11.44), .4: (.5390, 12.62), .6: (.5378, 14.28), 1: (.5095, 18.38)}),
    'bert-base-uncased-sst2': ('accuracy', .9243, {.2: (.9226, 5.58), .4: (.9204, 6.71), .6: (.9122, 8.13), 1: (.8066, 12.34)}),
    'bert-base-uncased-mrpc': ('accuracy', .8455, {.2: (.8436, 3.04), .4: (.8377, 3.80), .6: (.8228, 4.62), 1: (.6595, 7.14)}),
    'bert-base-uncased-stsb': ('pearson', .8804, {.2: (.8784, 4.80), .4: (.8269, 5.95), .6: (.6790, 7.35), 1: (.3355, 12.40)}),
    'bert-base-uncased-rte': ('accuracy', .7256, {.2: (.7168, 2.50), .4: (.7039, 3.24), .6: (.6472, 4.55), 1: (.5265, 10.06)}),
    'distilbert-6-sst2': ('accuracy', .9151, {.2: (.9150, 5.60), .4: (.9141, 6.64), .6: (.9092, 7.84), 1: (.8820, 10.58)}),
}
ORDER = [*PAPER, 'distilbert-6-mrpc', 'distilbert-6-stsb', 'distilbert-6-cola']


def alpha_of(values): return float(values.split('alpha=')[1].split(',')[0]) if 'alpha=' in values else 0.


def ratio(flops): return f'{flops["exact"] / flops["done"]:.2f}x' if flops['done'] else '-'


def read(path):
    text = open(path).read()
    return [json.loads(line) for line in text.splitlines()] if path.endswith('.jsonl') else [json.loads(text)]


def main(paths):
    runs = {}
    for run in [r for path in paths for r in read(path)]: runs.setdefault(run['checkpoint'], []).append(run)
    for name in [n for n in ORDER if n in runs]:
        rows = sorted(runs[name], key=lambda r: ('padded' not in r['values'] and alpha_of(r['values']) > 0, alpha_of(r['values'])))
        exact = rows[0]
        print(f'\n### {name}: {exact["metric"]["name"]}, {exact["examples"]} examples, {exact["tokens"] / exact["examples"]:.1f} tokens each\n')
        print('| values | metric [95 %] | paper\'s metric | FLOPS, padded | paper\'s | values, real | encoder, real |')
        print('|---|---|---|---|---|---|---|')
        for run in rows:
            m, alpha, padded = run['metric'], alpha_of(run['values']), 'padded' in run['values']
            paper = PAPER.get(name)
            theirs = (paper[1], 1) if paper and not alpha else paper[2].get(alpha) if paper and padded else None
            label = 'exact' if not alpha else f'alpha={alpha:g}' + (', n = 128' if padded else ', n real')
            print(f'| {label} | {m["mean"]:.4f} [{m["low"]:.4f}, {m["high"]:.4f}] | {f"{theirs[0]:.4f}" if theirs else ""} '
                  f'| {ratio(run["flops_padded"]["values"])} | {f"{theirs[1]:.2f}x" if theirs and alpha else ""} '
                  f'| {ratio(run["flops_real"]["values"])} | {ratio(run["flops_real"]["total"])} |')


if __name__ == '__main__':
    if len(sys.argv) < 2: sys.exit(__doc__)
    main(sys.argv[1:])

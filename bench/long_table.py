#!/usr/bin/env python3
"""Print the tables of docs/results/longformer.md and yoso.md from JSON files of eval, or from lines of JSON.    usage: long_table.py FILE..."""
import re, sys
from glue_table import alpha_of, ratio, read


def padded_of(run):
    found = re.search(r'padded:(\d+)', run['values'])
    return int(found.group(1)) if found else 0


def label(run):
    if alpha_of(run['values']): return f"alpha = {alpha_of(run['values']):g}, n " + (f'= {padded_of(run)}' if padded_of(run) else 'real')
    hashes = re.search(r'm=(\d+)', run['attention'])
    if not hashes: return 'exact'
    return 'expectation' if hashes.group(1) == '0' else f'm = {hashes.group(1)}' + (', Hadamard' if 'hadamard' in run['attention'] else '')


def order(run): return (alpha_of(run['values']) > 0, not padded_of(run), alpha_of(run['values']), int((re.findall(r'm=(\d+)', run['attention']) or [0])[0]))


def main(paths):
    runs = {}
    for run in [r for path in paths for r in read(path)]: runs.setdefault((run['checkpoint'], run['examples'], run['max_length']), []).append(run)
    for (name, examples, length), rows in sorted(runs.items()):
        long = name.startswith('longformer')
        print(f"\n### {name}: {rows[0]['metric']['name']}, {examples} examples, {rows[0]['tokens'] / examples:.0f} tokens each, at most {length}\n")
        print('| setting | seeds | metric [95 %] | ' + (f'X Wv, padded to {length} | X Wv, real | ' if long else '') + 'all, real |')
        print('|---|---|---|---|' + ('---|---|' if long else ''))
        for run in sorted(rows, key=order):
            m, values = run['metric'], run['flops_real']['values']
            padded = ratio(run['flops_padded']['values']) if padded_of(run) else ''
            if not alpha_of(run['values']): padded = f'{examples * length / run["tokens"]:.2f}x'
            sampled = alpha_of(run['values']) or label(run).startswith('m')
            print(f"| {label(run)} | {run['seeds'] if sampled else '-'} | {m['mean']:.4f} [{m['low']:.4f}, {m['high']:.4f}] | "
                  + (f'{padded} | {ratio(values)} | ' if long else '') + f"{ratio(run['flops_real']['total'])} |")


if __name__ == '__main__':
    if len(sys.argv) < 2: sys.exit(__doc__)
    main(sys.argv[1:])

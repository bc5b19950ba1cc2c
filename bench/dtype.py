#!/usr/bin/env python3
"""The grid behind docs/results/dtype.md: what a dense layer's type changes, against f32 of the same program, over the dev sets.
usage: dtype.py MODELS DATA OUT [NAME...]
  MODELS holds the checkpoint folders, DATA the folders glue/TASK with dev.tsv and imdb with test.jsonl.xz, OUT gets each setting's
  figures (.json) and logits (.jsonl); those there are kept. NAME: checkpoint folders, default all of the table.
  From the environment: FOVEATE (build/release/foveate), DTYPES ("bf16 int8"), METHODS ("", that is exact; options of eval, several
  with a ';' between them, NAME in them stands for the checkpoint: "--values mca;--values regress --profile NAME.profile"), LIMIT (of
  IMDB: 200), THREADS (all). Needs nothing but Python."""
import json, math, os, subprocess, sys

NAMES = [f'bert-base-uncased-{t}' for t in ('sst2', 'cola', 'mrpc', 'stsb', 'rte', 'imdb')] + \
        [f'distilbert-6-{t}' for t in ('sst2', 'cola', 'mrpc', 'stsb')]
ENV = os.environ


def measure(models, data, out, name, dtype, method):
    """The figures and the examples of one setting."""
    task, base = name.rsplit('-', 1)[1], os.path.join(out, '.'.join([name, dtype, *map(os.path.basename, method.split())]))
    file = os.path.join(data, *(('imdb', 'test.jsonl.xz') if task == 'imdb' else ('glue', task, 'dev.tsv')))
    if not os.path.exists(base + '.json'):
        subprocess.run([ENV.get('FOVEATE', 'build/release/foveate'), 'eval', '--quiet', '--model', os.path.join(models, name),
                        '--task', task, '--data', file, '--dtype', dtype, '--dump', base + '.jsonl', '--json', base + '.json',
                        *(['--limit', ENV.get('LIMIT', '200')] if task == 'imdb' else []),
                        *(['--threads', ENV['THREADS']] if 'THREADS' in ENV else []), *method.replace('NAME', name).split()],
                       check=True, stdout=subprocess.DEVNULL)
    with open(base + '.json') as f: figures = json.load(f)
    with open(base + '.jsonl') as f: return figures, [json.loads(line) for line in f]


def distances(exact, rows):
    """Of what decides: differences of logits, since a shift of both changes nothing; a score itself."""
    def shape(logits): return logits if len(logits) == 1 else [x - sum(logits) / len(logits) for x in logits]
    return [max(abs(a - b) for a, b in zip(shape(e['logits']), shape(r['logits']))) for e, r in zip(exact, rows)]


def compare(exact, setting):
    (_, truth), (figures, rows) = exact, setting
    d = distances(truth, rows)
    labels = len(truth[0]['logits']) > 1
    changed = sum(e['prediction'] != r['prediction'] for e, r in zip(truth, rows)) if labels else None
    value, best, work = figures['metric']['mean'], exact[0]['metric']['mean'], figures['flops_real']['values']
    return {'metric': value, 'loss': 100 * (best - value), 'changed': changed, 'examples': len(rows),
            'mean': math.fsum(d) / len(d), 'most': max(d), 'work': work['done'] / work['exact']}


def main(models, data, out, *names):
    os.makedirs(out, exist_ok=True)
    dtypes, methods, totals = ENV.get('DTYPES', 'bf16 int8').split(), ENV.get('METHODS', '').split(';'), {}
    print('| checkpoint | metric | setting | value | loss, points | labels changed | logits moved by: mean | most | value multiply-adds |\n' + '|---' * 9 + '|')
    for name in names or NAMES:
        exact = measure(models, data, out, name, 'f32', '')
        kind = exact[0]['metric']['name']
        print(f'| {name} ({len(exact[1])}) | {kind} | f32 | {exact[0]["metric"]["mean"]:.4f} | | | | | |')
        for setting in [(d, m.strip()) for m in methods for d in dtypes if (d, m.strip()) != ('f32', '')]:
            r = compare(exact, measure(models, data, out, name, *setting))
            changed = '' if r['changed'] is None else f'{r["changed"]} ({100 * r["changed"] / r["examples"]:.2f} %)'
            print(f'| | | {" ".join(setting).strip()} | {r["metric"]:.4f} | {r["loss"]:+.2f} | {changed} | {r["mean"]:.4f} | {r["most"]:.3f} | '
                  f'{100 * r["work"]:.1f} % |', flush=True)
            totals.setdefault(setting, []).append(r)
    for setting, rows in totals.items():
        counted = [r for r in rows if r['changed'] is not None]
        changed, examples = sum(r['changed'] for r in counted), sum(r['examples'] for r in counted)
        share = f'{changed} of {examples} ({100 * changed / examples:.2f} %)' if examples else ''
        print(f'| mean | | {" ".join(setting).strip()} | | {sum(r["loss"] for r in rows) / len(rows):+.2f}, worst '
              f'{max(r["loss"] for r in rows):+.2f} | {share} | {sum(r["mean"] for r in rows) / len(rows):.4f} | {max(r["most"] for r in rows):.3f} | |')


if len(sys.argv) < 4: sys.exit(__doc__)
main(*sys.argv[1:])

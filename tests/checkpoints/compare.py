#!/usr/bin/env python3
"""Compare the program with what Hugging Face transformers gave for real checkpoints.

    compare.py [--full | --quick] [--examples N] [--shared DIR] PROGRAM [NAME...]

DIR (default: FOV_SHARED, else shared beside the project) has models/assemble.py, models/expected/*.json and data. Each
checkpoint is assembled into a temporary folder and deleted after its turn. Logits of the first N examples (default 64;
of long texts a sixteenth, at least 1) to 1e-4 (YOSO: 1e-3); --full: also the whole dev set, its token count and its
metric to one example (correlations: 1e-4).
--quick: the bundled model, one BERT, one DistilBERT, one Longformer. Exit codes: 0 equal, 1 not,
77 the material or numpy is missing.
"""
import argparse, importlib.util, json, lzma, os, subprocess, sys, tempfile

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TASKS = ('cola', 'sst2', 'mrpc', 'stsb', 'rte')
NAMES = ['tiny-sentiment', *(f'bert-base-uncased-{t}' for t in TASKS), 'bert-base-uncased-imdb',
         *(f'distilbert-6-{t}' for t in TASKS[:4]), 'bert-base-uncased', *(f'longformer-4096-{t}' for t in ('imdb', 'hnd', 'aapd')),
         'bert-yoso-sst2', 'bert-yoso-imdb', 'bert-fastmax2-sst2', 'bert-fastmax2-imdb']
QUICK = ['tiny-sentiment', 'bert-base-uncased-mrpc', 'distilbert-6-stsb', 'longformer-4096-hnd']
DATA = {'imdb': 'imdb/test.jsonl.xz', 'aapd': 'aapd/text_test', 'hnd': 'hnd/articles-training-byarticle-20181122.xml'}
TOLERANCE, YOSO_TOLERANCE = 1e-4, 1e-3  # arccos is steep near 1
METRICS = {'accuracy': 'accuracy', 'f1': 'f1', 'matthews': 'mcc', 'mcc': 'mcc', 'pearson': 'pearson', 'spearman': 'spearman',
           'micro_f1': 'micro_f1'}


class Different(Exception): pass


def program(path, *arguments, text=None):
    done = subprocess.run([path, *arguments], input=text, capture_output=True, text=True)
    if done.returncode: raise Different(f'{" ".join(arguments)}: exit code {done.returncode}: {done.stderr.strip()}')
    return done.stdout


def read_lines(path):
    with open(path) as f: return [json.loads(line) for line in f]


def compare_logits(got, want, tolerance):
    if len(got) < len(want): raise Different(f'{len(got)} rows of logits, not {len(want)}')
    worst = 0.
    for i, (a, b) in enumerate(zip(got, want)):
        if len(a) != len(b): raise Different(f'row {i}: {len(a)} logits, not {len(b)}')
        for x, y in zip(a, b):
            if not abs(x - y) <= tolerance: raise Different(f'row {i}: logits {a}, not {b}')
            worst = max(worst, abs(x - y))
    return f'{len(want)} rows within {worst:.1e}'


def compare_metric(report, expected):
    said = []
    for name, figure in report.get('metrics', {}).items():
        key = METRICS.get(name)
        if key not in expected['metric']: continue
        want, got = expected['metric'][key], figure['mean']
        # One example changes an accuracy by 1 / n; F1 and MCC, ratios of counts, by at most about four times that.
        step = {'accuracy': 1, 'f1': 4, 'mcc': 4, 'micro_f1': 4}.get(key)
        if not abs(got - want) <= (step / expected['examples'] + 1e-6 if step else 1e-4):
            raise Different(f'{name} is {got:.6f}, not {want:.6f}')
        said.append(f'{name} {got:.4f}')
    if not said: raise Different(f'no metric of {sorted(expected["metric"])} in {sorted(report.get("metrics", {}))}')
    if report['examples'] != expected['examples']: raise Different(f'{report["examples"]} examples, not {expected["examples"]}')
    if report['tokens'] != expected['tokens']: raise Different(f'{report["tokens"]} tokens, not {expected["tokens"]}')
    return ', '.join(said + [f'{report["tokens"]} tokens'])


def compare_task(cli, shared, folder, expected, task, full, some, work, tolerance):
    data = f'{shared}/data/{DATA.get(task) or f"glue/{task}/dev.tsv"}'
    out, dump = os.path.join(work, 'report.json'), os.path.join(work, 'dump.jsonl')
    limit = str(expected['examples'] if full else some)
    extra = ['--max-length', str(expected['max_length'])] if task in DATA else []
    if task == 'hnd': extra += ['--ids', f'{shared}/models/expected/hnd-dev-ids.json']
    program(cli, 'eval', '--task', task, '--data', data, '--model', folder, '--json', out, '--dump', dump, '--quiet', '--limit',
            limit, *extra)
    rows = read_lines(dump)
    if not full: expected = {**expected, 'logits': expected['logits'][:some]}
    for row, ids in zip(rows, expected['input_ids']):
        if row['tokens'] != len(ids): raise Different(f'{row["tokens"]} tokens, not {len(ids)}')
    said = compare_logits([r['logits'] for r in rows], expected['logits'], tolerance)
    if not full: return said
    with open(out) as f: return f'{said}, {compare_metric(json.load(f), expected)}'


def compare_reviews(cli, shared, folder, expected, some, tolerance):
    """The first reviews as lines: they are long, and eval would run as many positive ones."""
    with lzma.open(f'{shared}/data/imdb/test.jsonl.xz', 'rt') as f:
        texts = [' '.join(json.loads(next(f))['text'].replace('<br />', ' ').split()) for _ in range(some)]
    rows = [json.loads(line) for line in program(cli, 'classify', '--model', folder, '--format', 'jsonl', '--max-length',
                                                 str(expected['max_length']), text='\n'.join(texts) + '\n').splitlines()]
    return compare_logits([r['logits'] for r in rows], expected['logits'][:some], tolerance)


def compare_mask(cli, folder):
    out = program(cli, 'fill-mask', '--model', folder, '--format', 'tsv', 'The capital of France is [MASK].')
    best = next(line.split('\t') for line in out.splitlines() if '\tparis' in line)
    if best[4] != 'paris' or out.splitlines().index('\t'.join(best)) > 1: raise Different(f'paris is not first: {out}')
    if not abs(float(best[2]) - .42) <= .005: raise Different(f'paris has {best[2]}, not .42')
    return f'paris {best[2]}'


def compare(name, options, work):
    models = f'{options.shared}/models'
    folder = f'{models}/{name}' if os.path.isdir(f'{models}/{name}') else os.path.join(work, name)
    if not os.path.isdir(folder):
        subprocess.run([sys.executable, f'{models}/assemble.py', '--out', work, name], check=True, stdout=subprocess.DEVNULL)
    if name == 'bert-base-uncased': return compare_mask(options.program, folder)
    with open(f'{models}/expected/{name}.json') as f: expected = json.load(f)
    tolerance = YOSO_TOLERANCE if '-yoso-' in name else TOLERANCE
    task = 'sst2' if name == 'tiny-sentiment' else name.rsplit('-', 1)[1]
    some = options.examples if task not in DATA else max(1, options.examples // 16)
    if task == 'imdb' and not options.full:
        return compare_reviews(options.program, options.shared, folder, expected, some, tolerance)
    return compare_task(options.program, options.shared, folder, expected, task, options.full, some, work, tolerance)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('program')
    parser.add_argument('--shared', default=os.environ.get('FOV_SHARED') or f'{PROJECT}/../shared')
    parser.add_argument('--full', action='store_true')
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--examples', type=int, default=64)
    parser.add_argument('names', nargs='*')
    options = parser.parse_args()
    if not os.path.isfile(f'{options.shared}/models/assemble.py') or not importlib.util.find_spec('numpy'):
        print('Skipped: no checkpoints beside the project, or no numpy')
        return 77
    bad = 0
    for name in options.names or (QUICK if options.quick else NAMES):
        with tempfile.TemporaryDirectory(prefix='foveate-checkpoints-') as work:
            try:
                print(f'{name}: {compare(name, options, work)}', flush=True)
            except Different as problem:
                print(f'{name}: DIFFERENT: {problem}', flush=True)
                bad += 1
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())

#!/usr/bin/env python3
"""Write the golden files of tests/model/test_golden.c with PyTorch and Hugging Face transformers.

    make.py            needs torch, transformers, tokenizers, safetensors

tiny_logits.json: logits of models/tiny-sentiment. NAME/: small checkpoints with random weights, one per kind that foveate
loads, each with expected.json. All expected values are computed in double precision from the stored weights, so a test's
tolerance is the engine's own f32 rounding. Texts of the project's own.
"""
import json, os, shutil, sys

import tokenizers, torch, transformers
from tokenizers.implementations import BertWordPieceTokenizer, ByteLevelBPETokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
TINY = os.path.join(HERE, '..', '..', 'models', 'tiny-sentiment')
MADE_BY = {'script': 'tests/golden/make.py', 'torch': torch.__version__.split('+')[0], 'transformers': transformers.__version__,
           'tokenizers': tokenizers.__version__, 'precision': 'float64'}
SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
WORDS = ['the', 'a', 'film', 'is', 'not', 'good', 'bad', 'very', 'slow', 'ending', '##s', '##ing', '.', ',', '!', '?', '-']
TINY_TEXTS = [
    ('a warm , funny and quietly moving film .', None), ('no.', None), ('', None),
    ('I wanted to like it; the jokes, the songs, the whole tired third act would not let me.', None),
    ('The plot is thin.', 'The acting more than makes up for it!'), ('Unwatchable', 'from the first minute to the last'),
    ('Two hours of my life that I will not get back - and I would gladly give two more.', None),
    ('caf\u00e9 na\u00efve \u6f22\u5b57 \U0001f600 #hashtag http://x.y/z 1,234.5', None),
    ('neither the best nor the worst of its kind', None), ('It is hard to say what went wrong, but something did.', None),
    ('so bad it is good', 'so good it is bad'), ('the second half drags . ' * 40, None), ('twice ' * 300, 'as long ' * 300)]
SMALL_TEXTS = [('the film is not good.', None), ('A very slow ending, very bad!', 'is the film good?'), ('', None),
               ('zigzag films - the endings', 'x'), ('the the the the the the the the the the the the the the', None)]
ROBERTA_SPECIAL = ['<s>', '<pad>', '</s>', '<unk>', '<mask>']
ROBERTA_TEXTS = [('the film is not good.', None), ("A very slow ending, isn't it?", ' is the film good?'), ('', None), ('\u6f22 caf\u00e9  \U0001f600', 'x'),
                 ('a film <pad> of <pad> note</s>', None), ('the the the the the the the the the the the the the the the the the the the', None),
                 ('the film is slow , the ending is slow , it is', 'all of it is very very slow and the film is bad')]
ROBERTA_MASKS = [('the film is <mask> .', None), ('<mask> films is not  <mask>', 'a <mask>ending')]
LONG_TEXTS = SMALL_TEXTS + [('the film is not good . ' * 15, 'a slow ending ! ' * 9), ('a very slow ending , very bad ? ' * 40, None)]
RERANK_TEXTS = [(q, d) for q in ('is the film good?', 'a slow ending') for d in
                ('the film is very good .', 'the ending is slow !', 'x', 'not a film', 'bad, bad, very bad endings')]
MASK_TEXTS = [('the film is [MASK] .', None), ('[MASK] films is not [MASK]', 'a [MASK] ending')]


def encode(tokenizer, text, limit):
    if isinstance(tokenizer, transformers.PreTrainedTokenizerBase):
        e = tokenizer(*[t for t in text if t is not None], truncation='longest_first', max_length=limit, return_token_type_ids=True)
        return e['input_ids'], e['token_type_ids']
    tokenizer.enable_truncation(limit, strategy='longest_first')
    e = tokenizer.encode(*[t for t in text if t is not None])
    return e.ids, e.type_ids


def run(model, ids, types):
    inputs = {'input_ids': torch.tensor([ids])}
    if model.config.model_type in ('bert', 'longformer'): inputs['token_type_ids'] = torch.tensor([types])
    with torch.no_grad(): return model(**inputs)


def case_of(model, tokenizer, text, limit, kind):
    ids, types = encode(tokenizer, text, limit)
    out, case = run(model, ids, types), {'a': text[0], 'ids': ids}
    if text[1] is not None: case['b'] = text[1]
    if kind in ('logits', 'tags'): case['logits'] = out.logits[0].tolist()
    elif kind == 'fill':
        rows = [i for i, t in enumerate(ids) if t == (tokenizer.mask_token_id if model.config.model_type == 'roberta' else SPECIAL.index('[MASK]'))]
        p = torch.softmax(out.logits[0, rows], -1)
        top = torch.topk(p, 5, -1)
        case['masks'] = [{'ids': i.tolist(), 'probabilities': v.tolist()} for i, v in zip(top.indices, top.values)]
    else:
        hidden = out.last_hidden_state[0]
        vector = hidden.mean(0)
        case['mean'], case['cls'] = vector.tolist(), hidden[0].tolist()
        case['normalized'] = (vector / vector.norm()).tolist()
    return case


def write_json(path, value):
    with open(path, 'w') as f:
        f.write(json.dumps(value, indent=1) + '\n')


def tiny():
    model = transformers.AutoModelForSequenceClassification.from_pretrained(TINY, dtype=torch.float64, attn_implementation='eager')
    tokenizer = BertWordPieceTokenizer(os.path.join(TINY, 'vocab.txt'), lowercase=True)
    cases = [case_of(model.eval(), tokenizer, t, 512, 'logits') for t in TINY_TEXTS]
    write_json(os.path.join(HERE, 'tiny_logits.json'), {'made_by': MADE_BY, 'cases': cases})


def vocabulary(size):
    pieces = SPECIAL + WORDS + [c for c in 'abcdefghijklmnopqrstuvwxyz'] + ['##' + c for c in 'abcdefghijklmnopqrstuvwxyz']
    pieces += [f'word{i}' for i in range(size - len(pieces))]
    assert len(pieces) == size
    return pieces


def randomize(model):
    """Weights large enough that attention is uneven and no activation is near its linear part."""
    for name, p in model.named_parameters():
        if p.dim() > 1: p.data = torch.randn(p.shape) * (1 if 'embeddings' in name else 1.5 / p.shape[1] ** .5)
        elif 'norm' in name.lower() and name.endswith('weight'): p.data = 1 + .3 * torch.randn(p.shape)
        else: p.data = .3 * torch.randn(p.shape)


def small(name, cls, dtype=torch.float16, shards=None, sentence=False, kind='logits', bert=True, yoso=False, longformer=False, texts=SMALL_TEXTS,
          **extra):
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    shape = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=37, vocab_size=101, max_position_embeddings=19)
    shape.update({k: extra.pop(k) for k in list(extra) if k in shape})
    if yoso:
        config = transformers.YosoConfig(**shape, pad_token_id=0, bos_token_id=2, eos_token_id=3, **extra)
    elif longformer: # positions begin behind the padding's
        config = transformers.LongformerConfig(**shape, pad_token_id=0, sep_token_id=3, bos_token_id=2, eos_token_id=3, type_vocab_size=2,
                                               layer_norm_eps=1e-12, **extra)
    elif bert:
        config = transformers.BertConfig(**shape, **extra)
    else:
        config = transformers.DistilBertConfig(vocab_size=shape['vocab_size'], max_position_embeddings=shape['max_position_embeddings'],
                                               n_layers=shape['num_hidden_layers'], n_heads=shape['num_attention_heads'],
                                               dim=shape['hidden_size'], hidden_dim=shape['intermediate_size'], **extra)
    config._attn_implementation = 'eager'
    torch.manual_seed(sum(map(ord, name)))
    model = getattr(transformers, cls)(config).eval()
    randomize(model)
    if hasattr(model, 'tie_weights'): model.tie_weights()
    model.to(dtype).save_pretrained(folder, **({'max_shard_size': shards} if shards else {}))
    generation = os.path.join(folder, 'generation_config.json')
    if os.path.exists(generation): os.remove(generation)
    pieces = vocabulary(shape['vocab_size'])
    with open(os.path.join(folder, 'vocab.txt'), 'w') as f: f.write('\n'.join(pieces) + '\n')
    limit = shape['max_position_embeddings'] - longformer
    write_json(os.path.join(folder, 'tokenizer_config.json'), {'tokenizer_class': 'BertTokenizer', 'do_lower_case': True, 'model_max_length': limit})
    if sentence:
        limit = 12
        write_json(os.path.join(folder, 'modules.json'), [
            {'idx': 0, 'name': '0', 'path': '', 'type': 'sentence_transformers.models.Transformer'},
            {'idx': 1, 'name': '1', 'path': '1_Pooling', 'type': 'sentence_transformers.models.Pooling'},
            {'idx': 2, 'name': '2', 'path': '2_Normalize', 'type': 'sentence_transformers.models.Normalize'}])
        write_json(os.path.join(folder, 'sentence_bert_config.json'), {'max_seq_length': limit, 'do_lower_case': False})
        os.makedirs(os.path.join(folder, '1_Pooling'))
        write_json(os.path.join(folder, '1_Pooling', 'config.json'), {
            'word_embedding_dimension': shape['hidden_size'], 'pooling_mode_cls_token': False, 'pooling_mode_mean_tokens': True,
            'pooling_mode_max_tokens': False, 'pooling_mode_mean_sqrt_len_tokens': False})
    tokenizer = BertWordPieceTokenizer(os.path.join(folder, 'vocab.txt'), lowercase=True)
    tokenizer.add_special_tokens(SPECIAL)
    exact = model.to(torch.float64) # the stored weights, widened
    texts = MASK_TEXTS if kind == 'fill' else texts
    write_json(os.path.join(folder, 'expected.json'), {'made_by': MADE_BY, 'class': cls, 'kind': kind,
                                                       'cases': [case_of(exact, tokenizer, t, limit, kind) for t in texts]})


def roberta(name, cls, one_file, kind='logits', **extra):
    """A small RoBERTa with a vocabulary of its own; one_file: tokenizer.json in place of vocab.json and merges.txt."""
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    trainer = ByteLevelBPETokenizer()
    texts = [t for pair in TINY_TEXTS + SMALL_TEXTS for t in pair if t]
    trainer.train_from_iterator(texts, 320, min_frequency=1, special_tokens=ROBERTA_SPECIAL, show_progress=False)
    trainer.save_model(folder)
    config = transformers.RobertaConfig(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=37, vocab_size=320,
                                        max_position_embeddings=21, type_vocab_size=1, layer_norm_eps=1e-5, **extra)
    config._attn_implementation = 'eager'
    torch.manual_seed(sum(map(ord, name)))
    model = getattr(transformers, cls)(config).eval()
    randomize(model)
    model.tie_weights()
    model.to(torch.float16).save_pretrained(folder)
    generation = os.path.join(folder, 'generation_config.json')
    if os.path.exists(generation): os.remove(generation)
    write_json(os.path.join(folder, 'tokenizer_config.json'), {'tokenizer_class': 'RobertaTokenizer', 'model_max_length': 19})
    tokenizer = transformers.RobertaTokenizer.from_pretrained(folder)
    if one_file:
        tokenizer.backend_tokenizer.save(os.path.join(folder, 'tokenizer.json'))
        for file in ('vocab.json', 'merges.txt'): os.remove(os.path.join(folder, file))
    exact = model.to(torch.float64)
    write_json(os.path.join(folder, 'expected.json'), {'made_by': MADE_BY, 'class': cls, 'kind': kind, 'cases': [
        case_of(exact, tokenizer, t, 19, kind) for t in (ROBERTA_MASKS if kind == 'fill' else ROBERTA_TEXTS)]})


def main():
    torch.set_num_threads(1)
    tiny()
    single, multi, regression = ({'num_labels': n, 'problem_type': p} for n, p in
                                 ((2, 'single_label_classification'), (5, 'multi_label_classification'), (1, 'regression')))
    small('bert-single-f32', 'BertForSequenceClassification', torch.float32, hidden_size=48, vocab_size=131, intermediate_size=77, **single)
    small('bert-multi-f16', 'BertForSequenceClassification', **multi)
    small('bert-regression-bf16', 'BertForSequenceClassification', torch.bfloat16, hidden_act='relu', **regression)
    small('bert-sharded', 'BertForSequenceClassification', shards='15KB', num_labels=3, num_attention_heads=1, layer_norm_eps=1e-5)
    small('bert-mask', 'BertForMaskedLM', kind='fill')
    # hidden_act in the heads: YOSO's classifier and BERT's masked LM follow it, RoBERTa's masked LM is always gelu.
    small('yoso-single-relu', 'YosoForSequenceClassification', yoso=True, num_labels=3, hidden_act='relu')
    small('yoso-mask-relu', 'YosoForMaskedLM', kind='fill', yoso=True, hidden_act='relu')
    small('bert-mask-relu', 'BertForMaskedLM', kind='fill', hidden_act='relu')
    small('bert-rerank', 'BertForSequenceClassification', texts=RERANK_TEXTS, num_labels=1)
    small('bert-tags', 'BertForTokenClassification', kind='tags', num_labels=4)
    small('bert-plain', 'BertModel', kind='vectors', num_attention_heads=24)
    small('distilbert-single', 'DistilBertForSequenceClassification', bert=False, num_labels=2)
    small('distilbert-mask-untied', 'DistilBertForMaskedLM', kind='fill', bert=False, tie_word_embeddings=False)
    # Unpadded, expectation form: transformers ignores YOSO's padding mask.
    small('yoso-single', 'YosoForSequenceClassification', yoso=True, num_labels=3, hash_code_len=5, conv_window=3)
    small('yoso-mask', 'YosoForMaskedLM', kind='fill', yoso=True)
    # [CLS] is global; texts of up to 150 tokens, windows of 12 and blocks of rows inside them.
    small('longformer-single', 'LongformerForSequenceClassification', longformer=True, texts=LONG_TEXTS, num_labels=3,
          attention_window=[12, 12], max_position_embeddings=151)
    small('sentence', 'BertModel', kind='vectors', sentence=True)
    roberta('roberta-single', 'RobertaForSequenceClassification', False, num_labels=3)
    roberta('roberta-mask', 'RobertaForMaskedLM', True, kind='fill')
    roberta('roberta-mask-relu', 'RobertaForMaskedLM', True, kind='fill', hidden_act='relu')
    roberta('roberta-tags', 'RobertaForTokenClassification', False, kind='tags', num_labels=3)
    roberta('roberta-plain', 'RobertaModel', True, kind='vectors')
    for folder, _, names in os.walk(HERE):
        for name in names: os.chmod(os.path.join(folder, name), 0o755 if name == 'make.py' else 0o644)


if __name__ == '__main__':
    sys.exit(main())

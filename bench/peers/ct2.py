"""CTranslate2: BERT through its own model specification, stored in the type it runs in; the head of a classifier, or the mean, is
done here (as its manual shows). One replica on all threads, or one replica per thread."""
import os

import numpy as np

DISTRIBUTIONS = ("ctranslate2",)
TYPES = {"f32": "float32", "bf16": "bfloat16", "int8": "int8"}


def path(job):
    return os.path.join(job.work, "ct2-" + job.dtype)


def linear(spec, weights, name):
    spec.weight, spec.bias = weights[name + ".weight"], weights[name + ".bias"]


def norm(spec, weights, name):
    spec.gamma, spec.beta = weights[name + ".weight"], weights[name + ".bias"]


def build(c, words):
    from ctranslate2 import specs
    from ctranslate2.specs import common_spec, transformer_spec
    encoder = transformer_spec.TransformerEncoderSpec(
        c.layers, c.heads, pre_norm=False, activation=common_spec.Activation.GELU, layernorm_embedding=True, num_source_embeddings=2,
        embeddings_merge=common_spec.EmbeddingsMerge.ADD)
    pooled = "bert.pooler.dense.weight" in c.weights
    spec = transformer_spec.TransformerEncoderModelSpec(encoder, pooling_layer=pooled)
    e, w = spec.encoder, c.weights
    e.scale_embeddings = False
    e.embeddings[0].weight, e.embeddings[1].weight = (w[f"bert.embeddings.{n}_embeddings.weight"] for n in ("word", "token_type"))
    e.position_encodings.encodings = w["bert.embeddings.position_embeddings.weight"]
    norm(e.layernorm_embedding, w, "bert.embeddings.LayerNorm")
    if pooled:
        linear(spec.pooler_dense, w, "bert.pooler.dense")
    for i, layer in enumerate(e.layer):
        at = f"bert.encoder.layer.{i}."
        fused = layer.self_attention.linear[0]
        fused.weight, fused.bias = (np.concatenate([w[f"{at}attention.self.{n}.{part}"] for n in ("query", "key", "value")])
                                    for part in ("weight", "bias"))
        linear(layer.self_attention.linear[1], w, at + "attention.output.dense")
        norm(layer.self_attention.layer_norm, w, at + "attention.output.LayerNorm")
        linear(layer.ffn.linear_0, w, at + "intermediate.dense")
        linear(layer.ffn.linear_1, w, at + "output.dense")
        norm(layer.ffn.layer_norm, w, at + "output.LayerNorm")
    spec.register_vocabulary(words)
    spec.config.unk_token, spec.config.layer_norm_epsilon = "[UNK]", c.eps
    return spec


def prepare(job):
    import ctranslate2

    from checkpoint import Checkpoint
    if TYPES[job.dtype] not in ctranslate2.get_supported_compute_types("cpu"):
        raise SystemExit(f"CTranslate2 has no {TYPES[job.dtype]} on this processor")
    c = Checkpoint(job.model)
    if c.kind != "bert":
        raise SystemExit("only BERT is laid out for CTranslate2")
    with open(os.path.join(job.model, "vocab.txt"), encoding="utf-8") as file:
        words = file.read().splitlines()
    spec = build(c, words)
    spec.validate()
    spec.optimize(quantization=TYPES[job.dtype])
    os.makedirs(path(job), exist_ok=True)
    spec.save(path(job))
    if not job.embed:
        np.savez(os.path.join(path(job), "head.npz"), weight=c.weights["classifier.weight"], bias=c.weights["classifier.bias"])


class Runner:
    MODES = ({"replicas": False}, {"replicas": True})

    def __init__(self, job, mode):
        import ctranslate2
        self.replicas = job.threads if mode["replicas"] else 1
        self.encoder = ctranslate2.Encoder(path(job), device="cpu", compute_type=TYPES[job.dtype], inter_threads=self.replicas,
                                           intra_threads=job.threads // self.replicas)
        self.head = None if job.embed else dict(np.load(os.path.join(path(job), "head.npz")))

    def feed(self, ids, mask, types):
        lengths = mask.sum(1)
        return [[row[:n].tolist() for row, n in zip(array, lengths)] for array in (ids, types)] + [mask]

    def run(self, feeds):
        if self.replicas == 1 or len(feeds) == 1:
            return [self.one(feed) for feed in feeds]
        import concurrent.futures  # forward_batch waits: a thread of ours per replica
        with concurrent.futures.ThreadPoolExecutor(self.replicas) as pool:
            return list(pool.map(self.one, feeds))

    def one(self, feed):
        ids, types, mask = feed
        out = self.encoder.forward_batch(ids, token_type_ids=types)
        if self.head:
            return np.array(out.pooler_output) @ self.head["weight"].T + self.head["bias"]
        hidden = np.array(out.last_hidden_state)
        mean = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

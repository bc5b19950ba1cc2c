"""A Hugging Face checkpoint of BERT or DistilBERT with numpy alone, for the peers that need no PyTorch to read one."""
import json
import pathlib

import numpy as np


def read_safetensors(path):
    """Every tensor of the file as f32."""
    raw = np.memmap(path, np.uint8, "r")
    size = int(raw[:8].view("<u8")[0])
    header = json.loads(raw[8 : 8 + size].tobytes())
    header.pop("__metadata__", None)
    out = {}
    for name, entry in header.items():
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        data = raw[begin:end].tobytes()
        if entry["dtype"] == "BF16":
            values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        elif entry["dtype"] in ("F32", "F16"):
            values = np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[entry["dtype"]]).astype(np.float32)
        else:
            continue  # position_ids and the like
        out[name] = values.reshape(entry["shape"])
    return out


class Checkpoint:
    """config, kind ("bert", "distilbert"), weights named as in the classifiers, and the sizes under one name for both kinds."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.config = json.loads((folder / "config.json").read_text())
        self.kind = self.config["model_type"]
        if self.kind not in ("bert", "distilbert"):
            raise SystemExit(f"{folder}: model_type {self.kind!r} is not supported; bert and distilbert are")
        pick = lambda a, b: self.config[a if self.kind == "bert" else b]
        self.width, self.heads = pick("hidden_size", "dim"), pick("num_attention_heads", "n_heads")
        self.layers, self.eps = pick("num_hidden_layers", "n_layers"), self.config.get("layer_norm_eps", 1e-12)
        if pick("hidden_act", "activation") != "gelu" or self.config.get("attention"):
            raise SystemExit(f"{folder}: only exact attention and the erf gelu are supported")
        weights = read_safetensors(folder / "model.safetensors")
        bare = "embeddings.word_embeddings.weight" in weights  # a bare encoder, as sentence-transformers writes it
        self.weights = {f"{self.kind}.{name}": w for name, w in weights.items()} if bare else weights


def make_embedder(folder, vocabulary, seed=1):
    """A checkpoint of all-MiniLM-L6's shape (6 layers of 384, 12 heads) with random weights: for speed, not for meaning."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    words = pathlib.Path(vocabulary).read_text(encoding="utf-8")
    width, inner, layers, rng = 384, 1536, 6, np.random.default_rng(seed)
    rows = words.count("\n") + (not words.endswith("\n"))
    shapes = {f"embeddings.{name}_embeddings.weight": (n, width)
              for name, n in (("word", rows), ("position", 512), ("token_type", 2))}
    norms = ["embeddings.LayerNorm"]
    for i in range(layers):
        at = f"encoder.layer.{i}."
        dense = {"attention.self.query": (width, width), "attention.self.key": (width, width), "attention.self.value": (width, width),
                 "attention.output.dense": (width, width), "intermediate.dense": (inner, width), "output.dense": (width, inner)}
        for name, shape in dense.items():
            shapes[f"{at}{name}.weight"], shapes[f"{at}{name}.bias"] = shape, shape[:1]
        norms += [at + "attention.output.LayerNorm", at + "output.LayerNorm"]
    tensors = {name: rng.normal(0, .05, shape).astype("<f4") for name, shape in shapes.items()}
    for name in norms:
        tensors[name + ".weight"], tensors[name + ".bias"] = np.ones(width, "<f4"), np.zeros(width, "<f4")
    header, at = {}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [at, at + tensor.nbytes]}
        at += tensor.nbytes
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for tensor in tensors.values():
            file.write(tensor.tobytes())
    config = {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": width, "num_hidden_layers": layers,
              "num_attention_heads": 12, "intermediate_size": inner, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
              "max_position_embeddings": 512, "type_vocab_size": 2, "vocab_size": rows, "pad_token_id": 0}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text(words, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, "tokenizer_class": "BertTokenizer"}))

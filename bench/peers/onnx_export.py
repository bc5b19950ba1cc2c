#!/usr/bin/env python3
"""Write a BERT or DistilBERT checkpoint as an ONNX graph, with numpy and onnx alone.

    onnx_export.py CHECKPOINT OUT.onnx [--embed]

Inputs: input_ids, attention_mask, token_type_ids (BERT only), all int64 [batch, tokens]; output: logits [batch, labels], f32, or with
--embed the mean of the real tokens' vectors [batch, width], scaled to length 1.
The nodes are laid out as PyTorch's exporter would, so that onnxruntime's fusions (attention, skip + layer norm, gelu) know them.
"""
import argparse

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from checkpoint import Checkpoint


class Graph:
    def __init__(self, weights):
        self.weights, self.nodes, self.constants, self.count = weights, [], [], 0

    def add(self, op, *inputs, **attributes):
        self.count += 1
        out = f"{op}_{self.count}"
        self.nodes.append(helper.make_node(op, inputs, [out], name=out, **attributes))
        return out

    def const(self, value, dtype=np.float32):
        self.count += 1
        name = f"const_{self.count}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def weight(self, name, transpose=False):
        array = self.weights[name].T if transpose else self.weights[name]
        if not any(c.name == name for c in self.constants):
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def linear(self, x, name):
        return self.add("Add", self.add("MatMul", x, self.weight(name + ".weight", True)), self.weight(name + ".bias"))

    def norm(self, x, name, eps):
        return self.add("LayerNormalization", x, self.weight(name + ".weight"), self.weight(name + ".bias"), axis=-1, epsilon=eps)

    def gelu(self, x):
        half = self.add("Add", self.add("Erf", self.add("Div", x, self.const(np.sqrt(2)))), self.const(1))
        return self.add("Mul", self.add("Mul", x, half), self.const(0.5))


NAMES = {
    "bert": dict(layer="bert.encoder.layer.{}.", q="attention.self.query", k="attention.self.key", v="attention.self.value",
                 out="attention.output.dense", norm1="attention.output.LayerNorm", up="intermediate.dense", down="output.dense",
                 norm2="output.LayerNorm"),
    "distilbert": dict(layer="distilbert.transformer.layer.{}.", q="attention.q_lin", k="attention.k_lin", v="attention.v_lin",
                       out="attention.out_lin", norm1="sa_layer_norm", up="ffn.lin1", down="ffn.lin2", norm2="output_layer_norm"),
}


def embeddings(g, kind, eps):
    prefix = f"{kind}.embeddings."
    x = g.add("Gather", g.weight(prefix + "word_embeddings.weight"), "input_ids", axis=0)
    if kind == "bert":
        x = g.add("Add", x, g.add("Gather", g.weight(prefix + "token_type_embeddings.weight"), "token_type_ids", axis=0))
    tokens = g.add("Slice", g.add("Shape", "input_ids"), g.const([1], np.int64), g.const([2], np.int64), g.const([0], np.int64))
    rows = g.add("Slice", g.weight(prefix + "position_embeddings.weight"), g.const([0], np.int64), tokens, g.const([0], np.int64))
    return g.norm(g.add("Add", x, rows), prefix + "LayerNorm", eps)


def mask(g):
    """0 for real tokens, the most negative float for padding, [batch, 1, 1, tokens]."""
    wide = g.add("Unsqueeze", g.add("Unsqueeze", "attention_mask", g.const([1], np.int64)), g.const([2], np.int64))
    absent = g.add("Sub", g.const(1), g.add("Cast", wide, to=TensorProto.FLOAT))
    return g.add("Mul", absent, g.const(np.finfo(np.float32).min))


def layer(g, x, bias, n, prefix, heads, width, eps):
    split = g.const([0, 0, heads, width // heads], np.int64)
    part = lambda w, perm: g.add("Transpose", g.add("Reshape", g.linear(x, prefix + n[w]), split), perm=perm)
    q, k, v = part("q", [0, 2, 1, 3]), part("k", [0, 2, 3, 1]), part("v", [0, 2, 1, 3])
    scores = g.add("Div", g.add("MatMul", q, k), g.const(np.sqrt(width // heads)))
    context = g.add("MatMul", g.add("Softmax", g.add("Add", scores, bias), axis=-1), v)
    context = g.add("Reshape", g.add("Transpose", context, perm=[0, 2, 1, 3]), g.const([0, 0, width], np.int64))
    x = g.norm(g.add("Add", g.linear(context, prefix + n["out"]), x), prefix + n["norm1"], eps)
    inner = g.gelu(g.linear(x, prefix + n["up"]))
    return g.norm(g.add("Add", g.linear(inner, prefix + n["down"]), x), prefix + n["norm2"], eps)


def classifier(g, kind, x):
    x = g.add("Gather", x, g.const(0, np.int64), axis=1)
    x = g.add("Tanh", g.linear(x, "bert.pooler.dense")) if kind == "bert" else g.add("Relu", g.linear(x, "pre_classifier"))
    return g.linear(x, "classifier"), g.weights["classifier.weight"].shape[0]


def mean(g, x, width):
    real = g.add("Unsqueeze", g.add("Cast", "attention_mask", to=TensorProto.FLOAT), g.const([2], np.int64))
    total = g.add("ReduceSum", g.add("Mul", x, real), g.const([1], np.int64), keepdims=0)
    vector = g.add("Div", total, g.add("ReduceSum", real, g.const([1], np.int64), keepdims=0))
    return g.add("Div", vector, g.add("ReduceL2", vector, axes=[1], keepdims=1)), width


def build(folder, embed=False):
    """The model, its heads and its width."""
    c = Checkpoint(folder)
    g = Graph(c.weights)
    x, bias, n = embeddings(g, c.kind, c.eps), mask(g), NAMES[c.kind]
    for i in range(c.layers):
        x = layer(g, x, bias, n, n["layer"].format(i), c.heads, c.width, c.eps)
    x, columns = mean(g, x, c.width) if embed else classifier(g, c.kind, x)
    g.nodes.append(helper.make_node("Identity", [x], ["output"], name="output"))

    inputs = ["input_ids", "attention_mask"] + (["token_type_ids"] if c.kind == "bert" else [])
    graph = helper.make_graph(
        g.nodes, c.kind, [helper.make_tensor_value_info(i, TensorProto.INT64, ["batch", "tokens"]) for i in inputs],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", columns])], g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="foveate-bench")
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model, c.heads, c.width


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("output")
    parser.add_argument("--embed", action="store_true")
    arguments = parser.parse_args()
    onnx.save(build(arguments.checkpoint, arguments.embed)[0], arguments.output)

"""onnxruntime: f32 on the graph that onnxruntime.transformers' fusions give (attention, skip + layer norm, bias + gelu); int8: that
graph with dynamic quantisation, weights per channel."""
import os

DISTRIBUTIONS = ("onnxruntime",)


def path(job):
    return os.path.join(job.work, f"ort-{job.dtype}.onnx")


def prepare(job):
    import onnx
    from onnxruntime.transformers import optimizer

    import onnx_export
    model, heads, width = onnx_export.build(job.model, job.embed)
    plain, fused = os.path.join(job.work, "ort-plain.onnx"), path(job._replace(dtype="f32"))
    onnx.save(model, plain)
    optimised = optimizer.optimize_model(plain, model_type="bert", num_heads=heads, hidden_size=width, opt_level=0, use_gpu=False)
    optimised.save_model_to_file(fused)
    os.unlink(plain)
    if job.dtype == "int8":
        from onnxruntime.quantization import QuantType, quantize_dynamic
        quantize_dynamic(fused, path(job), per_channel=True, weight_type=QuantType.QInt8,
                         extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})  # the fused operators have no shape inference


class Runner:
    MODES = ({},)

    def __init__(self, job, mode):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = job.threads, 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(path(job), options, providers=["CPUExecutionProvider"])
        self.names = {i.name for i in self.session.get_inputs()}

    def feed(self, ids, mask, types):
        return {k: v for k, v in (("input_ids", ids), ("attention_mask", mask), ("token_type_ids", types)) if k in self.names}

    def run(self, feeds):
        return [self.session.run(None, feed)[0] for feed in feeds]

"""OpenVINO: f32 and bf16 by the precision hint, int8 by NNCF's post-training quantisation (transformer scheme) on texts of the data.
One request at a time, or one stream per thread with requests in flight; the compiled model is cached on disk."""
import os

DISTRIBUTIONS = ("openvino", "nncf")
CALIBRATION_TOKENS = 4000


def path(job):
    return os.path.join(job.work, "ov-int8.xml" if job.dtype == "int8" else "ov.xml")


def prepare(job):
    import onnx
    import openvino

    import onnx_export
    plain = os.path.join(job.work, f"ov-{job.dtype}.onnx")
    onnx.save(onnx_export.build(job.model, job.embed)[0], plain)
    model = openvino.Core().read_model(plain)
    if job.dtype == "int8":
        import nncf

        import side
        encoded, some, tokens = side.encode(job, side.read_texts(job.texts)), [], 0
        for ids, types in encoded[:: max(1, len(encoded) // 300)]:
            if tokens < CALIBRATION_TOKENS:
                some.append(feed_of(*side.pad([(ids, types)]), {i.get_any_name() for i in model.inputs}))
                tokens += len(ids)
        model = nncf.quantize(model, nncf.Dataset(some), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(some))
    openvino.save_model(model, path(job), compress_to_fp16=False)
    os.unlink(plain)


def feed_of(ids, mask, types, names):
    return {k: v for k, v in (("input_ids", ids), ("attention_mask", mask), ("token_type_ids", types)) if k in names}


class Runner:
    MODES = ({"hint": "LATENCY"}, {"hint": "THROUGHPUT"})

    def __init__(self, job, mode):
        import openvino
        core = openvino.Core()
        if job.dtype == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise SystemExit("OpenVINO does not list BF16 for this processor")
        streams = job.threads if mode["hint"] == "THROUGHPUT" else 1
        self.model = core.compile_model(path(job), "CPU", {
            "INFERENCE_NUM_THREADS": job.threads, "PERFORMANCE_HINT": mode["hint"], "NUM_STREAMS": streams,
            "INFERENCE_PRECISION_HINT": "bf16" if job.dtype == "bf16" else "f32", "CACHE_DIR": os.path.join(job.work, "ov-cache")})
        self.names = {i.get_any_name() for i in self.model.inputs}
        self.queue = openvino.AsyncInferQueue(self.model, streams) if streams > 1 else None
        self.request = self.model.create_infer_request()

    def feed(self, ids, mask, types):
        return feed_of(ids, mask, types, self.names)

    def run(self, feeds):
        if not self.queue or len(feeds) == 1:
            return [self.request.infer(feed)[0].copy() for feed in feeds]
        out = [None] * len(feeds)

        def keep(request, i):
            out[i] = request.get_output_tensor(0).data.copy()

        self.queue.set_callback(keep)
        for i, feed in enumerate(feeds):
            self.queue.start_async(feed, i)
        self.queue.wait_all()
        return out

"""PyTorch with transformers: f32, weights in bf16, and both through torch.compile (inductor, dynamic shapes) where there is a C++
compiler."""
import os
import shutil

DISTRIBUTIONS = ("torch", "transformers")


def prepare(job):
    if "compile" in job.dtype and not (shutil.which("g++") or shutil.which("clang++") or os.environ.get("CXX")):
        raise SystemExit("torch.compile needs a C++ compiler")


class Runner:
    MODES = ({},)

    def __init__(self, job, mode):
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.join(job.work, "inductor"))
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
        import torch
        import transformers
        transformers.logging.set_verbosity_error()
        torch.set_num_threads(job.threads)
        kind = transformers.AutoModel if job.embed else transformers.AutoModelForSequenceClassification
        dtype = torch.bfloat16 if job.dtype.startswith("bf16") else torch.float32
        self.torch, self.embed = torch, job.embed
        self.types = "token_type_ids"
        self.model = kind.from_pretrained(job.model, dtype=dtype, attn_implementation="sdpa").eval()
        self.has_types = self.model.config.model_type == "bert"
        if job.dtype.endswith("compile"):
            self.model = torch.compile(self.model, dynamic=True)

    def feed(self, ids, mask, types):
        t = self.torch.from_numpy
        return dict(input_ids=t(ids), attention_mask=t(mask), **({"token_type_ids": t(types)} if self.has_types else {}))

    def run(self, feeds):
        with self.torch.inference_mode():
            return [self.one(feed).float().numpy() for feed in feeds]

    def one(self, feed):
        out = self.model(**feed)
        if not self.embed:
            return out.logits
        real = feed["attention_mask"].unsqueeze(-1).to(out.last_hidden_state.dtype)
        return self.torch.nn.functional.normalize((out.last_hidden_state * real).sum(1) / real.sum(1))

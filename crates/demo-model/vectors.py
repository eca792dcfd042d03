"""Makes the reference models and logits in tests/vectors.

Small models with random weights, of every supported architecture, are written, quantised by llama.cpp and
run by llama.cpp in two ways:

  NAME.gguf       the quantised model
  NAME.json       tokens fed, greedy continuation, gaps, distance between the two ways
  NAME.exact.npy  logits with the weights dequantised to F32, F32 cache, no flash attention
  NAME.q8.npy     logits of the quantised file as llama.cpp runs it, F32 cache

Run: python vectors.py [FOLDER]             those of the repository
     python vectors.py --sweep FOLDER       many more, to compare with now and then
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np

import llamacpp
import sweep
from random_models import VOCABULARY, Shape, random_tensors, write

CONTINUED = 24

YARN = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 16.0,
    "rope.scaling.original_context_length": 16,
    "rope.scaling.yarn_beta_fast": 32.0,
    "rope.scaling.yarn_beta_slow": 1.0,
    "attention.temperature_scale": 0.1,
}

SHAPES = [
    # head_dim differs from width / heads on purpose: it must be read from the file.
    Shape("dense", 20251, heads=4, kv_heads=2, head_dim=128, feed_forward=768,
          rope_theta=1e6),
    Shape("moe", 20252, heads=4, kv_heads=2, head_dim=64, feed_forward=256, rope_theta=1e4,
          experts=4, experts_used=2),
    # Llama 3's frequencies, biases everywhere, an odd number of heads, rows that no K-quant fits.
    Shape("llama3", 20253, heads=3, kv_heads=3, head_dim=64, feed_forward=352, rope_theta=5e5,
          tied=True, mix="Q5_K_M", rope_factors=True,
          biases=("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")),
    Shape("mistral3", 20254, arch="mistral3", heads=4, kv_heads=2, head_dim=64, feed_forward=352,
          rope_theta=1e6, extra=YARN | {"rope.scaling.yarn_log_multiplier": 1.0}, fed=40),
    Shape("qwen3", 20255, arch="qwen3", heads=6, kv_heads=2, head_dim=32, feed_forward=352,
          rope_theta=1e6, tied=True, mix="Q6_K"),
    Shape("qwen3moe", 20256, arch="qwen3moe", heads=4, kv_heads=4, head_dim=32, feed_forward=512,
          rope_theta=1e6, experts=6, experts_used=3, expert_width=96, mix="Q3_K_M"),
    Shape("deepseek2", 20257, arch="deepseek2", heads=4, kv_heads=1, head_dim=32, feed_forward=160,
          rope_theta=1e4, experts=5, experts_used=3, expert_width=64, shared=1, dense_first=1,
          query_rank=96, kv_rank=256, nope=64, rope=32, fed=40,
          extra=YARN | {"rope.scaling.yarn_log_multiplier": 0.1, "attention.temperature_length": 16,
                        "expert_weights_norm": True, "expert_weights_scale": 1.0,
                        "expert_gating_func": 1}),
    # DeepSeek V3's way of choosing experts.
    Shape("deepseek2-groups", 20258, arch="deepseek2", heads=3, kv_heads=1, head_dim=32, width=64,
          feed_forward=64, rope_theta=1e4, experts=8, experts_used=3, expert_width=32, shared=2,
          dense_first=0, query_rank=64, kv_rank=64, nope=32, rope=16, router_bias=True, mix="Q8_0",
          extra={"expert_weights_norm": True, "expert_weights_scale": 2.5, "expert_gating_func": 2,
                 "expert_group_count": 4, "expert_group_used_count": 2}),
]


def dequantised(path: Path):
    for tensor in gguf.GGUFReader(path).tensors:
        data = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        dims = [int(dim) for dim in reversed(tensor.shape)]
        yield tensor.name, np.ascontiguousarray(data.reshape(dims), dtype=np.float32)


def mean_kl(exact: np.ndarray, other: np.ndarray) -> float:
    def log_softmax(logits: np.ndarray) -> np.ndarray:
        logits = logits.astype(np.float64)
        shifted = logits - logits.max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))

    p, q = log_softmax(exact), log_softmax(other)
    return float((np.exp(p) * (p - q)).sum(axis=-1).mean())


def make(shape: Shape, folder: Path) -> None:
    target = folder / f"{shape.name}.gguf"
    with tempfile.TemporaryDirectory() as scratch:
        full, flat = Path(scratch) / "full.gguf", Path(scratch) / "flat.gguf"
        write(full, shape, random_tensors(shape))
        llamacpp.quantize(full, target, llamacpp.MIXES[shape.mix])
        write(flat, shape, dequantised(target))
        rng = np.random.default_rng(shape.seed + 1000)
        tokens = [1, *(int(token) for token in rng.integers(3, VOCABULARY, shape.fed - 1))]
        with llamacpp.opened(flat, threads=1) as model:
            exact = model.logits(tokens)
            continuation, gaps = model.greedy(tokens, CONTINUED, stop=False)
        with llamacpp.opened(target, threads=1) as model:
            fast = model.logits(tokens)
    np.save(folder / f"{shape.name}.exact.npy", exact)
    np.save(folder / f"{shape.name}.q8.npy", fast)
    report = {
        "llama_cpp": llamacpp.version(),
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        "tokens": tokens,
        "greedy_exact": continuation,
        "greedy_gap": gaps,
        "mean_kl_of_q8_path": mean_kl(exact, fast),
        "max_abs_diff_of_q8_path": float(np.abs(exact - fast).max()),
        "logit_std": float(exact.std()),
    }
    (folder / f"{shape.name}.json").write_text(json.dumps(report, indent=1) + "\n")
    print(shape.name, target.stat().st_size, "bytes,", report["mean_kl_of_q8_path"], "mean KL,",
          report["max_abs_diff_of_q8_path"], "largest difference", flush=True)


if __name__ == "__main__":
    swept = "--sweep" in sys.argv
    folders = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    default = Path(__file__).resolve().parents[2] / "tests" / "vectors"
    out = Path(folders[0]) if folders else default
    out.mkdir(parents=True, exist_ok=True)
    for each in sweep.shapes(SHAPES) if swept else SHAPES:
        make(each, out)

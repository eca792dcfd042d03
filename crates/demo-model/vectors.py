"""Makes the reference models and logits in tests/vectors.

Two small models with random weights (one dense, one with experts) are written,
quantised by llama.cpp to Q4_K_M and run by llama.cpp in two ways:

  NAME.gguf       the quantised model
  NAME.json       tokens fed, greedy continuation, gaps, distance between the two ways
  NAME.exact.npy  logits with the weights dequantised to F32, F32 cache, no flash attention
  NAME.q8.npy     logits of the quantised file as llama.cpp runs it, F32 cache

Run: python vectors.py [FOLDER]
"""

import hashlib
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

import llamacpp

VOCABULARY = 512
FED = 24
CONTINUED = 24


@dataclass(frozen=True)
class Shape:
    name: str
    seed: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    rope_theta: float
    experts: int = 0
    experts_used: int = 0
    width: int = 256
    layers: int = 2


SHAPES = [
    # head_dim differs from width / heads on purpose: it must be read from the file.
    Shape("dense", 20251, heads=4, kv_heads=2, head_dim=128, feed_forward=768, rope_theta=1e6),
    Shape("moe", 20252, heads=4, kv_heads=2, head_dim=64, feed_forward=256, rope_theta=1e4,
          experts=4, experts_used=2),
]


def byte_symbols() -> list[str]:
    """GPT-2's printable stand-in for every byte value."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = [byte for byte in range(256) if byte not in printable]
    table = {byte: chr(byte) for byte in printable}
    table |= {byte: chr(256 + n) for n, byte in enumerate(extra)}
    return [table[byte] for byte in range(256)]


def vocabulary() -> tuple[list[str], list[int], list[str]]:
    """Three control tokens, every byte, and merges of two symbols up to 512 tokens."""
    tokens = ["<unk>", "<s>", "</s>", *byte_symbols()]
    kinds = [gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * 256
    letters = "abcdefghijklmnopqrstuvwxyz"
    pairs = [("Ġ", letter) for letter in letters]
    pairs += [(a, b) for a in "etaoinsrl" for b in letters]
    pairs = pairs[: VOCABULARY - len(tokens)]
    tokens += [a + b for a, b in pairs]
    kinds += [gguf.TokenType.NORMAL] * len(pairs)
    return tokens, [int(kind) for kind in kinds], [f"{a} {b}" for a, b in pairs]


def write_header(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name(f"{shape.name}, random weights")
    writer.add_context_length(1024)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.experts_used)
    tokens, kinds, merges = vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("tekken")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)


def random_tensors(shape: Shape):
    """Names and weights; matrices as rows of inputs, as GGUF stores them."""
    rng = np.random.default_rng(shape.seed)

    def matrix(*dims: int, gain: float = 1.0) -> np.ndarray:
        return (rng.standard_normal(dims) * gain / np.sqrt(dims[-1])).astype(np.float32)

    def norm() -> np.ndarray:
        return (1.0 + 0.1 * rng.standard_normal(shape.width)).astype(np.float32)

    width, hidden = shape.width, shape.feed_forward
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    yield "token_embd", rng.standard_normal((VOCABULARY, width)).astype(np.float32)
    yield "output_norm", norm()
    yield "output", matrix(VOCABULARY, width, gain=3.0)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        yield block + "attn_norm", norm()
        yield block + "attn_q", matrix(queries, width, gain=1.5)
        yield block + "attn_k", matrix(keys, width, gain=1.5)
        yield block + "attn_v", matrix(keys, width)
        yield block + "attn_output", matrix(width, queries)
        yield block + "ffn_norm", norm()
        if shape.experts:
            yield block + "ffn_gate_inp", matrix(shape.experts, width, gain=3.0)
            yield block + "ffn_gate_exps", matrix(shape.experts, hidden, width)
            yield block + "ffn_up_exps", matrix(shape.experts, hidden, width)
            yield block + "ffn_down_exps", matrix(shape.experts, width, hidden, gain=2.0)
        else:
            yield block + "ffn_gate", matrix(hidden, width)
            yield block + "ffn_up", matrix(hidden, width)
            yield block + "ffn_down", matrix(width, hidden, gain=2.0)


def write(path: Path, shape: Shape, tensors) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    write_header(writer, shape)
    for name, data in tensors:
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


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
        write(full, shape, ((f"{name}.weight", data) for name, data in random_tensors(shape)))
        llamacpp.quantize(full, target)
        write(flat, shape, dequantised(target))
        rng = np.random.default_rng(shape.seed + 1000)
        tokens = [1, *(int(token) for token in rng.integers(3, VOCABULARY, FED - 1))]
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
          report["max_abs_diff_of_q8_path"], "largest difference")


if __name__ == "__main__":
    default = Path(__file__).resolve().parents[2] / "tests" / "vectors"
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    out.mkdir(parents=True, exist_ok=True)
    for each in SHAPES:
        make(each, out)

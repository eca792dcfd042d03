"""Models of random weights, of every supported architecture, as GGUF files in F32.

Dimensions are odd on purpose wherever a real file could have them so: head widths that are not the width
divided by the heads, hidden widths that are no multiple of a quantisation block, odd numbers of heads.
"""

from dataclasses import dataclass, field
from pathlib import Path

import gguf
import numpy as np

VOCABULARY = 512


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
    arch: str = "llama"
    # What llama.cpp calls the mix of types.
    mix: str = "Q4_K_M"
    tied: bool = False
    # Names of projections with biases, such as attn_q.
    biases: tuple[str, ...] = ()
    rope_factors: bool = False
    expert_width: int = 0
    shared: int = 0
    dense_first: int = 0
    router_bias: bool = False
    # Latent attention; head_dim is the width of a value there.
    query_rank: int = 0
    kv_rank: int = 0
    nope: int = 0
    rope: int = 0
    # Further metadata, without the architecture.
    extra: dict = field(default_factory=dict)
    # Tokens that are fed.
    fed: int = 24

    @property
    def latent(self) -> bool:
        return self.arch == "deepseek2"

    @property
    def normed_heads(self) -> bool:
        return self.arch in ("qwen3", "qwen3moe")


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
    writer.add_head_count_kv(1 if shape.latent else shape.kv_heads)
    if shape.latent:
        writer.add_key_length(shape.kv_rank + shape.rope)
        writer.add_value_length(shape.kv_rank)
        writer.add_key_length_mla(shape.nope + shape.rope)
        writer.add_value_length_mla(shape.head_dim)
        writer.add_rope_dimension_count(shape.rope)
        writer.add_kv_lora_rank(shape.kv_rank)
        if shape.query_rank:
            writer.add_q_lora_rank(shape.query_rank)
        writer.add_leading_dense_block_count(shape.dense_first)
        writer.add_expert_shared_count(shape.shared)
    else:
        writer.add_key_length(shape.head_dim)
        writer.add_value_length(shape.head_dim)
        writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.experts_used)
    if shape.expert_width:
        writer.add_expert_feed_forward_length(shape.expert_width)
    for key, value in shape.extra.items():
        key = f"{shape.arch}.{key}"
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        else:
            writer.add_string(key, value)
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

    def norm(width: int = shape.width) -> np.ndarray:
        return (1.0 + 0.1 * rng.standard_normal(width)).astype(np.float32)

    width, hidden = shape.width, shape.feed_forward
    # As an output head, rows of length one would let no token follow but itself.
    scale = np.float32(3.0 / np.sqrt(width) if shape.tied else 1.0)
    yield "token_embd.weight", rng.standard_normal((VOCABULARY, width)).astype(np.float32) * scale
    yield "output_norm.weight", norm()
    if not shape.tied:
        yield "output.weight", matrix(VOCABULARY, width, gain=3.0)
    if shape.rope_factors:
        pairs = np.arange(shape.head_dim // 2)
        yield "rope_freqs.weight", (1.0 + 7.0 * (pairs > pairs.size // 3)).astype(np.float32)
    for layer in range(shape.layers):
        block = f"blk.{layer}."

        def projection(name: str, *dims: int, gain: float = 1.0):
            yield block + name + ".weight", matrix(*dims, gain=gain)
            if name in shape.biases:
                yield block + name + ".bias", matrix(dims[-2]) * np.float32(5.0)

        yield block + "attn_norm.weight", norm()
        if shape.latent:
            key = shape.nope + shape.rope
            if shape.query_rank:
                yield from projection("attn_q_a", shape.query_rank, width)
                yield block + "attn_q_a_norm.weight", norm(shape.query_rank)
                yield from projection("attn_q_b", shape.heads * key, shape.query_rank, gain=1.5)
            else:
                yield from projection("attn_q", shape.heads * key, width, gain=1.5)
            yield from projection("attn_kv_a_mqa", shape.kv_rank + shape.rope, width)
            yield block + "attn_kv_a_norm.weight", norm(shape.kv_rank)
            yield from projection("attn_k_b", shape.heads, shape.kv_rank, shape.nope)
            yield from projection("attn_v_b", shape.heads, shape.head_dim, shape.kv_rank)
        else:
            queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
            yield from projection("attn_q", queries, width, gain=1.5)
            yield from projection("attn_k", keys, width, gain=1.5)
            yield from projection("attn_v", keys, width)
            if shape.normed_heads:
                yield block + "attn_q_norm.weight", norm(shape.head_dim)
                yield block + "attn_k_norm.weight", norm(shape.head_dim)
        yield from projection("attn_output", width, shape.heads * shape.head_dim)
        yield block + "ffn_norm.weight", norm()
        if shape.experts and layer >= shape.dense_first:
            own = shape.expert_width or hidden
            yield block + "ffn_gate_inp.weight", matrix(shape.experts, width, gain=3.0)
            if shape.router_bias:
                yield block + "exp_probs_b.bias", matrix(shape.experts) * np.float32(0.5)
            yield block + "ffn_gate_exps.weight", matrix(shape.experts, own, width)
            yield block + "ffn_up_exps.weight", matrix(shape.experts, own, width)
            yield block + "ffn_down_exps.weight", matrix(shape.experts, width, own, gain=2.0)
            if shape.shared:
                all_shared = own * shape.shared
                yield from projection("ffn_gate_shexp", all_shared, width)
                yield from projection("ffn_up_shexp", all_shared, width)
                yield from projection("ffn_down_shexp", width, all_shared, gain=2.0)
        else:
            yield from projection("ffn_gate", hidden, width)
            yield from projection("ffn_up", hidden, width)
            yield from projection("ffn_down", width, hidden, gain=2.0)


def write(path: Path, shape: Shape, tensors) -> None:
    writer = gguf.GGUFWriter(path, shape.arch)
    write_header(writer, shape)
    for name, data in tensors:
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

"""Writes the trained model as GGUF and quantises it to Q4_K_M with llama.cpp.

Run: python export.py [--work work] [--out demo.gguf]
"""

import argparse
import json
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer

import llamacpp
import vocabulary
from model import Config
from train import WORK

HERE = Path(__file__).resolve().parent


def write_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    state = json.loads(tokenizer.to_str())["model"]
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    special = len(vocabulary.SPECIAL)
    kinds = [gguf.TokenType.CONTROL] * special + [gguf.TokenType.NORMAL] * (len(by_id) - special)
    kinds[vocabulary.UNK] = gguf.TokenType.UNKNOWN
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("tekken")
    writer.add_token_list([token for token, _ in by_id])
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in state["merges"]])
    writer.add_unk_token_id(vocabulary.UNK)
    writer.add_bos_token_id(vocabulary.BOS)
    writer.add_eos_token_id(vocabulary.EOS)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(vocabulary.CHAT_TEMPLATE)


def write_hyperparameters(writer: gguf.GGUFWriter, c: Config) -> None:
    writer.add_name("Inference-IA-P2P demo")
    writer.add_description("Answers questions about Inference-IA-P2P in French and English")
    writer.add_license("apache-2.0")
    writer.add_languages(["fr", "en"])
    writer.add_context_length(c.declared_context)
    writer.add_embedding_length(c.width)
    writer.add_block_count(c.layers)
    writer.add_feed_forward_length(c.feed_forward)
    writer.add_head_count(c.heads)
    writer.add_head_count_kv(c.kv_heads)
    writer.add_key_length(c.head_dim)
    writer.add_value_length(c.head_dim)
    writer.add_rope_dimension_count(c.head_dim)
    writer.add_rope_freq_base(c.rope_theta)
    writer.add_layer_norm_rms_eps(c.eps)
    writer.add_vocab_size(c.vocabulary)
    writer.add_expert_count(c.experts)
    writer.add_expert_used_count(c.experts_used)


def tensors(state: dict[str, torch.Tensor], c: Config):
    """llama.cpp's names; the experts of a layer become one 3-D tensor."""
    yield "token_embd", state["embedding.weight"]
    yield "output_norm", state["norm.weight"]
    yield "output", state["output.weight"]
    for layer in range(c.layers):
        ours, theirs = f"layers.{layer}.", f"blk.{layer}."
        yield theirs + "attn_norm", state[ours + "attention_norm.weight"]
        for part in ("q", "k", "v", "output"):
            yield theirs + f"attn_{part}", state[ours + f"attention.{part}.weight"]
        yield theirs + "ffn_norm", state[ours + "experts_norm.weight"]
        yield theirs + "ffn_gate_inp", state[ours + "experts.router.weight"]
        for part in ("gate", "up", "down"):
            each = [state[ours + f"experts.experts.{n}.{part}.weight"] for n in range(c.experts)]
            yield theirs + f"ffn_{part}_exps", torch.stack(each)


def export(work: Path, out: Path) -> None:
    config = Config()
    state = torch.load(work / "checkpoint.pt", weights_only=True)
    with tempfile.TemporaryDirectory() as scratch:
        full = Path(scratch) / "full.gguf"
        writer = gguf.GGUFWriter(full, "llama")
        write_hyperparameters(writer, config)
        write_tokenizer(writer, vocabulary.load(work / "tokenizer.json"))
        for name, data in tensors(state, config):
            writer.add_tensor(f"{name}.weight", data.float().numpy().astype(np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        llamacpp.quantize(full, out)
    print(out, out.stat().st_size, "bytes")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--work", type=Path, default=WORK)
    arguments.add_argument("--out", type=Path, default=HERE / "demo.gguf")
    options = arguments.parse_args()
    export(options.work, options.out)

"""The demo model in PyTorch, shaped exactly as llama.cpp computes `llama` with experts.

Rotary positions turn neighbouring pairs (the interleaved kind), so no weight has to
be permuted on export; the router takes a softmax over all experts, keeps the best two
and renormalises.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Config:
    vocabulary: int = 2048
    width: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    feed_forward: int = 512
    experts: int = 4
    experts_used: int = 2
    rope_theta: float = 10000.0
    eps: float = 1e-5
    trained_context: int = 512
    declared_context: int = 1024


class RoundToFourBits(torch.autograd.Function):
    """Q4_K in essence: 32 weights share a scale and a minimum. The gradient passes through."""

    @staticmethod
    def forward(_ctx, weight: torch.Tensor) -> torch.Tensor:
        blocks = weight.reshape(-1, 32)
        low = blocks.amin(1, keepdim=True).clamp(max=0.0)
        step = ((blocks.amax(1, keepdim=True) - low) / 15).clamp(min=1e-8)
        return (((blocks - low) / step).round() * step + low).reshape(weight.shape)

    @staticmethod
    def backward(_ctx, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


class Matrix(nn.Module):
    """A matrix product that can be trained as its four-bit rounding."""

    rounded = False

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * gain * inputs**-0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = RoundToFourBits.apply(self.weight) if Matrix.rounded else self.weight
        return F.linear(x, weight)


def rotations(config: Config) -> torch.Tensor:
    """cos and sin for every position and pair: [context, 2, head_dim / 2]."""
    half = torch.arange(0, config.head_dim, 2) / config.head_dim
    angle = torch.outer(torch.arange(config.declared_context), config.rope_theta**-half)
    return torch.stack([angle.cos(), angle.sin()], 1)


def rotate(x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Turns the pairs (0,1), (2,3), … of [batch, heads, positions, head_dim]."""
    cos, sin = turn[: x.shape[2], 0], turn[: x.shape[2], 1]
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)


class Attention(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        self.q = Matrix(c.width, c.heads * c.head_dim)
        self.k = Matrix(c.width, c.kv_heads * c.head_dim)
        self.v = Matrix(c.width, c.kv_heads * c.head_dim)
        self.output = Matrix(c.heads * c.head_dim, c.width, (2 * c.layers) ** -0.5)

    def forward(self, x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        batch, length, _ = x.shape

        def heads(y: torch.Tensor, count: int) -> torch.Tensor:
            return y.view(batch, length, count, self.c.head_dim).transpose(1, 2)

        q = rotate(heads(self.q(x), self.c.heads), turn)
        k = rotate(heads(self.k(x), self.c.kv_heads), turn)
        v = heads(self.v(x), self.c.kv_heads)
        group = self.c.heads // self.c.kv_heads
        k, v = (y.repeat_interleave(group, 1) for y in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(y.transpose(1, 2).reshape(batch, length, -1))


class Expert(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.gate = Matrix(c.width, c.feed_forward)
        self.up = Matrix(c.width, c.feed_forward)
        self.down = Matrix(c.feed_forward, c.width, (2 * c.layers) ** -0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Experts(nn.Module):
    """Routed feed-forward over a flat list of tokens; keeps its load-balancing loss."""

    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        self.router = nn.Linear(c.width, c.experts, bias=False)
        self.experts = nn.ModuleList(Expert(c) for _ in range(c.experts))
        self.imbalance = torch.zeros(())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        odds = self.router(x.float()).softmax(-1)
        weights, chosen = odds.topk(self.c.experts_used, -1)
        weights = weights / weights.sum(-1, keepdim=True)
        out = torch.zeros_like(x)
        share = []
        for index, expert in enumerate(self.experts):
            token, slot = (chosen == index).nonzero(as_tuple=True)
            share.append(token.numel() / chosen.numel())
            if token.numel():
                y = expert(x[token]) * weights[token, slot, None].to(x.dtype)
                out.index_add_(0, token, y.to(x.dtype))
        self.imbalance = self.c.experts * (odds.mean(0) * torch.tensor(share)).sum()
        return out


class Layer(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.attention_norm = nn.RMSNorm(c.width, c.eps)
        self.attention = Attention(c)
        self.experts_norm = nn.RMSNorm(c.width, c.eps)
        self.experts = Experts(c)


class DemoModel(nn.Module):
    def __init__(self, config: Config, dropout: float = 0.0):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        nn.init.normal_(self.embedding.weight, std=0.5)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, config.eps)
        self.output = Matrix(config.width, config.vocabulary)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("turn", rotations(config), persistent=False)

    def forward(self, tokens: torch.Tensor, real: torch.Tensor, wanted: torch.Tensor):
        """Logits at the `wanted` positions and the mean imbalance of the experts.

        `real` marks the positions that are no padding; padding is always on the right,
        where the causal mask hides it, and is left out of the feed-forward.
        """
        x = self.dropout(self.embedding(tokens))
        imbalance = torch.zeros(())
        for layer in self.layers:
            x = x + self.dropout(layer.attention(layer.attention_norm(x), self.turn))
            flat = layer.experts(layer.experts_norm(x[real]))
            x = x.masked_scatter(real[..., None], x[real] + self.dropout(flat))
            imbalance = imbalance + layer.experts.imbalance
        return self.output(self.norm(x[wanted])), imbalance / len(self.layers)

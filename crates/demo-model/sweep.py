"""Many shapes of every architecture, drawn at random and always the same."""

import random
from dataclasses import replace

from random_models import Shape

MIXES = ["Q4_K_M", "Q3_K_M", "Q4_0", "Q5_K_M", "Q6_K", "Q8_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K",
         "Q4_K_S", "F16", "BF16", "F32"]


def shapes(first: list[Shape]) -> list[Shape]:
    """Each shape of the repository with other dimensions, options and mixes of types."""
    chance = random.Random(20260)
    drawn = []
    for base in first:
        for number in range(6):
            drawn.append(vary(base, number, chance))
    # llama.cpp takes queries without a latent only from models with this many layers.
    lite = Shape("deepseek2-lite", 31, arch="deepseek2", heads=3, kv_heads=1, head_dim=32,
                 feed_forward=96, rope_theta=1e4, width=64, layers=27, mix="Q8_0", dense_first=1,
                 experts=4, experts_used=2, expert_width=32, shared=2, kv_rank=64, nope=32, rope=16)
    return [*drawn, lite, replace(lite, name="deepseek2-lite-yarn", layers=26, seed=32, extra={
        "rope.scaling.type": "yarn", "rope.scaling.factor": 40.0,
        "rope.scaling.original_context_length": 16, "rope.scaling.yarn_log_multiplier": 0.0707})]


def vary(base: Shape, number: int, chance: random.Random) -> Shape:
    kv_heads = chance.choice([1, 2, 3, 5])
    # Every row must be whole blocks of 32 at least; not all are whole blocks of 256.
    changes = {
        "name": f"{base.name}-{number}",
        "seed": base.seed * 100 + number,
        "mix": chance.choice(MIXES),
        "tied": chance.random() < 0.4,
        "width": chance.choice([256, 320, 512]),
        "layers": chance.choice([1, 2, 3]),
        "feed_forward": 32 * chance.choice([5, 8, 11, 20, 27]),
        "kv_heads": kv_heads,
        "heads": kv_heads * chance.choice([1, 2, 3]),
        "head_dim": chance.choice([32, 64, 96, 128]),
        "fed": chance.choice([24, 64]),
    }
    extra = dict(base.extra)
    if "rope.scaling.type" in extra:
        extra["rope.scaling.factor"] = chance.choice([2.0, 8.0, 36.0])
        extra["rope.scaling.original_context_length"] = chance.choice([16, 64, 256])
        extra["rope.scaling.yarn_beta_fast"] = chance.choice([32.0, 8.0])
        multiplier = chance.choice([None, 0.5, 1.0])
        extra.pop("rope.scaling.yarn_log_multiplier")
        if multiplier is not None:
            tenth = 0.1 if base.latent else 1.0
            extra["rope.scaling.yarn_log_multiplier"] = multiplier * tenth
        if chance.random() < 0.3:
            del extra["attention.temperature_scale"]
        if chance.random() < 0.3:
            extra["rope.scaling.attn_factor"] = 1.2
        if "attention.temperature_length" in extra:
            extra["attention.temperature_length"] = chance.choice([8, 32])
    elif chance.random() < 0.3:
        extra |= {"rope.scaling.type": chance.choice(["linear", "yarn"]), "rope.scaling.factor": 4.0}
    if base.arch == "mistral3" and number == 0:
        # Its own length is not what llama.cpp reads.
        extra["attention.temperature_length"] = 5
    if base.experts:
        experts = chance.choice([4, 8, 12])
        changes |= {"experts": experts, "experts_used": chance.choice([1, 2, 4])}
        if base.expert_width:
            changes["expert_width"] = 32 * chance.choice([1, 3, 8])
    if base.latent:
        changes |= {
            "heads": chance.choice([1, 2, 3, 5]),
            "query_rank": chance.choice([64, 96, 256]),
            "kv_rank": chance.choice([64, 256, 320]),
            "nope": chance.choice([32, 64, 96]),
            "rope": chance.choice([16, 32, 64]),
            "dense_first": chance.choice([0, 1]),
            "shared": chance.choice([1, 2]),
            "router_bias": chance.random() < 0.5,
        }
        extra["expert_weights_norm"] = chance.random() < 0.5
        extra["expert_weights_scale"] = chance.choice([1.0, 2.5])
        extra["expert_gating_func"] = chance.choice([1, 2])
        if chance.random() < 0.5:
            extra |= {"expert_group_count": 2, "expert_group_used_count": 1}
        else:
            extra.pop("expert_group_count", None)
            extra.pop("expert_group_used_count", None)
        if changes["experts"] < 8:
            changes["experts"] = 8
    return replace(base, extra=extra, **changes)

"""Trains the demo model on the CPU.

Run: python train.py --minutes 30
It writes work/tokenizer.json and, every few minutes, work/checkpoint.pt; `--resume` goes
on from there with the same vocabulary, also when the corpus has grown since.
"""

import argparse
import json
import os
import math
import random
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F

import vocabulary
from corpus import Corpus, Topic, key
from model import Config, DemoModel, Matrix
from vocabulary import ANSWER, ASK, BOS, EOS

WORK = Path(__file__).resolve().parent / "work"
HELD_OUT = WORK.parent / "held-out.tsv"
TUNING = WORK.parent / "tuning.tsv"


class Conversations:
    """Random conversations as (token ids, which of them are to be learnt)."""

    TURNS = [(1, 0.84), (2, 0.13), (3, 0.03)]
    SHORT = 0.88
    SHORT_ANSWER = 8
    # Topics that need many more examples than the others.
    WEIGHT = {"off-topic": 12.0, "fragment": 2.0, "join": 2.0, "project": 2.0, "who-are-you": 2.0}

    def __init__(self, corpus: Corpus, tokenizer, limit: int, seed: int):
        self.corpus, self.tokenizer, self.limit = corpus, tokenizer, limit
        self.rng = random.Random(seed)
        self.topics = corpus.all_topics()
        self.weights = [self.WEIGHT.get(topic.name, 1.0) for topic in self.topics]
        self.answers = {id(t): vocabulary.plain_ids(tokenizer, t.answer) for t in self.topics}
        self.held_out = held_out_keys()

    def one(self) -> tuple[list[int], list[bool]]:
        turns = self.rng.choices([n for n, _ in self.TURNS], [w for _, w in self.TURNS])[0]
        tokens, learnt = [BOS], [False]
        topic: Topic | None = None
        for turn in range(turns):
            topic = self._next_topic(topic)
            asked = [ASK, *vocabulary.plain_ids(self.tokenizer, self._question(topic)), ANSWER]
            answered = [*self.answers[id(topic)], EOS]
            # The first words decide which answer it is: often learn only these.
            if turn == turns - 1 and self.rng.random() < self.SHORT:
                answered = answered[: self.SHORT_ANSWER]
            if len(tokens) + len(asked) + len(answered) > self.limit:
                break
            tokens += asked + answered
            learnt += [False] * len(asked) + [True] * len(answered)
        return tokens, learnt

    def _next_topic(self, previous: Topic | None) -> Topic:
        topic = self.rng.choices(self.topics, self.weights)[0]
        if previous and topic.language != previous.language and self.rng.random() < 0.85:
            topic = self.corpus.topics[previous.language].get(topic.name, topic)
        return topic

    def _question(self, topic: Topic) -> str:
        while True:
            question = self.corpus.question(topic, self.rng)
            if key(question) not in self.held_out:
                return question

    def batch(self, budget: int):
        """About `budget` tokens, padded on the right, of conversations of like length."""
        pool = getattr(self, "pool", [])
        if not pool:
            many = sorted((self.one() for _ in range(1500)), key=lambda c: len(c[0]))
            group: list = []
            for conversation in many:
                if group and len(conversation[0]) * (len(group) + 1) > budget:
                    pool.append(group)
                    group = []
                group.append(conversation)
            self.rng.shuffle(pool)
            self.pool = pool
        group = pool.pop()
        width = max(len(tokens) for tokens, _ in group)
        tokens = torch.zeros(len(group), width, dtype=torch.long)
        real = torch.zeros(len(group), width, dtype=torch.bool)
        wanted = torch.zeros(len(group), width, dtype=torch.bool)
        for row, (ids, learnt) in enumerate(group):
            tokens[row, : len(ids)] = torch.tensor(ids)
            real[row, : len(ids)] = True
            wanted[row, : len(ids)] = torch.tensor(learnt)
        # A position predicts the token after it.
        return tokens[:, :-1], real[:, :-1], wanted[:, 1:], tokens[:, 1:][wanted[:, 1:]]


def held_out_keys() -> set[str]:
    """The questions of the evaluation, which must never be trained on."""
    rows = [row for path in (HELD_OUT, TUNING) for row in path.read_text().splitlines()]
    return {key(row.split("\t")[2]) for row in rows if row and not row.startswith("#")}


def average_gradients(model: DemoModel, processes: int) -> None:
    """The mean gradient of all processes, in every process."""
    for p in model.parameters():
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    flat = torch.cat([p.grad.flatten() for p in model.parameters()])
    dist.all_reduce(flat)
    pieces = (flat / processes).split([p.numel() for p in model.parameters()])
    for p, piece in zip(model.parameters(), pieces):
        p.grad.copy_(piece.view_as(p))


def train(rank: int, options: argparse.Namespace) -> None:
    """One of the processes that train together, each on one thread.

    One thread each with a meeting per step loses less on a busy machine than
    threads that wait for each other in every operation.
    """
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29541")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", rank=rank, world_size=options.processes)
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    work, first = options.work, rank == 0

    config, corpus = Config(), Corpus()
    model = DemoModel(config, dropout=options.dropout)
    if options.resume:
        tokenizer = vocabulary.load(work / "tokenizer.json")
        model.load_state_dict(torch.load(work / "checkpoint.pt", weights_only=True))
    else:
        tokenizer = vocabulary.train(corpus, config.vocabulary)
    torch.manual_seed(options.seed + rank)
    matrices = [p for p in model.parameters() if p.ndim == 2]
    norms = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.02}, {"params": norms, "weight_decay": 0.0}],
        lr=options.rate, betas=(0.9, 0.98), fused=True,
    )
    data = Conversations(corpus, tokenizer, config.trained_context, options.seed + 100 * rank)

    def save() -> None:
        tokenizer.save(str(work / "tokenizer.json"))
        torch.save(model.state_dict(), work / "checkpoint.tmp")
        (work / "checkpoint.tmp").rename(work / "checkpoint.pt")

    if first:
        size = sum(p.numel() for p in model.parameters())
        print(f"{len(data.topics)} topics, {size} parameters", flush=True)
    dist.barrier()
    start = saved_at = time.time()
    step, seen, mean_loss = 0, 0, None
    model.train()
    while True:
        progress = torch.tensor((time.time() - start) / (60 * options.minutes))
        dist.broadcast(progress, 0)
        progress = progress.item()
        if progress >= 1:
            break
        Matrix.rounded = progress > 1 - options.rounded_share
        cooling = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))
        rate = options.rate * min(1, (step + 1) / 60) * cooling
        for group in optimizer.param_groups:
            group["lr"] = rate
        tokens, real, wanted, targets = data.batch(options.budget)
        with torch.autocast("cpu", torch.bfloat16):
            logits, imbalance = model(tokens, real, wanted)
        losses = F.cross_entropy(logits.float(), targets, reduction="none", label_smoothing=0.02)
        (losses.mean() + 0.01 * imbalance).backward()
        average_gradients(model, options.processes)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step, seen = step + 1, seen + int(real.sum()) * options.processes
        latest = losses.detach().mean().item()
        mean_loss = latest if mean_loss is None else 0.98 * mean_loss + 0.02 * latest
        if not first:
            continue
        if step % 25 == 0:
            minutes = (time.time() - start) / 60
            print(json.dumps({"minutes": round(minutes, 2), "step": step, "tokens": seen,
                              "loss": round(mean_loss, 4), "imbalance": round(imbalance.item(), 3),
                              "rate": round(rate, 6)}), flush=True)
        if time.time() - saved_at > 60 * options.save_every:
            save()
            saved_at = time.time()
    if first:
        save()
        print("done")
    dist.destroy_process_group()


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--minutes", type=float, default=30)
    arguments.add_argument("--resume", action="store_true")
    arguments.add_argument("--rate", type=float, default=2e-3)
    arguments.add_argument("--dropout", type=float, default=0.05)
    arguments.add_argument("--budget", type=int, default=1700, help="tokens a batch and process")
    arguments.add_argument("--rounded-share", type=float, default=0.25,
                           help="share of the time, at the end, with weights rounded to 4 bits")
    arguments.add_argument("--save-every", type=float, default=2.0, help="minutes")
    arguments.add_argument("--processes", type=int, default=2)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--work", type=Path, default=WORK)
    options = arguments.parse_args()
    options.work.mkdir(exist_ok=True)
    torch.multiprocessing.spawn(train, (options,), nprocs=options.processes)


if __name__ == "__main__":
    main()

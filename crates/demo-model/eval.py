"""Asks the quantised model, through llama.cpp, the questions it was never trained on.

Run: python eval.py [--model demo.gguf] [--questions held-out.tsv]

A reply is right when it is the answer written for the expected topic in the language of
the question (at least 95 % alike, so that a slip of one word does not count as wrong)
and ends by the end token.
"""

import argparse
import unicodedata
from difflib import SequenceMatcher
from pathlib import Path

import llamacpp
from corpus import Corpus
from train import HELD_OUT
from vocabulary import EOS

HERE = Path(__file__).resolve().parent
LIMIT = 160


def prompt(*turns: str) -> str:
    """The chat template, written out: question, answer, question, …"""
    pieces = [f"[INST]{t}[/INST]" if n % 2 == 0 else f"{t}</s>" for n, t in enumerate(turns)]
    return "<s>" + "".join(pieces)


def ask(model: llamacpp.Model, *turns: str) -> tuple[str, bool]:
    tokens = model.tokenize(prompt(*turns), add_special=False, parse_special=True)
    reply, _ = model.greedy(tokens, LIMIT)
    ended = reply[-1] == EOS
    return model.decode(reply[:-1] if ended else reply), ended


def read(path: Path) -> list[list[str]]:
    lines = unicodedata.normalize("NFC", path.read_text()).splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def best_topic(corpus: Corpus, reply: str) -> tuple[str, str, float]:
    """Language and topic of the written answer that is most like the reply."""
    alike = ((SequenceMatcher(None, reply, t.answer, autojunk=False).ratio(), t) for t in corpus.all_topics())
    ratio, topic = max(alike, key=lambda pair: pair[0])
    return topic.language, topic.name, ratio


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--model", type=Path, default=HERE / "demo.gguf")
    arguments.add_argument("--questions", type=Path, default=HELD_OUT)
    options = arguments.parse_args()
    corpus, questions = Corpus(), read(options.questions)
    right = second = 0
    with llamacpp.opened(options.model) as model:
        print("| | lang | expected | question | reply |\n|---|---|---|---|---|")
        for number, (language, topic, question) in enumerate(questions):
            reply, ended = ask(model, question)
            found = best_topic(corpus, reply)
            good = ended and found[:2] == (language, topic) and found[2] >= 0.95
            right += good
            shown = reply if good else f"**{found[1]}** {reply}{'' if ended else ' …'}"
            print(f"| {'✓' if good else '✗'} | {language} | {topic} | {question} | {shown} |")
            # The same question as the second turn of a conversation.
            other = questions[(number + 7) % len(questions)]
            if other[0] != language:
                other = questions[(number - 7) % len(questions)]
            answer = corpus.topics[other[0]][other[1]].answer
            reply, ended = ask(model, other[2], answer, question)
            found = best_topic(corpus, reply)
            second += ended and found[:2] == (language, topic) and found[2] >= 0.95
    total = len(questions)
    print(f"\nfirst turn:  {right}/{total} = {100 * right / total:.1f} %")
    print(f"second turn: {second}/{total} = {100 * second / total:.1f} %")


if __name__ == "__main__":
    main()

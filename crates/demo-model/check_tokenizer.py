"""Compares the vocabulary used in training with llama.cpp's reading of the GGUF file.

Run: python check_tokenizer.py [demo.gguf] [work/tokenizer.json]
"""

import random
import sys
from pathlib import Path

import llamacpp
import vocabulary
from corpus import Corpus
from eval import HERE
from references import TEXTS
from train import WORK


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "demo.gguf"
    tokenizer = vocabulary.load(Path(sys.argv[2]) if len(sys.argv) > 2 else WORK / "tokenizer.json")
    corpus, rng = Corpus(), random.Random(7)
    texts = [topic.answer for topic in corpus.all_topics()]
    texts += [corpus.question(rng.choice(corpus.all_topics()), rng) for _ in range(3000)]
    texts += [text for text in TEXTS if "[INST]" not in text]
    different = 0
    with llamacpp.opened(path) as model:
        for text in texts:
            ours = vocabulary.plain_ids(tokenizer, text)
            theirs = model.tokenize(text, add_special=False, parse_special=False)
            if ours != theirs:
                different += 1
                print(repr(text), [tokenizer.id_to_token(t) for t in ours],
                      [tokenizer.id_to_token(t) for t in theirs])
    print(f"{different} of {len(texts)} texts differ")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()

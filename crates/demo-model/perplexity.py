"""The perplexity of perplexity.txt under demo.gguf, by llama.cpp.

Run: python perplexity.py
It writes vectors/perplexity.json. With --text it first writes perplexity.txt anew: the answers of the corpus one after
the other, in both languages by turns, without the questions the model was trained to expect before them.

The figure is that of llama.cpp's own perplexity program: the tokens are cut into windows, each begins with the token
that begins texts in the place of its first token, and the second half of each window counts.
"""

import hashlib
import json
import math
import sys
from itertools import chain, zip_longest
from pathlib import Path

import llamacpp
import numpy as np

HERE = Path(__file__).resolve().parent
MODEL = HERE / "demo.gguf"
TEXT = HERE / "perplexity.txt"
WINDOW = 512
BYTES = 9000


def write_text() -> None:
    def answers(language: str) -> list[str]:
        files = sorted((HERE / "corpus").glob(f"{language}-*.md"))
        lines = chain.from_iterable(file.read_text().splitlines() for file in files)
        return [line[2:] for line in lines if line.startswith("> ")]

    pairs = zip_longest(answers("en"), answers("fr"))
    text = ""
    for line in chain.from_iterable(pairs):
        if line and len(text.encode()) < BYTES:
            text += line + "\n"
    TEXT.write_text(text)


def perplexity(model: llamacpp.Model, tokens: list[int], bos: int) -> tuple[float, int]:
    total, count = 0.0, 0
    for start in range(0, len(tokens) - WINDOW + 1, WINDOW):
        window = tokens[start : start + WINDOW]
        logits = model.logits([bos] + window[1:]).astype(np.float64)
        for at in range(WINDOW // 2, WINDOW - 1):
            row = logits[at]
            best = row.max()
            total += best + math.log(np.exp(row - best).sum()) - row[window[at + 1]]
            count += 1
    return math.exp(total / count), count


def main() -> None:
    if "--text" in sys.argv:
        write_text()
    text = TEXT.read_text()
    with llamacpp.opened(MODEL) as model:
        tokens = model.tokenize(text, add_special=True, parse_special=False)
        value, count = perplexity(model, tokens, tokens[0])
    out = {
        "llama_cpp": llamacpp.version(),
        "sha256": hashlib.sha256(MODEL.read_bytes()).hexdigest(),
        "text": TEXT.name,
        "tokens": len(tokens),
        "window": WINDOW,
        "counted": count,
        "perplexity": round(value, 6),
    }
    (HERE / "vectors" / "perplexity.json").write_text(json.dumps(out, indent=1) + "\n")
    print(out)


if __name__ == "__main__":
    main()

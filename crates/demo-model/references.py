"""Reference vectors for demo.gguf, made by llama.cpp on the very file.

Run: python references.py
It writes vectors/greedy.json and vectors/tokenize.json.
"""

import hashlib
import json
from pathlib import Path

import llamacpp
from eval import prompt

HERE = Path(__file__).resolve().parent
MODEL = HERE / "demo.gguf"
FOLDER = HERE / "vectors"
LIMIT = 48

CONVERSATIONS = [
    ["Qu'est-ce qu'un fragment ?"],
    ["How do I join?"],
    ["Qui voit mon texte ?"],
    ["Why is it slow?"],
    ["bonjour"],
    ["What is the capital of Norway?"],
    ["c koi un expert"],
    ["Do I need a GPU?"],
    ["Comment inviter un ami ?", "", "Et qui es-tu ?"],
    ["What is a node?", "", "What happens when one leaves?"],
]

TEXTS = [
    "", " ", "  ", "\n", "\t", "\n\n", " \n ", "\r\n", "   trois espaces", "fin   ",
    "Qu'est-ce qu'un fragment ?", "How do I join?", "Où héberge-t-on l'été déjà vécu à Noël ?",
    "ÉCOLE École école ÇA Ça ça", "L’apostrophe courbe et « guillemets »", "naïve cœur Œuvre œuf",
    "0123456789", "3,14159 et 10 485 760 octets", "1/2 + 3*4 = 12,5 %", "camelCaseWord and SCREAMING_CASE",
    "fn main() { println!(\"hello\"); }", "for (int i = 0; i < n; ++i) {\n\t\tsum += a[i];\n}",
    "https://example.org/a/b?c=d&e=f#g", "🙂 👩‍🚀 🇫🇷", "日本語とпривет και שלום", "e\u0301 decomposed",
    "I'm you're we'll DON'T", "....!!!???;;;", "<s>[INST]not special[/INST]</s>", "a\u00a0b\u202fc\u200bd",
    "Inference-IA-P2P Q4_K_M GGUF MoE", "xyzzyqwrtplkjh",
]


def greedy(model: llamacpp.Model, turns: list[str]) -> dict:
    turns = list(turns)
    for n in range(1, len(turns), 2):
        # The model's own earlier answers stand in the conversation.
        before = model.tokenize(prompt(*turns[:n]), add_special=False, parse_special=True)
        answer, _ = model.greedy(before, 160)
        turns[n] = model.decode([token for token in answer if not model.is_end(token)])
    text = prompt(*turns)
    tokens = model.tokenize(text, add_special=False, parse_special=True)
    continuation, gaps = model.greedy(tokens, LIMIT)
    shown = [token for token in continuation if not model.is_end(token)]
    return {"turns": turns, "prompt": text, "tokens": tokens, "continuation": continuation,
            "gaps": gaps, "text": model.decode(shown)}


def write(name: str, sha256: str, rows: list[dict]) -> None:
    head = {"llama_cpp": llamacpp.version(), "sha256": sha256}
    lines = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows)
    opening = json.dumps(head, ensure_ascii=False)[:-1]
    (FOLDER / name).write_text(f'{opening}, "cases": [\n{lines}\n]}}\n')
    print(name, len(rows), "cases")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    sha256 = hashlib.sha256(MODEL.read_bytes()).hexdigest()
    with llamacpp.opened(MODEL, threads=1) as model:
        write("greedy.json", sha256, [greedy(model, turns) for turns in CONVERSATIONS])
        write("tokenize.json", sha256, [
            {"text": text, "tokens": model.tokenize(text, add_special=False, parse_special=False)}
            for text in TEXTS
        ])


if __name__ == "__main__":
    main()

"""The demo model's byte-pair vocabulary, and conversations as token ids.

Pre-tokenised with llama.cpp's pattern for `tekken`, so that llama.cpp cuts text into
the same pieces; complete in bytes, so that any text can be written.
"""

import random
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from corpus import AFTER, BEFORE, DEFINE, LANGUAGES, Corpus

SPECIAL = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
UNK, BOS, EOS, ASK, ANSWER = range(5)

TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))*((?=[\p{L}])([^A-Z]))+"
    r"|[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))+((?=[\p{L}])([^A-Z]))*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}[INST]{{ message['content'] }}[/INST]"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] }}{{ eos_token }}"
    "{% endif %}{% endfor %}"
)


def train(corpus: Corpus, size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(TEKKEN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    rng = random.Random(1)
    lines = [topic.answer for topic in corpus.all_topics() for _ in range(3)]
    for topic in corpus.all_topics():
        lines += [corpus.clean(topic, rng) for _ in range(30)]
        lines += [corpus.question(topic, rng) for _ in range(20)]
    for language in LANGUAGES:
        lines += BEFORE[language] + AFTER[language] + DEFINE[language]
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def load(path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(path))


def plain_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids

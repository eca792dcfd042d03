"""Makes pre-tokenizers.json: what llama.cpp makes of texts for each way of splitting them that it knows.

The vocabulary is this project's own, and learned across all borders of words on purpose: wherever a text is split
at another place than llama.cpp splits it, other tokens come out.

    pip install gguf tokenizers llama-cpp-python
    python make.py
"""

import json
import pathlib
import tempfile

import gguf
import llama_cpp
import tokenizers

HERE = pathlib.Path(__file__).parent

NAMES = """
default gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert mpt olmo jais trillion
granite-docling exaone4 llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano dbrx smaug-bpe
glm4 chatglm-bpe jais-2 deepseek-llm deepseek-coder deepseek-v3 hunyuan-dense joyai-llm hy_v4 spark2_5 youtu falcon
starcoder refact command-r smollm codeshell exaone minerva-7b mellum2 qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2
hunyuan solar-open megrez grok-2 qwen35 poro-chat bloom gpt3-finnish viking tekken chameleon gpt-4o llama4 kanana2
talkie minimax-m2 granite-embed-multi-97m tiny_aya cohere2moe kimi-k2 superbpe bailingmoe bailingmoe2 llada-moe
seed-coder ufakzeka afmoe laguna exaone-moe minicpm5
""".split()

TEXTS = [
    "",
    " ",
    "  ",
    "   \t\t \n\n  \n\n\n \r\n\r\n x",
    "Hello World",
    " Hello, y'all! How are you 😁 ?我想在apple工作1314151天～",
    "I'm HE'LL we'Ve don't THEY'RE l'été qu'il aujourd'hui 'Twas",
    "3 33 333 3333 33333 333333 3333333 1,234,567.89 1e-5 0x1F ٣٤٥ ½ Ⅷ 2²",
    "CamelCaseWord HTTPServer iPhone XMLHttpRequest2 snake_case_name kebab-case ÀÉÎ Ǆ",
    "Größe naïve façade élève œuvre Ça va ? Über straße İstanbul'da",
    "Cafe\u0301 e\u0300a\u0302 हिन्दी में लिखा বাংলা ภาษาไทย ខ្មែរ မြန်မာ తెలుగు",
    "漢字とかな交じり文。カタカナ、ひらがな！한국어 문장도 있다. 中文，标点；符号：「引」",
    "if (x <= 3 && y != 0) { return a[i++] * -b / 2; } // TODO: fix\n\tdef f(x):\n        return x**2\n",
    "a/b//c\\d e.g. i.e. https://example.org/path?q=1&r=2#frag user@mail.net /// --- *** ### $$$ ~~~ ``` |||",
    "«Bonjour», dit-elle… “quoted” ‘single’ —dash– ‐hyphen‑ 100 % 5 € £3 ¥4 ©®™ ←→ ∑∞≠ ±",
    "emoji: 👩‍👩‍👧‍👦 🏳️‍🌈 🇫🇷 👍🏽 ☺️ 🦙.\n\n\n\nEnd.   \n",
    "Здравствуйте, мир! Ελληνικά κείμενο. שלום עולם. مرحبا بالعالم، كيف؟ Հայերեն",
    "tabs\there\u00a0nbsp\u3000ideographic\u2003em\u200bzero\u2028line word's's 's 'll'll",
    "Line one.\nLine two!\r\nLine three?\n\n- item 1\n- item 2\n\n1. first\n2. second",
    "<sentinel:12> IMGIMGABCZ [INST] <|im_start|> </s>",
    "!!!???...,,,;;; (((a))) [b] {c} \"d\" 'e' `f` <g> #h @i &j %k ^l _m_ =n= +o+",
    "a'b'c d'S e'T 12'34 x1y2z3 A1B2C3 ab12cd345ef6789 99bottles 7th 21st",
]


def vocabulary():
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=1500,
        min_frequency=1,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=6,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    # Words that no merges lead to: vocabularies differ in whether they are taken nevertheless.
    tokens += ["ĠnaÃ¯ve", "return", "Line", "Hello"]
    return tokens, [" ".join(pair) for pair in model["merges"]]


def tokenize(tokens, merges, name, folder):
    path = folder / f"{name}.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - 1) + [3])
    writer.add_token_merges(merges)
    for special in (writer.add_bos_token_id, writer.add_eos_token_id):
        special(len(tokens) - 1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    try:
        model = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    except ValueError:
        return None
    with_bos = model.tokenize(b"a", add_bos=True, special=False)
    return {
        "adds_bos": len(with_bos) > 1,
        "tokens": [model.tokenize(text.encode(), add_bos=False, special=False) for text in TEXTS],
    }


def main():
    tokens, merges = vocabulary()
    tokens.append("<s>")
    cases, unknown = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            case = tokenize(tokens, merges, name, pathlib.Path(folder))
            if case is None:
                unknown.append(name)
            else:
                cases[name] = case
    # Names that split alike are written once.
    groups = []
    for name, case in cases.items():
        same = [group for group in groups if group["case"] == case]
        if same:
            same[0]["names"].append(name)
        else:
            groups.append({"names": [name], "case": case})
    print(f"llama-cpp-python {llama_cpp.__version__} does not know: {' '.join(unknown)}")
    out = {
        "made_with": f"llama-cpp-python {llama_cpp.__version__}",
        "vocabulary": tokens,
        "merges": merges,
        "texts": TEXTS,
        "groups": [{"names": group["names"], **group["case"]} for group in groups],
    }
    with open(HERE / "pre-tokenizers.json", "w", encoding="utf-8") as file:
        file.write("{\n")
        file.write(",\n".join(
            f"{json.dumps(key)}: " + json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            for key, value in out.items()
        ))
        file.write("\n}\n")


main()

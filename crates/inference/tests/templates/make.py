"""Makes cases.json: what the templates in this folder become by Python's Jinja, set up as the transformers library
sets it up, whose conventions chat templates rely on.

The templates are this project's own, written to put conversations as the models they are named after want them and
to use what the templates of those models use of the language.

    pip install jinja2
    python make.py
"""

import datetime
import json
import pathlib
import re
import sys

import jinja2
import jinja2.ext
import jinja2.sandbox

HERE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
HERE = HERE if HERE.is_dir() else HERE.parent
TODAY = datetime.date(2026, 2, 9)


def talk(*turns):
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [{"role": roles[role], "content": content} for role, content in turns]


CONVERSATIONS = [
    talk(("u", "Hello! ")),
    talk(("s", " Be <b>kind</b>. "), ("u", "What's 2 + 2?")),
    talk(("u", "Un élève\n\ndemande ?"), ("a", "Réponse."), ("u", "Encore 🦙 !")),
    talk(("s", "S"), ("u", "1"), ("a", "<think>\nhm\n</think>\n\nA"), ("u", "2"), ("a", "B"), ("u", "3")),
    talk(("u", "1"), ("a", "[THINK]a draft[/THINK]A"), ("u", "2")),
    talk(("u", "1"), ("a", "<think>never ended"), ("u", "2")),
    talk(("u", "1"), ("u", "2")),
    talk(("s", "only the system")),
]


class Refusal(Exception):
    pass


def refuse(message):
    raise Refusal(message)


def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def render(source, messages):
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = TODAY.strftime
    # The tag of the transformers library marks what an assistant said, and is shown as if it were not there.
    source = re.sub(r"(\{%-?\s*)generation(\s*-?%\})", r"\1if true\2", source)
    source = re.sub(r"(\{%-?\s*)endgeneration(\s*-?%\})", r"\1endif\2", source)
    try:
        text = environment.from_string(source).render(
            messages=messages,
            tools=None,
            documents=None,
            add_generation_prompt=True,
            bos_token="<s>",
            eos_token="</s>",
        )
        return {"text": text}
    except Refusal as refusal:
        return {"refused": str(refusal)}
    except jinja2.TemplateError as error:
        print(f"error: {error}")
        return {"error": True}


def main():
    cases = []
    for path in sorted(HERE.glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        for messages in CONVERSATIONS:
            case = {"template": path.name, "messages": messages}
            print(path.name, end=" ")
            case.update(render(source, json.loads(json.dumps(messages))))
            cases.append(case)
            print(list(case)[-1])
    out = {"today": [TODAY.year, TODAY.month, TODAY.day], "cases": cases}
    with open(HERE / "cases.json", "w", encoding="utf-8") as file:
        json.dump(out, file, ensure_ascii=False, indent=1)
        file.write("\n")


main()

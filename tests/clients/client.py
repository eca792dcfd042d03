"""Has OpenAI's own client for Python talk with a node: ADDRESS KEY EXPECTED.

EXPECTED is a JSON object: the model's name, a question, and what the node says to it without chance. One line is printed for
each thing that works; the first that does not ends the program with 1.
"""

import json
import sys

import openai

address, key, expected = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
client = openai.OpenAI(base_url=address, api_key=key, max_retries=0)
model, question, answer = expected["model"], expected["question"], expected["answer"]
messages = [{"role": "user", "content": question}]
steady = {"model": model, "messages": messages, "temperature": 0, "max_tokens": expected["tokens"]}


def holds(what, condition, *seen):
    if not condition:
        sys.exit(f"not so: {what} {seen}")
    print(what)


def refused(what, kind, call):
    try:
        call()
    except openai.APIError as error:
        holds(f"{what} raises {kind.__name__}", type(error) is kind, type(error), error)
        return error
    sys.exit(f"not so: {what} is refused")


names = [it.id for it in client.models.list()]
holds("the model is listed", names == [model], names)
holds("the model is found by its name", client.models.retrieve(model).id == model)

whole = client.chat.completions.create(**steady)
said = whole.choices[0]
holds("a chat is answered as the node answers", said.message.content == answer, said)
holds("it says why it ended", said.finish_reason == expected["finish"], said.finish_reason)
usage = whole.usage
holds("tokens are counted", usage.total_tokens == usage.prompt_tokens + usage.completion_tokens and usage.completion_tokens > 1, usage)

stream = client.chat.completions.create(**steady, stream=True, stream_options={"include_usage": True})
chunks = list(stream)
pieces = [it.choices[0].delta.content or "" for it in chunks if it.choices]
holds("a stream says the same", "".join(pieces) == answer, pieces)
holds("in pieces", sum(1 for it in pieces if it) > 3, pieces)
holds("and counts the same", chunks[-1].usage.completion_tokens == usage.completion_tokens, chunks[-1])

word = answer.split()[2]
cut = client.chat.completions.create(**steady, stop=[word]).choices[0]
holds("it stops at a word", cut.message.content == answer[: answer.index(word)] and cut.finish_reason == "stop", cut)
pieces = client.chat.completions.create(**steady, stop=word, stream=True)
text = "".join(it.choices[0].delta.content or "" for it in pieces)
holds("a stream stops there, too", text == cut.message.content, text)

with client.chat.completions.create(**{**steady, "max_tokens": 1000}, stream=True) as stream:
    first = next(iter(stream))
holds("a stream may be left", first.choices[0].delta.role == "assistant", first)

lively = {**steady, "temperature": 1.5, "top_p": 0.95, "max_tokens": 12}
same = [client.chat.completions.create(**lively, seed=7).choices[0].message.content for _ in range(2)]
other = client.chat.completions.create(**lively, seed=8).choices[0].message.content
holds("the same seed says the same", same[0] == same[1], same)
holds("another one says something else", other != same[0], other)

told = client.chat.completions.create(**{**steady, "max_tokens": 4}, logprobs=True, top_logprobs=3).choices[0]
tokens = told.logprobs.content
holds("probabilities are told", len(tokens) == 4 and all(it.logprob <= 0 and len(it.top_logprobs) == 3 for it in tokens), tokens)
holds("without chance the likeliest is taken", all(it.token == it.top_logprobs[0].token for it in tokens), tokens)
holds("their tokens are the text", "".join(it.token for it in tokens).strip() == told.message.content.strip(), told)

text = client.completions.create(model=model, prompt=question, max_tokens=5, temperature=0, logprobs=2)
holds("a text is gone on with", len(text.choices[0].logprobs.tokens) == text.usage.completion_tokens == 5, text)
pieces = list(client.completions.create(model=model, prompt=question, max_tokens=5, temperature=0, stream=True))
holds("and streamed", "".join(it.choices[0].text for it in pieces) == text.choices[0].text, pieces)

refused("another model", openai.NotFoundError, lambda: client.chat.completions.create(**{**steady, "model": "gpt-4o"}))
error = refused("a tool", openai.BadRequestError, lambda: client.chat.completions.create(**steady, tools=[{"type": "function", "function": {"name": "f"}}]))
holds("what is at fault is named", error.param == "tools" and error.code == "unsupported_parameter", error)
error = refused("a book", openai.BadRequestError, lambda: client.chat.completions.create(**{**steady, "messages": [{"role": "user", "content": "word " * 20000}]}))
holds("that it is too long is said", error.code == "context_length_exceeded", error)
stranger = openai.OpenAI(base_url=address, api_key="wrong", max_retries=0)
refused("a wrong key", openai.AuthenticationError, stranger.models.list)
refused("another address", openai.NotFoundError, lambda: client.embeddings.create(model=model, input="a"))

// Has OpenAI's own client for JavaScript talk with a node: ADDRESS KEY EXPECTED, as client.py has its own.

import OpenAI from "openai";

const [address, key, text] = process.argv.slice(2);
const expected = JSON.parse(text);
const { model, question, answer } = expected;
const client = new OpenAI({ baseURL: address, apiKey: key, maxRetries: 0 });
const messages = [{ role: "user", content: question }];
const steady = { model, messages, temperature: 0, max_tokens: expected.tokens };

function holds(what, condition, ...seen) {
  if (!condition) {
    console.error(`not so: ${what}`, JSON.stringify(seen));
    process.exit(1);
  }
  console.log(what);
}

async function refused(what, kind, call) {
  try {
    await call();
  } catch (error) {
    holds(`${what} throws ${kind.name}`, error instanceof kind, error.name, String(error));
    return error;
  }
  holds(`${what} is refused`, false);
}

const ask = (more) => client.chat.completions.create({ ...steady, ...more });

const names = [];
for await (const it of client.models.list()) names.push(it.id);
holds("the model is listed", names.length === 1 && names[0] === model, names);

const whole = await ask({});
holds("a chat is answered as the node answers", whole.choices[0].message.content === answer, whole);
holds("it says why it ended", whole.choices[0].finish_reason === expected.finish, whole);

const pieces = [];
let usage;
for await (const chunk of await ask({ stream: true, stream_options: { include_usage: true } })) {
  if (chunk.choices.length) pieces.push(chunk.choices[0].delta.content ?? "");
  usage = chunk.usage ?? usage;
}
holds("a stream says the same", pieces.join("") === answer, pieces);
holds("in pieces", pieces.filter((it) => it).length > 3, pieces);
holds("and counts the same", usage.completion_tokens === whole.usage.completion_tokens, usage);

const word = answer.split(" ")[2];
const cut = (await ask({ stop: [word] })).choices[0];
const before = answer.slice(0, answer.indexOf(word));
holds("it stops at a word", cut.message.content === before && cut.finish_reason === "stop", cut);

const left = await ask({ max_tokens: 1000, stream: true });
for await (const _ of left) break;
holds("a stream may be left", left.controller.signal.aborted);

const lively = { temperature: 1.5, max_tokens: 12, seed: 7 };
const [one, two] = await Promise.all([ask(lively), ask(lively)]);
holds("the same seed says the same, two at once", one.choices[0].message.content === two.choices[0].message.content);

const told = (await ask({ max_tokens: 4, logprobs: true, top_logprobs: 3 })).choices[0].logprobs.content;
holds("probabilities are told", told.length === 4 && told.every((it) => it.logprob <= 0 && it.top_logprobs.length === 3), told);

await refused("another model", OpenAI.NotFoundError, () => ask({ model: "gpt-4o" }));
const error = await refused("a tool", OpenAI.BadRequestError, () =>
  ask({ tools: [{ type: "function", function: { name: "f" } }] }),
);
holds("what is at fault is named", error.param === "tools" && error.code === "unsupported_parameter", error);
const stranger = new OpenAI({ baseURL: address, apiKey: "wrong", maxRetries: 0 });
await refused("a wrong key", OpenAI.AuthenticationError, () => stranger.models.list());
await refused("another address", OpenAI.NotFoundError, () => client.embeddings.create({ model, input: "a" }));

// The official OpenAI client for Node, while every worker of Parley is killed in the middle of an answer.

import assert from "node:assert/strict";
import test from "node:test";
import { MODEL, assertDense, collect, connect, killWorkers, said, textOf } from "./parley.mjs";

const TOKENS = 100;
const input = (tag) => `say ${TOKENS} delay=0.02 tag=${tag}`;

test("the SDK's own resume gets exactly the rest", async () => {
  const client = connect();
  const seen = [];
  for await (const event of await client.responses.create({ model: MODEL, input: input("resumed"), stream: true })) {
    seen.push(event);
    if (seen.length === 20) break;
  }
  killWorkers();
  const { id } = seen[0].response;
  const starting_after = seen.at(-1).sequence_number;
  // The helper asks for the whole and shows the rest; the bare call asks for the rest.
  const stream = client.responses.stream({ response_id: id, starting_after });
  const bare = client.responses.retrieve(id, { stream: true, starting_after }).then(collect);
  for (const rest of await Promise.all([collect(stream), bare])) {
    const events = [...seen, ...rest];
    assertDense(events);
    assert.equal(textOf(events), said(TOKENS, "resumed"));
  }
  const final = await stream.finalResponse();
  assert.equal(final.status, "completed");
  assert.equal(final.output_text, said(TOKENS, "resumed"));
});

test("a stream that stays open does not notice", async () => {
  const client = connect();
  const events = [];
  for await (const event of await client.responses.create({ model: MODEL, input: input("open"), stream: true })) {
    events.push(event);
    if (events.length === 20) killWorkers();
  }
  assertDense(events);
  assert.equal(textOf(events), said(TOKENS, "open"));
});

test("a chat completion does not notice either", async () => {
  const messages = [{ role: "user", content: input("chat") }];
  const chunks = [];
  for await (const chunk of await connect().chat.completions.create({ model: MODEL, messages, stream: true })) {
    chunks.push(chunk);
    if (chunks.length === 20) killWorkers();
  }
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), said(TOKENS, "chat"));
  assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
});

test("a model that cannot continue: an explicit error, then the whole answer", async () => {
  const client = connect();
  const seen = [];
  const error = await (async () => {
    const asked = `say ${TOKENS} delay=0.02 vary tag=fickle`;
    for await (const event of await client.responses.create({ model: "fickle", input: asked, stream: true })) {
      seen.push(event);
      if (seen.length === 20) killWorkers();
    }
  })().then(() => assert.fail("nothing was told"), (error) => error);
  const { id } = seen[0].response;
  assert.equal(error.code, "response_rewound");
  assert.match(error.message, new RegExp(id));
  const whole = await client.responses.stream({ response_id: id }).finalResponse();
  assert.equal(whole.status, "completed");
  assert.equal(whole.output_text.match(/fickle\.r2:/g).length, TOKENS);
});

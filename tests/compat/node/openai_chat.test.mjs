// The official OpenAI client for Node: chat completions and models.

import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { MODEL, asked, collect, connect, said, upstream, until } from "./parley.mjs";

const client = connect();
const ask = (content, more = {}) => client.chat.completions.create({ model: MODEL, messages: [{ role: "user", content }], ...more });
const LOOK = { type: "function", function: { name: "look", description: "Looks.", parameters: { type: "object" } } };

test("a completion", async () => {
  const made = await ask("say 3");
  assert.equal(made.choices[0].message.content, said(3));
  assert.equal(made.choices[0].finish_reason, "stop");
  assert.equal(made.usage.total_tokens, made.usage.prompt_tokens + made.usage.completion_tokens);
  assert.match(made._request_id, /^[0-9a-f]{16}$/);
});

test("a stream, with usage", async () => {
  const chunks = await collect(await ask("say 5", { stream: true, stream_options: { include_usage: true } }));
  assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), said(5));
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.completion_tokens, 5);
});

test("the stream helper builds the completion", async () => {
  const heard = [];
  const stream = client.chat.completions.stream({ model: MODEL, messages: [{ role: "user", content: "say 4" }] });
  stream.on("content", (delta) => heard.push(delta));
  const whole = await stream.finalChatCompletion();
  assert.equal(heard.join(""), said(4));
  assert.equal(whole.choices[0].message.content, said(4));
});

test("tools, run by the client, streaming and not", async () => {
  const calls = [];
  const look = {
    type: "function",
    function: { ...LOOK.function, parse: JSON.parse, function: ({ number }) => (calls.push(number), `seen ${number}`) },
  };
  for (const stream of [false, true]) {
    const runner = client.chat.completions.runTools({
      model: MODEL, stream, tools: [look], messages: [{ role: "user", content: "say 2 calls=2 tag=look" }],
    });
    assert.equal(await runner.finalContent(), said(2, "look"));
    assert.deepEqual(calls.splice(0), [0, 1]);
    const messages = await asked();
    assert.deepEqual(messages.map((message) => message.role), ["user", "assistant", "tool", "tool"]);
    assert.deepEqual(messages.slice(2).map((message) => message.content), ["seen 0", "seen 1"]);
  }
});

test("structured output", async () => {
  const person = z.object({ name: z.string(), age: z.number() });
  const made = await client.chat.completions.parse({
    model: MODEL, messages: [{ role: "user", content: "Describe a person." }], response_format: zodResponseFormat(person, "person"),
  });
  assert.deepEqual(made.choices[0].message.parsed, { name: "Ada", age: 36 });
  const { last } = await upstream();
  assert.equal(last.at(-1).body.response_format.json_schema.name, "person");
});

test("thoughts come as reasoning_content", async () => {
  const chunks = await collect(await ask("say 2 reasoning=2", { stream: true }));
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.reasoning_content ?? "").join(""), said(2, "think"));
});

test("an image goes to the model", async () => {
  const image_url = { url: "data:image/png;base64,iVBORw0KGgo=" };
  await ask([{ type: "text", text: "What is this?" }, { type: "image_url", image_url }]);
  const [message] = await asked();
  assert.deepEqual(message.content[1], { type: "image_url", image_url: { ...image_url, detail: "auto" } });
});

test("state, by the extension", async () => {
  const { id } = await client.conversations.create();
  await ask("one", { conversation: id });
  const made = await ask("two", { conversation: id });
  assert.equal(made.choices[0].message.content, "You said: two (3 messages)");
  const stored = await client.responses.retrieve(made.response_id);
  assert.equal(stored.output_text, "You said: two (3 messages)");
});

test("who leaves stops the model", async () => {
  const before = (await upstream()).stats.disconnected;
  const stream = await ask("say 2000 delay=0.02", { stream: true });
  for await (const _ of stream) break; // the client aborts the request
  await until(async () => (await upstream()).stats.disconnected > before, "the model to be stopped");
});

test("errors are typed and carry the request's id", async () => {
  const refused = async (asking, kind, status, code, param) => {
    const error = await asking.then(() => assert.fail("was not refused"), (error) => error);
    assert.ok(error instanceof kind, `${error}`);
    assert.deepEqual([error.status, error.code, error.param], [status, code, param]);
    assert.match(error.requestID, /^[0-9a-f]{16}$/);
  };
  await refused(ask("x", { model: "nobody" }), OpenAI.NotFoundError, 404, "model_not_found", "model");
  await refused(ask("x", { temperature: 9 }), OpenAI.BadRequestError, 400, "invalid_value", "temperature");
  await refused(ask(""), OpenAI.BadRequestError, 400, "empty_message", "messages[0].content");
  await refused(ask("say 1 status=400"), OpenAI.InternalServerError, 502, "upstream_error", null);
});

test("a model that breaks off in mid-stream is an error, not an end", async () => {
  const chunks = [];
  await assert.rejects(async () => {
    for await (const chunk of await ask("say 9 error=3", { stream: true })) chunks.push(chunk);
  }, OpenAI.APIError);
  assert.ok(chunks.every((chunk) => chunk.choices[0].finish_reason === null));
});

test("models", async () => {
  const models = await collect(client.models.list());
  assert.deepEqual(models.map((model) => model.id).slice(0, 2), [MODEL, "fickle"]);
  assert.equal((await client.models.retrieve(MODEL)).object, "model");
  await assert.rejects(client.models.retrieve("no/body"), OpenAI.NotFoundError);
});

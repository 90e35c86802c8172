// The official client of Ollama for Node (`ollama`).

import assert from "node:assert/strict";
import test from "node:test";
import { Ollama } from "ollama";
import { MODEL, asked, collect, killWorkers, said, until, upstream, url } from "./parley.mjs";

const client = new Ollama({ host: url });
const saying = (content) => [{ role: "user", content }];
const TOOL = {
  type: "function",
  function: { name: "get_weather", description: "Tells the weather.", parameters: { type: "object", properties: {} } },
};

test("a chat, whole and streamed", async () => {
  const whole = await client.chat({ model: MODEL, messages: saying("say 5 reasoning=2 tag=whole") });
  assert.equal(whole.message.content, said(5, "whole"));
  assert.equal(whole.message.thinking, said(2, "think"));
  assert.deepEqual([whole.done, whole.done_reason, whole.eval_count], [true, "stop", 5]);
  const parts = await collect(
    await client.chat({ model: MODEL, messages: saying("say 5 delay=0.02 tag=parts"), stream: true }),
  );
  assert.equal(parts.map((part) => part.message.content).join(""), said(5, "parts"));
  assert.deepEqual(parts.map((part) => part.done), [...parts.slice(1).map(() => false), true]);
});

test("killed workers are not seen", async () => {
  let text = "";
  const messages = saying("say 60 delay=0.02 tag=killed");
  for await (const part of await client.chat({ model: MODEL, messages, stream: true })) {
    if (text.length < 100 && text.length + part.message.content.length >= 100) killWorkers();
    text += part.message.content;
  }
  assert.equal(text, said(60, "killed"));
});

test("tools, there and back", async () => {
  const messages = saying("weather?");
  const called = await client.chat({ model: MODEL, messages, tools: [TOOL] });
  const [call] = called.message.tool_calls;
  assert.deepEqual(call.function, { name: "get_weather", arguments: { number: 0 } });
  messages.push(called.message, { role: "tool", tool_name: "get_weather", content: "sunny" });
  const after = await client.chat({ model: MODEL, messages, tools: [TOOL] });
  assert.equal(after.done, true);
  const seen = await asked();
  assert.deepEqual(seen.map((message) => message.role), ["user", "assistant", "tool"]);
  assert.equal(seen[1].tool_calls[0].id, seen[2].tool_call_id);
});

test("generate goes on with its context", async () => {
  const first = await client.generate({ model: MODEL, prompt: "hello", system: "Be brief." });
  const after = await client.generate({ model: MODEL, prompt: "again", context: first.context });
  assert.deepEqual((await asked()).map((message) => message.content), ["hello", first.response, "again"]);
  assert.ok(after.context.length >= first.context.length);
});

test("models", async () => {
  const { models } = await client.list();
  assert.deepEqual(models.map((model) => model.name), ["scripted", "fickle"]);
  assert.ok((await client.show({ model: MODEL })).capabilities.includes("completion"));
  assert.equal((await client.ps()).models.length, 2);
  assert.match((await client.version()).version, /^\d+\.\d+\.\d+$/);
});

test("errors", async () => {
  const refused = (promise, status_code, error) => assert.rejects(promise, { name: "ResponseError", status_code, error });
  await refused(client.chat({ model: "other", messages: saying("x") }), 404, "model 'other' not found");
  await refused(client.pull({ model: "other" }), 400, /not managed here/);
  await refused(client.embed({ model: MODEL, input: "x" }), 400, /no embeddings/);
  await refused(client.generate({ model: MODEL, prompt: "x", raw: true }), 400, /raw/);
  const failing = await client.chat({ model: MODEL, messages: saying("say 9 delay=0.02 error=3"), stream: true });
  await assert.rejects(collect(failing), /error in its answer/);
});

test("whoever leaves stops the model", async () => {
  const before = (await upstream()).stats.disconnected;
  const stream = await client.chat({ model: MODEL, messages: saying("say 900 delay=0.02 tag=left"), stream: true });
  for await (const part of stream) {
    if (part.message.content) break;
  }
  stream.abort();
  await until(async () => (await upstream()).stats.disconnected > before, "the model to be stopped");
});

// The AI SDK (`ai`) on Parley: its providers for OpenAI, for Open Responses, and for whatever is compatible with OpenAI.

import assert from "node:assert/strict";
import test from "node:test";
import { createOpenResponses } from "@ai-sdk/open-responses";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";
import { MODEL, asked, collect, connect, killWorkers, said, until, upstream, url } from "./parley.mjs";

const settings = { baseURL: `${url}/v1`, apiKey: "any" };
const openai = createOpenAI(settings);
const compatible = createOpenAICompatible({ ...settings, name: "parley", includeUsage: true, supportsStructuredOutputs: true });
const open = createOpenResponses({ name: "parley", url: `${url}/v1/responses`, apiKey: "any" });
const responses = (name) => openai.responses(name);
const MODELS = {
  "responses": responses,
  "open responses": open,
  "chat completions": (name) => openai.chat(name),
  "the compatible provider": (name) => compatible.chatModel(name),
};
const IMAGE = "iVBORw0KGgo=";

/** A stream's parts; an error among them is thrown by nothing else. */
async function partsOf(streaming) {
  const parts = await collect(streaming.stream ?? streaming.fullStream);
  assert.deepEqual(parts.filter((part) => part.type === "error"), []);
  return parts;
}

for (const [name, make] of Object.entries(MODELS)) {
  const model = make(MODEL);

  test(`${name}: text`, async () => {
    const { text, usage, finishReason } = await generateText({ model, prompt: "say 3" });
    assert.deepEqual([text, finishReason, usage.outputTokens], [said(3), "stop", 3]);
  });

  test(`${name}: a stream`, async () => {
    const streaming = streamText({ model, instructions: "Be brief.", prompt: "say 5 delay=0.05" });
    const deltas = await collect(streaming.textStream);
    assert.equal(deltas.join(""), said(5));
    assert.ok(deltas.length > 1);
    assert.deepEqual([await streaming.finishReason, (await streaming.usage).outputTokens], ["stop", 5]);
    assert.deepEqual((await asked())[0], { role: "system", content: "Be brief." });
  });

  test(`${name}: history`, async () => {
    const messages = [
      { role: "user", content: "one" },
      { role: "assistant", content: "first" },
      { role: "user", content: [{ type: "text", text: "two" }] },
    ];
    assert.equal((await generateText({ model, messages })).text, "You said: two (3 messages)");
  });

  for (const streaming of [false, true])
    test(`${name}: tools in two steps${streaming ? ", streaming" : ""}`, async () => {
      const seen = [];
      const look = tool({
        description: "Looks.",
        inputSchema: z.object({ number: z.number() }),
        execute: async ({ number }) => (seen.push(number), { seen: number }),
      });
      const asking = { model, prompt: "say 2 calls=2 tag=look", tools: { look }, stopWhen: isStepCount(5) };
      const done = streaming ? streamText(asking) : await generateText(asking);
      if (streaming) await partsOf(done);
      const steps = await done.steps;
      assert.deepEqual(seen, [0, 1]);
      assert.equal(steps.length, 2);
      assert.deepEqual(steps.map((step) => step.finishReason), ["tool-calls", "stop"]);
      assert.deepEqual(steps[0].toolCalls.map((call) => call.input), [{ number: 0 }, { number: 1 }]);
      assert.equal(await done.text, said(2, "look"));
      const messages = await asked();
      assert.deepEqual(messages.map((message) => message.role), ["user", "assistant", "tool", "tool"]);
      assert.equal(messages[1].content, said(2, "look"));
      assert.deepEqual(messages.slice(2).map((message) => JSON.parse(message.content)), [{ seen: 0 }, { seen: 1 }]);
    });

  test(`${name}: structured output`, async () => {
    const schema = z.object({ name: z.string(), age: z.number() });
    const asking = { model, prompt: "Describe a person.", output: Output.object({ schema }) };
    assert.deepEqual((await generateText(asking)).output, { name: "Ada", age: 36 });
    assert.deepEqual(await streamText(asking).output, { name: "Ada", age: 36 });
    const { last } = await upstream();
    assert.equal(last.at(-1).body.response_format.type, "json_schema");
  });

  test(`${name}: an image`, async () => {
    const content = [{ type: "text", text: "What is this?" }, { type: "file", data: IMAGE, mediaType: "image/png" }];
    await generateText({ model, messages: [{ role: "user", content }] });
    assert.equal((await asked())[0].content[1].image_url.url, `data:image/png;base64,${IMAGE}`);
  });

  test(`${name}: errors`, async () => {
    const error = await generateText({ model: make("nobody"), prompt: "x" }).catch((error) => error);
    assert.ok(APICallError.isInstance(error), `${error}`);
    assert.deepEqual([error.statusCode, error.data.error.code, error.isRetryable], [404, "model_not_found", false]);
    assert.match(error.responseHeaders["x-request-id"], /^[0-9a-f]{16}$/);
    const parts = await collect(streamText({ model, prompt: "say 9 error=3", onError() {} }).stream);
    assert.ok(parts.some((part) => part.type === "error" || part.finishReason === "error"), JSON.stringify(parts.at(-1)));
    assert.ok(!parts.some((part) => part.finishReason === "stop"));
  });

  test(`${name}: a worker killed in mid-stream is not seen`, async () => {
    let text = "";
    for await (const delta of streamText({ model, prompt: "say 80 delay=0.02" }).textStream) {
      if (text.length < 60 && text.length + delta.length >= 60) killWorkers();
      text += delta;
    }
    assert.equal(text, said(80));
  });
}

for (const name of ["responses", "open responses", "the compatible provider"])
  test(`${name}: reasoning`, async () => {
    const model = MODELS[name](MODEL);
    assert.equal((await generateText({ model, prompt: "say 2 reasoning=3" })).reasoningText, said(3, "think"));
    const parts = await partsOf(streamText({ model, prompt: "say 2 reasoning=3" }));
    const deltas = parts.filter((part) => part.type === "reasoning-delta");
    assert.equal(deltas.map((part) => part.text).join(""), said(3, "think"));
  });

test("responses: in a conversation", async () => {
  const { id } = await connect().conversations.create();
  const asking = (prompt) => ({ model: responses(MODEL), prompt, providerOptions: { openai: { conversation: id } } });
  await generateText(asking("one"));
  const streaming = streamText(asking("two"));
  assert.equal(await streaming.text, "You said: two (3 messages)");
  const items = await collect(connect().conversations.items.list(id));
  assert.equal(items.length, 4);
});

test("responses: behind a response", async () => {
  const model = responses(MODEL);
  const first = await generateText({ model, prompt: "one" });
  const { responseId } = first.providerMetadata.openai;
  const providerOptions = { openai: { previousResponseId: responseId } };
  const second = await generateText({ model, prompt: "two", providerOptions });
  assert.equal(second.text, "You said: two (3 messages)");
  const unknown = { openai: { previousResponseId: "resp_x" } };
  const error = await generateText({ model, prompt: "x", providerOptions: unknown }).catch((error) => error);
  assert.deepEqual([error.statusCode, error.data.error.code], [400, "previous_response_not_found"]);
});

test("responses: nothing stored, with tools in two steps", async () => {
  const look = tool({ inputSchema: z.object({ number: z.number() }), execute: async () => "blue" });
  const done = await generateText({
    model: responses(MODEL),
    prompt: "say 1 calls=1 tag=look reasoning=1",
    tools: { look },
    stopWhen: isStepCount(5),
    providerOptions: { openai: { store: false } },
  });
  assert.equal(done.text, said(1, "look"));
  await assert.rejects(connect().responses.retrieve(done.providerMetadata.openai.responseId), { status: 404 });
});

test("chat completions: who leaves stops the model", async () => {
  const before = (await upstream()).stats.disconnected;
  const leaving = new AbortController();
  const streaming = streamText({ model: openai.chat(MODEL), prompt: "say 2000 delay=0.02", abortSignal: leaving.signal });
  for await (const _ of streaming.textStream) leaving.abort();
  await until(async () => (await upstream()).stats.disconnected > before, "the model to be stopped");
});

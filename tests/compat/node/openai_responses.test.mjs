// The official OpenAI client for Node: responses over HTTP.

import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { MODEL, asked, assertDense, collect, connect, said, textOf, until, upstream } from "./parley.mjs";

const client = connect();
const ask = (input, more = {}) => client.responses.create({ model: MODEL, input, ...more });
const LOOK = { type: "function", name: "look", description: "Looks.", parameters: { type: "object" }, strict: false };

/** What a request is refused with. */
const refusal = (asking) => asking.then(() => assert.fail("was not refused"), (error) => error);

test("a response, created and retrieved", async () => {
  const made = await ask("say 3", { instructions: "Be brief.", metadata: { topic: "numbers" }, temperature: 0.5 });
  assert.equal(made.status, "completed");
  assert.equal(made.output_text, said(3));
  assert.deepEqual([made.instructions, made.metadata, made.temperature], ["Be brief.", { topic: "numbers" }, 0.5]);
  assert.equal(made.usage.output_tokens, 3);
  assert.match(made._request_id, /^[0-9a-f]{16}$/);
  const found = await client.responses.retrieve(made.id);
  assert.deepEqual({ ...found }, { ...made });
  assert.deepEqual((await asked())[0], { role: "system", content: "Be brief." });
});

test("a stream, and its replay from any event", async () => {
  const events = await collect(await ask("say 6 reasoning=2", { stream: true }));
  assertDense(events);
  assert.equal(textOf(events), said(6));
  assert.equal(events.at(-1).type, "response.completed");
  const { response } = events.at(-1);
  assert.deepEqual(response.output.map((item) => item.type), ["reasoning", "message"]);
  assert.equal(response.output[0].summary[0].text, said(2, "think"));
  assert.deepEqual(await collect(await client.responses.retrieve(response.id, { stream: true })), events);
  for (const after of [0, 5, events.length - 2]) {
    const rest = await client.responses.retrieve(response.id, { stream: true, starting_after: after });
    assert.deepEqual(await collect(rest), events.slice(after + 1));
  }
});

test("the stream helper builds the response, and resumes one", async () => {
  const stream = client.responses.stream({ model: MODEL, input: "say 5" });
  const events = await collect(stream);
  const final = await stream.finalResponse();
  assert.equal(final.output_text, said(5));
  const resumed = client.responses.stream({ response_id: final.id, starting_after: 4 });
  const rest = await collect(resumed);
  assert.deepEqual(rest.map((event) => event.sequence_number), events.slice(5).map((event) => event.sequence_number));
  assert.equal((await resumed.finalResponse()).output_text, said(5));
});

test("turns behind each other", async () => {
  const first = await ask("one");
  const second = await ask("two", { previous_response_id: first.id });
  assert.equal(second.output_text, "You said: two (3 messages)");
  const aside = await ask("aside", { previous_response_id: first.id });
  assert.equal(aside.output_text, "You said: aside (3 messages)");
  const missing = await refusal(ask("three", { previous_response_id: first.id.slice(0, -1) + "z" }));
  assert.deepEqual([missing.status, missing.code], [400, "previous_response_not_found"]);
});

test("tools", async () => {
  const events = await collect(await ask("say 1 calls=2 tag=look", { tools: [LOOK], stream: true }));
  const made = events.at(-1).response;
  const [message, ...calls] = made.output;
  assert.equal(message.type, "message");
  assert.deepEqual(calls.map((call) => JSON.parse(call.arguments)), [{ number: 0 }, { number: 1 }]);
  const done = events.filter((event) => event.type === "response.function_call_arguments.done");
  assert.deepEqual(done.map((event) => [event.name, event.arguments]), calls.map((call) => ["look", call.arguments]));
  const input = calls.map(({ call_id }) => ({ type: "function_call_output", call_id, output: "blue" }));
  const after = await ask(input, { previous_response_id: made.id, tools: [LOOK] });
  assert.equal(after.output_text, said(1, "look"));
  const orphan = await refusal(ask([{ ...input[0], call_id: "call_x" }], { previous_response_id: made.id }));
  assert.deepEqual([orphan.status, orphan.code, orphan.param], [400, "call_not_found", "input"]);
});

test("a client that keeps its history itself", async () => {
  const input = [{ role: "user", content: "say 1 calls=1 tag=look reasoning=1" }];
  const made = await ask(input, { tools: [LOOK], store: false, include: ["reasoning.encrypted_content"] });
  input.push(...made.output, { type: "function_call_output", call_id: made.output.at(-1).call_id, output: "blue" });
  const after = await ask(input, { tools: [LOOK], store: false });
  assert.equal(after.output_text, said(1, "look"));
  assert.ok((await refusal(client.responses.retrieve(made.id))) instanceof OpenAI.NotFoundError);
});

test("structured output", async () => {
  const format = zodTextFormat(z.object({ name: z.string(), age: z.number() }), "person");
  const made = await client.responses.parse({ model: MODEL, input: "Describe a person.", text: { format } });
  assert.deepEqual(made.output_parsed, { name: "Ada", age: 36 });
  const streamed = client.responses.stream({ model: MODEL, input: "Describe a person.", text: { format } });
  assert.deepEqual((await streamed.finalResponse()).output_parsed, { name: "Ada", age: 36 });
});

test("an image goes to the model, and is listed", async () => {
  const content = [
    { type: "input_text", text: "What is this?" },
    { type: "input_image", image_url: "data:image/png;base64,iVBORw0KGgo=", detail: "low" },
  ];
  const made = await ask([{ role: "user", content }]);
  assert.equal((await asked())[0].content[1].type, "image_url");
  const [item] = await collect(client.responses.inputItems.list(made.id));
  assert.deepEqual(item.content, content);
});

test("in the background, to its end", async () => {
  const made = await ask("say 4 delay=0.02", { background: true });
  assert.ok(["queued", "in_progress"].includes(made.status));
  const ended = await until(async () => {
    const found = await client.responses.retrieve(made.id);
    return found.status === "completed" && found;
  }, "the response to end");
  assert.equal(ended.output_text, said(4));
  const late = await refusal(client.responses.cancel(made.id));
  assert.deepEqual([late.status, late.code], [400, "response_ended"]);
});

test("a cancelled response stops its model and ends who follows it", async () => {
  const before = (await upstream()).stats.disconnected;
  const made = await ask("say 2000 delay=0.02", { background: true });
  const following = collect(await client.responses.retrieve(made.id, { stream: true }));
  await until(async () => (await client.responses.retrieve(made.id)).output_text, "a beginning");
  assert.equal((await client.responses.cancel(made.id)).status, "cancelled");
  assert.equal((await client.responses.cancel(made.id)).status, "cancelled");
  const events = await following;
  assertDense(events);
  assert.equal(events.at(-1).type, "response.incomplete");
  assert.equal(events.at(-1).response.status, "cancelled");
  await until(async () => (await upstream()).stats.disconnected > before, "the model to be stopped");
});

for (const background of [false, true])
  test(`who leaves a stored stream may come back (background: ${background})`, async () => {
    const seen = [];
    for await (const event of await ask("say 60 delay=0.01", { stream: true, background })) {
      seen.push(event);
      if (seen.length === 12) break;
    }
    const { id } = seen[0].response;
    const rest = await client.responses.retrieve(id, { stream: true, starting_after: seen.at(-1).sequence_number });
    const events = [...seen, ...(await collect(rest))];
    assertDense(events);
    assert.equal(textOf(events), said(60));
  });

test("who leaves what is not stored stops the model", async () => {
  const before = (await upstream()).stats.disconnected;
  for await (const event of await ask("say 2000 delay=0.02", { stream: true, store: false }))
    if (event.type === "response.output_text.delta") break;
  await until(async () => (await upstream()).stats.disconnected > before, "the model to be stopped");
});

test("input items, page by page", async () => {
  const input = Array.from({ length: 5 }, (_, at) => ({ role: "user", content: `message ${at}` }));
  const { id } = await ask(input);
  const texts = async (query) => (await collect(client.responses.inputItems.list(id, query))).map((item) => item.content[0].text);
  const expected = input.map((item) => item.content);
  assert.deepEqual(await texts({ order: "asc", limit: 2 }), expected);
  assert.deepEqual(await texts({ limit: 3 }), expected.toReversed());
});

test("tokens are counted, a conversation is made smaller", async () => {
  const counted = await client.responses.inputTokens.count({ model: MODEL, input: "one two three" });
  assert.equal(counted.object, "response.input_tokens");
  assert.ok(counted.input_tokens > 0);
  const compacted = await client.responses.compact({ model: MODEL, input: "Remember the word ember." });
  assert.equal(compacted.object, "response.compaction");
  assert.equal(compacted.output.at(-1).type, "compaction");
  const after = await ask([...compacted.output, { role: "user", content: "And now?" }]);
  assert.equal(after.status, "completed");
});

test("deleted is gone", async () => {
  const { id } = await ask("say 1");
  await client.responses.delete(id);
  for (const verb of ["retrieve", "delete", "cancel"]) {
    const error = await refusal(client.responses[verb](id));
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "response_not_found");
  }
});

test("an idempotency key", async () => {
  // As a header: of the option `idempotencyKey` the client makes none.
  const headers = { "Idempotency-Key": `key-${process.pid}` };
  const create = (input) => client.responses.create({ model: MODEL, input }, { headers });
  const before = (await upstream()).stats.started;
  const [one, two] = await Promise.all([create("say 2"), create("say 2")]);
  assert.equal(one.id, two.id);
  assert.equal((await create("say 2")).id, one.id);
  assert.equal((await upstream()).stats.started, before + 1);
  const error = await refusal(create("say 3"));
  assert.ok(error instanceof OpenAI.ConflictError);
  assert.equal(error.code, "idempotency_key_reused");
  assert.equal(error.headers.get("x-should-retry"), "false");
});

test("a model that fails is a failed response, not asked for again", async () => {
  const patient = connect({ maxRetries: 2 });
  const made = await patient.responses.create({ model: MODEL, input: "say 3 status=400 tag=failing" });
  assert.deepEqual([made.status, made.error.code], ["failed", "server_error"]);
  const events = await collect(await patient.responses.create({ model: MODEL, input: "say 9 error=3 tag=late", stream: true }));
  assertDense(events);
  assert.equal(events.at(-1).type, "response.failed");
  const { by_tag } = (await upstream()).stats;
  assert.equal(by_tag.failing, 1);
});

test("errors are typed and carry the request's id", async () => {
  const { responses } = client;
  const file = { type: "input_file", file_id: "f" };
  for (const [asking, kind, status, code, param] of [
    [() => ask("x", { model: "nobody" }), OpenAI.NotFoundError, 404, "model_not_found", "model"],
    [() => ask("x", { temperature: 9 }), OpenAI.BadRequestError, 400, "invalid_value", "temperature"],
    [() => ask("x", { background: true, store: false }), OpenAI.BadRequestError, 400, "invalid_value", "background"],
    [() => ask([{ role: "user", content: [file] }]), OpenAI.BadRequestError, 400, "unsupported_content", "input[0].content[0].type"],
    [() => responses.retrieve("resp_x"), OpenAI.NotFoundError, 404, "response_not_found", null],
    [() => responses.retrieve("resp_x", { stream: true }), OpenAI.NotFoundError, 404, "response_not_found", null],
    [() => client.files.list(), OpenAI.NotFoundError, 404, "not_found", null],
  ]) {
    const error = await refusal(asking());
    assert.ok(error instanceof kind, `${error}`);
    assert.deepEqual([error.status, error.code, error.param], [status, code, param]);
    assert.match(error.requestID, /^[0-9a-f]{16}$/);
  }
});

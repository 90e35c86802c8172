// The official OpenAI client for Node: responses over a WebSocket.

import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";
import { MODEL, assertDense, collect, connect, said, textOf, until, upstream } from "./parley.mjs";

const client = connect();
const ENDINGS = new Set(["response.completed", "response.incomplete", "response.failed", "error"]);

/** A connection that is closed when the test ends. */
function open(t) {
  const socket = new ResponsesWS(client);
  const heard = socket.stream();
  t.after(() => socket.close());
  const read = async () => {
    const events = [];
    for (;;) {
      const { value, done } = await heard.next();
      assert.ok(!done, "the connection ended");
      if (value.type === "error") return [...events, value.error];
      if (value.type !== "message") continue;
      events.push(value.message);
      if (ENDINGS.has(value.message.type)) return events;
    }
  };
  const send = (fields) => socket.send({ type: "response.create", model: MODEL, ...fields });
  const ask = async (fields) => (send(fields), read());
  return { socket, send, read, ask };
}

const responseOf = (events) => events.at(-1).response;

/** The code of the error that a create was answered with. */
function codeOf(events) {
  const error = events.at(-1);
  assert.ok(error instanceof OpenAI.OpenAIError, JSON.stringify(events));
  return error.error.error.code;
}

test("the events are those of a stream", async (t) => {
  const { ask } = open(t);
  const events = await ask({ input: "say 5 reasoning=1" });
  assertDense(events);
  assert.equal(textOf(events), said(5));
  const replayed = await collect(await client.responses.retrieve(responseOf(events).id, { stream: true }));
  assert.deepEqual(replayed, events);
});

test("creates are answered one after the other, behind each other", async (t) => {
  const { send, read } = open(t);
  for (const input of ["say 3 delay=0.01 tag=a", "say 3 tag=b", "say 3 tag=c"]) send({ input });
  for (const tag of ["a", "b", "c"]) assert.equal(textOf(await read()), said(3, tag));
});

test("what is not stored is gone on behind on its connection only", async (t) => {
  const [here, elsewhere] = [open(t), open(t)];
  const first = responseOf(await here.ask({ input: "one", store: false }));
  const second = responseOf(await here.ask({ input: "two", store: false, previous_response_id: first.id }));
  assert.equal(second.output[0].content[0].text, "You said: two (3 messages)");
  const refused = await elsewhere.ask({ input: "three", store: false, previous_response_id: second.id });
  assert.equal(codeOf(refused), "previous_response_not_found");
  await assert.rejects(client.responses.retrieve(second.id), OpenAI.NotFoundError);
});

test("tools", async (t) => {
  const { ask } = open(t);
  const tools = [{ type: "function", name: "look", parameters: { type: "object" }, strict: false }];
  const made = responseOf(await ask({ input: "say 0 calls=1 tag=look", tools, store: false }));
  const { call_id } = made.output[0];
  const input = [{ type: "function_call_output", call_id, output: "blue" }];
  const after = responseOf(await ask({ input, tools, store: false, previous_response_id: made.id }));
  assert.equal(after.status, "completed");
  const orphan = [{ ...input[0], call_id: "call_x" }];
  const refused = await ask({ input: orphan, tools, store: false, previous_response_id: after.id });
  assert.equal(codeOf(refused), "call_not_found");
});

test("an error leaves the connection open", async (t) => {
  const { ask } = open(t);
  for (const [code, bad] of [
    ["model_not_found", { input: "x", model: "nobody" }],
    ["invalid_value", { input: "x", temperature: 9 }],
    ["empty_message", { input: "" }],
  ])
    assert.equal(codeOf(await ask(bad)), code);
  assert.equal(textOf(await ask({ input: "say 2" })), said(2));
});

test("who leaves stops what is not stored, and has what is stored finished", async (t) => {
  const { socket, send } = open(t);
  const before = (await upstream()).stats.disconnected;
  send({ input: "say 2000 delay=0.02", store: false });
  await until(async () => (await upstream()).stats.active > 0, "the model to be asked");
  socket.close();
  await until(async () => (await upstream()).stats.disconnected > before, "the model to be stopped");

  const other = open(t);
  const created = new Promise((resolve) => other.socket.on("response.created", resolve));
  other.send({ input: "say 40 delay=0.02" });
  const { response } = await created;
  other.socket.close();
  const ended = await until(async () => {
    const found = await client.responses.retrieve(response.id);
    return found.status === "completed" && found;
  }, "the response to end");
  assert.equal(ended.output_text, said(40));
});

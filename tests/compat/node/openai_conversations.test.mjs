// The official OpenAI client for Node: conversations and their items.

import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { MODEL, collect, connect, said, url } from "./parley.mjs";

const client = connect();
const { conversations } = client;
const ask = (conversation, input, more = {}) => client.responses.create({ model: MODEL, conversation, input, ...more });
const message = (content, role = "user") => ({ type: "message", role, content });
const texts = async (id, query) => (await collect(conversations.items.list(id, query))).map((item) => item.content[0].text);

test("a conversation's life", async () => {
  const made = await conversations.create({ metadata: { topic: "one" } });
  assert.match(made.id, /^conv_/);
  assert.deepEqual((await conversations.retrieve(made.id)).metadata, { topic: "one" });
  assert.deepEqual((await conversations.update(made.id, { metadata: { topic: "two" } })).metadata, { topic: "two" });
  const gone = await conversations.delete(made.id);
  assert.deepEqual([gone.id, gone.object, gone.deleted], [made.id, "conversation.deleted", true]);
  await assert.rejects(conversations.retrieve(made.id), OpenAI.NotFoundError);
  await assert.rejects(conversations.delete(made.id), OpenAI.NotFoundError);
});

test("responses are said in it, and listed", async () => {
  const { id } = await conversations.create({ items: [message("Be brief.", "developer")] });
  const first = await ask(id, "say 2");
  assert.equal(first.conversation.id, id);
  const second = await ask({ id }, "two");
  assert.equal(second.output_text, "You said: two (4 messages)");
  const expected = ["Be brief.", "say 2", said(2), "two", second.output_text];
  assert.deepEqual(await texts(id, { order: "asc", limit: 2 }), expected);
  assert.deepEqual(await texts(id), expected.toReversed());
  const items = await collect(conversations.items.list(id, { order: "asc" }));
  assert.deepEqual(items[2].id, first.output[0].id);
  assert.deepEqual(await conversations.items.retrieve(items[2].id, { conversation_id: id }), items[2]);
});

test("items are added and taken out", async () => {
  const { id } = await conversations.create();
  const added = await conversations.items.create(id, { items: [message("red"), message("green", "assistant"), message("blue")] });
  assert.equal(added.data.length, 3);
  const left = await conversations.items.delete(added.data[1].id, { conversation_id: id });
  assert.equal(left.id, id);
  assert.deepEqual(await texts(id, { order: "asc" }), ["red", "blue"]);
  const answer = await ask(id, "yellow");
  assert.equal(answer.output_text, "You said: yellow (3 messages)");
  const again = conversations.items.retrieve(added.data[1].id, { conversation_id: id });
  await assert.rejects(again, OpenAI.NotFoundError);
});

test("what is said on the native protocol is listed here, and the reverse", async () => {
  const { id } = await conversations.create();
  await ask(id, "from the SDK");
  const answer = await fetch(`${url}/api/conversations/${id}/turns?wait=20`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ input: "from the page" }),
  });
  assert.ok(answer.ok);
  const last = await ask(id, "again");
  assert.equal(last.output_text, "You said: again (5 messages)");
  const listed = await texts(id, { order: "asc" });
  assert.deepEqual(listed.filter((text) => text.startsWith("from")), ["from the SDK", "from the page"]);
  const { data } = await (await fetch(`${url}/api/conversations/${id}/turns`)).json();
  assert.equal(data.length, 3);
});

test("two creates at once are both answered, in order", async () => {
  const { id } = await conversations.create();
  const made = await Promise.all(["one", "two", "three"].map((input) => ask(id, input)));
  const counts = made.map((response) => Number(response.output_text.match(/\((\d) messages\)/)[1]));
  assert.deepEqual(counts.toSorted(), [1, 3, 5]);
  assert.equal((await texts(id)).length, 6);
});

test("errors", async () => {
  const { id } = await conversations.create();
  const made = await ask(id, "x");
  const both = await ask(id, "x", { previous_response_id: made.id }).catch((error) => error);
  assert.deepEqual([both.status, both.code], [400, "mutually_exclusive"]);
  const unknown = await ask("conv_x", "x").catch((error) => error);
  assert.deepEqual([unknown.status, unknown.code, unknown.param], [404, "conversation_not_found", "conversation"]);
  const many = await conversations.items.create(id, { items: Array(21).fill(message("x")) }).catch((error) => error);
  assert.deepEqual([many.status, many.param], [400, "items"]);
  assert.match(many.requestID, /^[0-9a-f]{16}$/);
});

// The official client of Durable Streams (`@durable-streams/client`), reading responses.

import assert from "node:assert/strict";
import test from "node:test";
import { DurableStream, stream } from "@durable-streams/client";
import { MODEL, assertDense, collect, connect, killWorkers, said, textOf, url } from "./parley.mjs";

const begin = async (input, model = MODEL) =>
  (await connect().responses.create({ model, input, background: true })).id;
const at = (id) => `${url}/streams/${id}`;
const options = { sseResilience: { logWarnings: false } };

/** Read a response to the end of its stream; `take` is called with each batch. */
async function follow(id, offset, live, take) {
  const response = await stream({ url: at(id), offset, live, ...options });
  await new Promise((resolve, reject) => {
    response.subscribeJson((batch) => {
      take(batch);
      if (batch.streamClosed) resolve();
    });
    response.closed.catch(reject);
  });
}

/** All that a reader gets, in batches as it came. */
async function read(id, offset = "-1", live = true) {
  const batches = [];
  await follow(id, offset, live, (batch) => batches.push(batch));
  return batches;
}

/** Read a response from its start, and kill every worker in the middle of it. */
async function readWhileKilled(id, live, events) {
  await follow(id, "-1", live, ({ items }) => {
    if (events.length < 20 && events.length + items.length >= 20) killWorkers();
    events.push(...items);
  });
}

const itemsOf = (batches) => batches.flatMap((batch) => batch.items);

for (const live of [true, "sse", "long-poll"]) {
  test(`a reply is followed to its end (${live})`, async () => {
    const id = await begin(`say 40 delay=0.02 tag=follow`);
    const batches = await read(id, "-1", live);
    assert.ok(batches.length > 2, "as it comes");
    const events = itemsOf(batches);
    assertDense(events);
    assert.equal(textOf(events), said(40, "follow"));
    const told = await collect(await connect().responses.retrieve(id, { stream: true }));
    assert.deepEqual(events.map(({ type }) => type), told.map(({ type }) => type));
  });

  test(`every offset leads to exactly the rest (${live})`, async () => {
    const id = await begin("say 12 delay=0.02 tag=rest");
    const batches = await read(id, "-1", "sse");
    const events = itemsOf(batches);
    let before = 0;
    for (const { items, offset } of batches) {
      before += items.length;
      assert.deepEqual(itemsOf(await read(id, offset, live)), events.slice(before));
    }
    assert.equal(before, events.length);
  });

  test(`killed workers are not seen (${live})`, async () => {
    const id = await begin("say 60 delay=0.02 tag=killed");
    const events = [];
    await readWhileKilled(id, live, events);
    assertDense(events);
    assert.equal(textOf(events), said(60, "killed"));
  });

  test(`what was withdrawn is an error, and whole from the start (${live})`, async () => {
    const id = await begin(`say 60 delay=0.03 vary tag=gone-${live}`, "fickle");
    const events = [];
    await assert.rejects(readWhileKilled(id, live, events), { status: 410 });
    assert.ok(textOf(events).startsWith(said(5, `gone-${live}.r1`)));
    const again = itemsOf(await read(id, "-1", live));
    assertDense(again);
    assert.equal(textOf(again), said(60, `gone-${live}.r2`));
  });
}

test("what stands, without waiting", async () => {
  const made = await connect().responses.create({ model: MODEL, input: "say 3 tag=stands" });
  const response = await stream({ url: at(made.id), live: false });
  assert.equal(textOf(await response.json()), "stands:0000 stands:0001 stands:0002 ");
  assert.equal(response.streamClosed, true);
});

test("metadata", async () => {
  const id = await begin("say 3 first=30 tag=head");
  const running = await DurableStream.head({ url: at(id) });
  assert.deepEqual([running.exists, running.streamClosed], [true, false]);
  await connect().responses.cancel(id);
  const batches = await read(id, running.offset);
  const ended = await DurableStream.head({ url: at(id) });
  assert.deepEqual([ended.streamClosed, ended.offset], [true, batches.at(-1).offset]);
});

test("writing is refused", async () => {
  const id = await begin("hello");
  const before = itemsOf(await read(id));
  const handle = new DurableStream({ url: at(id), contentType: "application/json" });
  const refused = (promise) => assert.rejects(promise, { status: 405 });
  await refused(handle.append(JSON.stringify({ type: "x" })));
  await refused(handle.close());
  await refused(handle.delete());
  await refused(DurableStream.create({ url: at(id), contentType: "application/json" }));
  assert.deepEqual(itemsOf(await read(id)), before);
});

test("no such stream", async () => {
  await assert.rejects(stream({ url: at(`resp_00${"0".repeat(48)}`) }), { status: 404 });
});

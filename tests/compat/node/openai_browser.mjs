// The official OpenAI client in a page of another origin: what a test has it do, by name.

import OpenAI from "openai";

const MODEL = "scripted";
const connect = (baseURL, apiKey) => new OpenAI({ baseURL, apiKey, maxRetries: 0, dangerouslyAllowBrowser: true });
const textOf = (events) => events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta).join("");

/** What becomes of a request, as a page can tell it. */
const told = (asking) =>
  asking.then(
    () => "answered",
    (error) => ({ kind: error.constructor.name, status: error.status, code: error.code, requestID: error.requestID }),
  );

let reading; // the stream that `begin` began

window.scenarios = {
  async chat(...where) {
    const messages = [{ role: "user", content: "say 5 reasoning=1" }];
    const asking = connect(...where).chat.completions.create({ model: MODEL, messages, stream: true });
    const { data, request_id: requestID } = await asking.withResponse();
    let text = "";
    for await (const chunk of data) text += chunk.choices[0]?.delta.content ?? "";
    return { text, requestID };
  },

  async responses(...where) {
    const client = connect(...where);
    const tools = [{ type: "function", name: "look", parameters: { type: "object" }, strict: false }];
    const stream = client.responses.stream({ model: MODEL, input: "say 3 calls=1 tag=look", tools });
    const made = await stream.finalResponse();
    const input = [{ type: "function_call_output", call_id: made.output[1].call_id, output: "blue" }];
    const after = await client.responses.create({ model: MODEL, input, tools, previous_response_id: made.id });
    const items = [];
    for await (const item of client.responses.inputItems.list(after.id)) items.push(item.type);
    return { text: after.output_text, items, requestID: after._request_id };
  },

  /** POST, GET and DELETE, each of which a browser asks leave for. */
  async conversation(...where) {
    const { conversations, responses } = connect(...where);
    const { id } = await conversations.create({ items: [{ type: "message", role: "user", content: "one" }] });
    await conversations.update(id, { metadata: { topic: "browsers" } });
    await responses.create({ model: MODEL, conversation: id, input: "two" });
    const texts = [];
    for await (const item of conversations.items.list(id, { order: "asc", limit: 1 })) texts.push(item.content[0].text);
    const background = await responses.create({ model: MODEL, conversation: id, input: "say 900 delay=0.02", background: true });
    const { status } = await responses.cancel(background.id);
    const { metadata } = await conversations.retrieve(id);
    const { deleted } = await conversations.delete(id);
    return { texts, status, metadata, deleted };
  },

  /** Begin to read a stream, so far. */
  async begin(...where) {
    const client = connect(...where);
    const stream = await client.responses.create({ model: MODEL, input: "say 80 delay=0.02", stream: true });
    reading = { client, events: [] };
    for await (const event of stream) {
      reading.events.push(event);
      if (reading.events.length === 15) break;
    }
    return reading.events.length;
  },

  /** Read the rest of the stream that was begun, by the client's own resume. */
  async rest() {
    const { client, events } = reading;
    const { id } = events[0].response;
    const starting_after = events.at(-1).sequence_number;
    for await (const event of await client.responses.retrieve(id, { stream: true, starting_after })) events.push(event);
    return { numbers: events.map((event) => event.sequence_number), text: textOf(events), last: events.at(-1).type };
  },

  errors: async (baseURL, key) => ({
    model: await told(connect(baseURL, key).responses.create({ model: "nobody", input: "x" })),
    input: await told(connect(baseURL, key).responses.create({ model: MODEL, input: "", stream: true })),
    key: await told(connect(baseURL, "another").models.list()),
    path: await told(connect(baseURL, key).files.list()),
    response: await told(connect(baseURL, key).responses.delete("resp_x")),
  }),

  models: async (...where) => told(connect(...where).models.list()),
};

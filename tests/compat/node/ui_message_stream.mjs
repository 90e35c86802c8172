// The AI SDK's own chat (`useChat` without React) and its default transport, against a server: one scenario a run.
//
//   node ui_message_stream.mjs <url> <scenario>
//
// `hear(word)` waits for a line from the test, `tell(word)` writes one to it.

import assert from "node:assert/strict";
import readline from "node:readline";
import { Chat } from "@ai-sdk/react";
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls, readUIMessageStream } from "ai";

const [url, scenario] = process.argv.slice(2);
const api = `${url}/ai/chat`;
const heard = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const tell = (word) => console.log(word);
const hear = async (word) => assert.equal((await heard.next()).value, word);

/** A chat as an application makes it; `problems` are what `onError` was told. */
function open(id, options = {}) {
  const problems = [];
  const body = { model: options.model ?? "model", tools: options.tools };
  const transport = new DefaultChatTransport({ api, body, headers: options.headers });
  const chat = new Chat({ id, transport, onError: (error) => problems.push(error), ...options.init });
  return Object.assign(chat, { problems });
}

const textOf = (message) => message.parts.filter((part) => part.type === "text").map((part) => part.text).join("");
const said = (tokens, tag = "t") => Array.from({ length: tokens }, (_, at) => `${tag}:${String(at).padStart(4, "0")} `).join("");
const load = async (id) => (await fetch(`${api}/${encodeURIComponent(id)}/messages`)).json();
const stop = async (id) => (await fetch(`${api}/${encodeURIComponent(id)}/stop`, { method: "POST" })).json();

/** Wait until the last message of a chat has so much text. */
async function until(chat, characters) {
  for (;;) {
    const last = chat.lastMessage;
    if (last?.role === "assistant" && textOf(last).length >= characters) return;
    assert.equal(chat.problems.length, 0, String(chat.problems[0]));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const scenarios = {
  async talk() {
    const chat = open("talk/with a slash".replaceAll(" ", "-"));
    await chat.sendMessage({ text: "say 5 reasoning=2" });
    assert.equal(chat.status, "ready");
    const [question, answer] = chat.messages;
    assert.deepEqual(answer.parts.map((part) => part.type), ["step-start", "reasoning", "text"]);
    assert.equal(textOf(answer), said(5));
    assert.equal(answer.metadata.usage.outputTokens, 5);
    await chat.sendMessage({ text: "hello" });
    assert.equal(textOf(chat.lastMessage), "You said: hello (3 messages)");
    // What a page loads that is opened now is what this one shows.
    const loaded = await load(chat.id);
    assert.deepEqual(loaded.map((each) => [each.id, each.role, textOf(each)]), chat.messages.map((each) => [each.id, each.role, textOf(each)]));
    assert.equal(loaded[0].id, question.id);
    const later = open(chat.id, { init: { messages: loaded } });
    await later.resumeStream();
    assert.equal(later.status, "ready");
    await later.sendMessage({ text: "again" });
    assert.equal(textOf(later.lastMessage), "You said: again (5 messages)");
  },

  async reload() {
    const first = open("reload");
    const asked = first.sendMessage({ text: "say 100 delay=0.02" });
    await until(first, 100);
    await first.stop(); // the page goes: for the server no more than that
    await asked;
    const second = open("reload", { init: { messages: await load("reload") } });
    assert.deepEqual(second.messages.map((each) => each.role), ["user"]);
    tell("kill");
    await hear("killed");
    await second.resumeStream();
    assert.equal(second.problems.length, 0, String(second.problems[0]));
    assert.equal(second.messages.length, 2);
    assert.equal(textOf(second.lastMessage), said(100));
    assert.equal(second.lastMessage.id, first.lastMessage.id);
    // Over: there is nothing to resume.
    const third = open("reload", { init: { messages: await load("reload") } });
    await third.resumeStream();
    assert.deepEqual(third.messages.map(textOf), second.messages.map(textOf));
  },

  async tabs() {
    const one = open("tabs");
    const asked = one.sendMessage({ text: "say 60 delay=0.02" });
    await until(one, 50);
    const others = [open("tabs"), open("tabs")];
    for (const tab of others) tab.messages = await load("tabs");
    await Promise.all([asked, ...others.map((tab) => tab.resumeStream())]);
    for (const tab of [one, ...others]) {
      assert.equal(tab.status, "ready");
      assert.deepEqual(tab.messages.map(textOf), ["say 60 delay=0.02", said(60)]);
    }
    // A tab that did not see what another one said meanwhile: nothing of it is lost, and nothing is said twice.
    await one.sendMessage({ text: "from one" });
    await others[0].sendMessage({ text: "from another" });
    assert.equal(textOf(others[0].lastMessage), "You said: from another (5 messages)");
    const loaded = await load("tabs");
    assert.deepEqual(loaded.filter((each) => each.role === "user").map(textOf), ["say 60 delay=0.02", "from one", "from another"]);
  },

  async stopped() {
    const one = open("stopped");
    const asked = one.sendMessage({ text: "say 1000 delay=0.02" });
    await until(one, 50);
    const other = open("stopped");
    other.messages = await load("stopped");
    const resumed = other.resumeStream();
    await until(other, 50);
    assert.deepEqual(await stop("stopped"), { success: true, stopped: true });
    await Promise.all([asked, resumed]); // both followers come to their end
    for (const tab of [one, other]) assert.equal(tab.status, "ready");
    const text = textOf(one.lastMessage);
    assert.ok(text.length >= 50 && text.length < 5000);
    assert.ok(said(1000).startsWith(text));
    assert.equal(textOf(other.lastMessage), text);
    assert.deepEqual(await stop("stopped"), { success: true, stopped: false });
    await other.resumeStream(); // 204: what was stopped does not come back
    assert.equal(textOf(other.lastMessage), text);
    const loaded = await load("stopped");
    assert.equal(textOf(loaded.at(-1)), text);
    await one.sendMessage({ text: "hello" });
    assert.equal(textOf(one.lastMessage), "You said: hello (3 messages)");
  },

  async anew() {
    const chat = open("anew");
    await chat.sendMessage({ text: "say 2 vary tag=a" });
    const [first] = [textOf(chat.lastMessage)];
    await chat.regenerate();
    const second = textOf(chat.lastMessage);
    assert.notEqual(first, second);
    await chat.regenerate({ messageId: chat.lastMessage.id });
    assert.notEqual(textOf(chat.lastMessage), second);
    assert.equal(chat.messages.length, 2);
    assert.deepEqual((await load("anew")).map(textOf), chat.messages.map(textOf));
    await chat.sendMessage({ text: "then" });
    assert.equal(textOf(chat.lastMessage), "You said: then (3 messages)");
    // An edited message forgets what followed it.
    await chat.sendMessage({ text: "instead", messageId: chat.messages[0].id });
    assert.equal(textOf(chat.lastMessage), "You said: instead (1 messages)");
    await chat.sendMessage({ text: "more" });
    assert.equal(textOf(chat.lastMessage), "You said: more (3 messages)");
    assert.deepEqual((await load("anew")).map((each) => [each.id, textOf(each)]), chat.messages.map((each) => [each.id, textOf(each)]));
  },

  async tools() {
    const tools = [{ name: "look", description: "Looks.", parameters: { type: "object" } }];
    const init = {
      sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
      onToolCall: ({ toolCall }) => {
        assert.equal(toolCall.toolName, "look");
        const { number } = toolCall.input;
        if (number === 0) chat.addToolOutput({ tool: "look", toolCallId: toolCall.toolCallId, output: { seen: number } });
        else chat.addToolOutput({ tool: "look", toolCallId: toolCall.toolCallId, state: "output-error", errorText: "blind" });
      },
    };
    const done = new Promise((resolve) => (init.onFinish = ({ finishReason }) => finishReason === "stop" && resolve()));
    const chat = open("tools", { tools, init });
    await chat.sendMessage({ text: "say 1 calls=2 tag=look" });
    await done;
    assert.equal(chat.problems.length, 0, String(chat.problems[0]));
    assert.equal(chat.messages.length, 2);
    const kinds = chat.lastMessage.parts.map((part) => part.type);
    assert.deepEqual(kinds, ["step-start", "text", "tool-look", "tool-look", "step-start", "text"]);
    const plain = (parts) => parts.map(({ type, text, state, input, output, errorText }) => ({ type, text, state, input, output, errorText }));
    const loaded = await load("tools");
    assert.deepEqual(plain(loaded.at(-1).parts), plain(chat.lastMessage.parts));
    assert.deepEqual(loaded.at(-1).metadata, chat.lastMessage.metadata);
    const later = open("tools", { tools, init: { messages: loaded } });
    await later.sendMessage({ text: "hello" });
    assert.equal(textOf(later.lastMessage), "You said: hello (6 messages)");
  },

  // A page is loaded anew while an answer goes on behind the outputs of its calls: it gets the whole message.
  async steps() {
    const tools = [{ name: "look", parameters: { type: "object" } }];
    const chat = open("steps", { tools, init: { sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls } });
    await chat.sendMessage({ text: "say 40 delay=0.02 calls=1 tag=look" });
    const call = chat.lastMessage.parts.at(-1);
    await chat.addToolOutput({ tool: "look", toolCallId: call.toolCallId, output: [1, 2] });
    for (;;) {
      const parts = chat.lastMessage.parts.filter((part) => part.type === "text");
      if (parts.length === 2 && parts[1].text.length > 20) break;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const other = open("steps", { tools });
    other.messages = await load("steps");
    assert.deepEqual(other.messages.map((each) => each.role), ["user"]);
    await Promise.all([other.resumeStream(), chat["~resumeStreamIfDisconnected"]()]);
    const loaded = await load("steps");
    const plain = (parts) => parts.map(({ type, text, state, input, output }) => ({ type, text, state, input, output }));
    assert.deepEqual(plain(other.lastMessage.parts), plain(loaded.at(-1).parts));
    assert.equal(other.lastMessage.id, chat.lastMessage.id);
  },

  async failing() {
    const chat = open("failing");
    await chat.sendMessage({ text: "say 5 status=400" });
    assert.equal(chat.status, "error");
    assert.match(chat.problems[0].message, /\(upstream_\w+\)$/);
    await chat.sendMessage({ text: "hello" });
    assert.equal(chat.status, "ready");
    const refused = open("refused", { model: "nobody" });
    await refused.sendMessage({ text: "hello" });
    assert.match(refused.problems[0].message, /model_not_found/);
  },

  // A worker is lost and the next one answers otherwise: an explicit error, and the whole of the new answer on demand.
  async rewound() {
    const chat = open("rewound", { model: "fickle" });
    const asked = chat.sendMessage({ text: "say 80 vary delay=0.02" });
    await until(chat, 100);
    tell("kill");
    await hear("killed");
    await asked;
    assert.equal(chat.status, "error");
    assert.match(chat.problems[0].message, /response_rewound/);
    await chat.resumeStream();
    const loaded = await load("rewound");
    assert.equal(textOf(loaded.at(-1)).match(/t\.r2:/g).length, 80);
    if (chat.status === "ready") assert.ok(textOf(loaded.at(-1)).startsWith("t.r2:0000"));
  },

  async silence() {
    const chat = open("silence");
    await chat.sendMessage({ text: "say 5 first=2.5 delay=0.5" });
    assert.equal(chat.problems.length, 0, String(chat.problems[0]));
    assert.equal(textOf(chat.lastMessage), said(5));
  },

  async read() {
    const transport = new DefaultChatTransport({ api });
    const message = { id: "m", role: "user", parts: [{ type: "text", text: "say 3" }] };
    const stream = await transport.sendMessages({ chatId: "read", messages: [message], trigger: "submit-message" });
    let last;
    for await (const each of readUIMessageStream({ stream, terminateOnError: true })) last = each;
    assert.equal(textOf(last), said(3));
    assert.equal(await transport.reconnectToStream({ chatId: "read" }), null);
  },
};

await scenarios[scenario]();
tell("done");
process.exit(0);

// AG-UI's own client, `HttpAgent`, against a server: one scenario a run.
//
//   node agui.mjs <url> <scenario>
//
// Its client verifies the order of events by itself, and strips what the protocol does not describe with a warning:
// here a warning is a failure.

import assert from "node:assert/strict";
import readline from "node:readline";
import { HttpAgent } from "@ag-ui/client";

const [url, scenario] = process.argv.slice(2);
const heard = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const tell = (word) => console.log(word);
const hear = async (word) => assert.equal((await heard.next()).value, word);
console.warn = (...words) => assert.fail(`a warning: ${words.join(" ")}`);

const tools = [{ name: "look", description: "Looks.", parameters: { type: "object" } }];
const said = (tokens, tag = "t") => Array.from({ length: tokens }, (_, at) => `${tag}:${String(at).padStart(4, "0")} `).join("");
let count = 0;
const user = (content) => ({ id: `${scenario}-${count++}`, role: "user", content });

function open(threadId, initialMessages = []) {
  return new HttpAgent({ url: `${url}/agui`, threadId, initialMessages });
}

/** Say something in an agent's thread; replies the new messages, and what the end of the run tells. */
async function ask(agent, content, options = {}) {
  if (content !== undefined) agent.addMessage(user(content));
  const ends = [];
  const subscriber = {
    onRunFinishedEvent: ({ event }) => void ends.push(event),
    onRunErrorEvent: ({ event }) => void ends.push(event),
    ...options.subscriber,
  };
  const { newMessages, result } = await agent.runAgent({ forwardedProps: { model: options.model ?? "model" }, tools, runId: options.runId }, subscriber);
  assert.equal(ends.length, 1);
  return { newMessages, result, end: ends[0] };
}

const scenarios = {
  async talk() {
    const agent = open("talk");
    const first = await ask(agent, "say 5 reasoning=2");
    assert.deepEqual(first.newMessages.map((each) => [each.role, each.content]), [["reasoning", "think:0000 think:0001 "], ["assistant", said(5)]]);
    assert.equal(first.end.outcome.type, "success");
    assert.equal(first.end.usage[0].outputTokens, 5);
    assert.equal(first.result.response, first.newMessages[1].id);
    const second = await ask(agent, "hello");
    assert.equal(second.newMessages[0].content, "You said: hello (3 messages)");
    // A client that has forgotten everything: the thread has not.
    const other = await ask(open("talk"), "again");
    assert.equal(other.newMessages[0].content, "You said: again (5 messages)");
    const elsewhere = await ask(open("elsewhere"), "hello");
    assert.equal(elsewhere.newMessages[0].content, "You said: hello (1 messages)");
  },

  async again() {
    const agent = open("again", [user("say 2 vary tag=a")]);
    const messages = structuredClone(agent.messages);
    const first = await ask(agent, undefined, { runId: "one" });
    // The same run is the same run; another one with nothing new asks once more.
    const repeated = open("again", messages);
    assert.deepEqual((await ask(repeated, undefined, { runId: "one" })).newMessages, first.newMessages);
    const anew = open("again", messages);
    const second = await ask(anew, undefined, { runId: "two" });
    assert.notEqual(second.newMessages[0].content, first.newMessages[0].content);
    // Each goes on where it stands.
    assert.equal((await ask(agent, "then")).newMessages[0].content, "You said: then (3 messages)");
    assert.equal((await ask(anew, "then")).newMessages[0].content, "You said: then (3 messages)");
  },

  async tools() {
    const agent = open("tools");
    const { newMessages, end } = await ask(agent, "say 1 calls=2 tag=look");
    const [answer] = newMessages;
    assert.equal(newMessages.length, 1);
    assert.equal(answer.content, said(1, "look"));
    assert.deepEqual(answer.toolCalls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]), [["look", { number: 0 }], ["look", { number: 1 }]]);
    assert.deepEqual(end.outcome.pendingToolCallIds, answer.toolCalls.map((call) => call.id));
    for (const call of answer.toolCalls) agent.addMessage({ id: `out-${call.id}`, role: "tool", toolCallId: call.id, content: "blue" });
    const after = await ask(agent);
    assert.deepEqual(after.newMessages.map((each) => each.content), [said(1, "look")]);
    assert.equal((await ask(agent, "hello")).newMessages[0].content, "You said: hello (6 messages)");
  },

  // The reader goes in mid stream; the run goes on, and run again it is told whole, whatever died meanwhile.
  async reload() {
    const agent = open("reload", [user("say 100 delay=0.02")]);
    const messages = structuredClone(agent.messages);
    let text = "";
    const onTextMessageContentEvent = ({ event }) => {
      text += event.delta;
      if (text.length > 100) agent.abortRun();
    };
    await ask(agent, undefined, { runId: "r", subscriber: { onTextMessageContentEvent } });
    tell("kill");
    await hear("killed");
    const { newMessages } = await ask(open("reload", messages), undefined, { runId: "r" });
    assert.equal(newMessages[0].content, said(100));
    assert.ok(said(100).startsWith(text));
  },

  async stopped() {
    const agent = open("stopped");
    let stopping;
    const onTextMessageContentEvent = () => void (stopping ??= fetch(`${url}/ai/chat/stopped/stop`, { method: "POST" }));
    const { end, newMessages } = await ask(agent, "say 1000 delay=0.02", { subscriber: { onTextMessageContentEvent } });
    assert.equal((await stopping).status, 200);
    assert.deepEqual(end.outcome, { type: "cancelled" });
    assert.ok(said(1000).startsWith(newMessages[0].content));
  },

  async silence() {
    const { newMessages } = await ask(open("silence"), "say 5 first=2.5 delay=0.5");
    assert.equal(newMessages[0].content, said(5));
  },

  async failing() {
    const agent = open("failing");
    const { end } = await ask(agent, "say 5 status=400");
    assert.equal(end.type, "RUN_ERROR");
    assert.match(end.code, /^upstream_/);
    assert.equal((await ask(agent, "hello")).end.type, "RUN_FINISHED");
    console.error = () => {}; // it prints what it throws
    await assert.rejects(() => ask(open("refused"), "hello", { model: "nobody" }), /model_not_found/);
  },
};

await scenarios[scenario]();
tell("done");
process.exit(0);

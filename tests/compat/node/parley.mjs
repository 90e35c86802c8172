// What the tests of every client share: where Parley is, what its scripted model says, and how to kill its workers.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import OpenAI from "openai";

export const url = process.env.PARLEY_URL;
export const MODEL = "scripted";

/** The official client. It does not try again by itself, so that what happens shows. */
export const connect = (options = {}) =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0, timeout: 20_000, ...options });

/** What the model says to "say <tokens> tag=<tag>". */
export const said = (tokens, tag = "t") =>
  Array.from({ length: tokens }, (_, at) => `${tag}:${String(at).padStart(4, "0")} `).join("");

/** All that an asynchronous iterable gives. */
export async function collect(items) {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
}

/** Wait until a function replies something true. */
export async function until(condition, what, seconds = 15) {
  const deadline = performance.now() + 1000 * seconds;
  for (;;) {
    const found = await condition();
    if (found) return found;
    assert.ok(performance.now() < deadline, `waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** What the model's server has seen: `stats`, and the `last` requests. */
export const upstream = async () => (await fetch(`${process.env.UPSTREAM_URL}/stats`)).json();

/** The messages the model was asked with last. */
export async function asked() {
  const { last } = await upstream();
  return last.at(-1).body.messages;
}

/** The texts of the deltas among events, joined. */
export const textOf = (events) =>
  events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta).join("");

/** The events of a response count from 0 without a gap. */
export function assertDense(events, first = 0) {
  assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, at) => first + at));
}

/** Kill every worker at once, as a lost machine does. */
export function killWorkers() {
  const victims = descendants(process.env.PARLEY_PID).filter((pid) => commandLine(pid).includes("parley work"));
  assert.ok(victims.length > 0);
  for (const pid of victims) process.kill(pid, "SIGKILL");
}

function descendants(pid) {
  const found = [];
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const children = readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean);
    for (const child of children) found.push(Number(child), ...descendants(child));
  }
  return found;
}

const commandLine = (pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");

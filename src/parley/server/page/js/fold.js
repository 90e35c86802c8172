/**
 * What one viewer knows of a conversation: the fold of a snapshot and the frames behind it, and the path through its
 * tree that is shown. No DOM, no clock.
 *
 * Offsets and lengths on the wire count UTF-8 bytes of the reply over all its channels; strings here count UTF-16
 * units. A frame that does not join what is shown is answered by `false`: take a snapshot.
 *
 * @typedef {{channel: string, bytes: number, units: number}} Span  neighbouring pieces of one channel
 * @typedef {{code: string, message: string}} Failure
 * @typedef {{input_tokens: number, output_tokens: number, cached_tokens?: number, reasoning_tokens?: number}} Usage
 * @typedef {{role: string, content: string, images?: {url: string, detail?: string}[], calls?: any[], call?: string}} Part
 * @typedef {{kind: "takeover"|"rewind"|"delayed"|"waiting", reason?: string, seconds?: number}} Note
 * @typedef {{
 *   id: string, parent: string, input: Part[], model: string, createdAt: number,
 *   takeovers: {at: number, length: number}[], status: string, started: boolean, gen: number, length: number, text: string, reasoning: string,
 *   tool: string, spans: Span[] | null, notes: Note[], wait: Note | null, error: Failure | null, attempts: number,
 *   usage: Usage | null, startedAt: number, endedAt: number, version: number
 * }} Turn  `spans` is null when the order of the channels is not known; `version` counts changes, for drawing
 * @typedef {{
 *   id: string, cursor: string, about: Record<string, any>, first: number, turns: Map<string, Turn>,
 *   order: string[], chosen: Map<string, string>, known: boolean, deleted: boolean, version: number
 * }} View  `order` is the order of acceptance; `chosen` the child a reader picked of each parent
 * @typedef {{turn: Turn, siblings: string[]}} Step  of a path; `siblings`: the turns with the same parent, itself among them
 */

/** Once a turn has one of these it never changes again. */
export const ENDED = new Set(["completed", "incomplete", "failed", "cancelled"]);

const encoder = new TextEncoder();

/** How many bytes a string takes in UTF-8. @param {string} text */
export const byteLength = (text) => encoder.encode(text).length;

/** @param {string} id @returns {View} */
export function emptyView(id) {
  return {
    id, cursor: "", about: {}, first: 0, turns: new Map(), order: [], chosen: new Map(),
    known: false, deleted: false, version: 0,
  };
}

/**
 * Where a byte offset lies in a string, in UTF-16 units; -1 if inside a character or behind the end.
 * @param {string} text @param {number} bytes
 */
export function unitsAt(text, bytes) {
  let at = 0;
  while (bytes > 0 && at < text.length) {
    const code = /** @type {number} */ (text.codePointAt(at));
    bytes -= code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    at += code < 0x10000 ? 1 : 2;
  }
  return bytes === 0 ? at : -1;
}

/** A turn as snapshots and lists tell it. @param {any} told @returns {Turn} */
export function readTurn(told) {
  const text = told.text || "";
  const reasoning = told.reasoning || "";
  const length = told.length || 0;
  const tool = told.tool || "";
  const channels = ["text", "reasoning", "tool"].filter((channel) => told[channel]);
  return {
    id: told.turn, parent: told.parent || "", input: told.request?.input ?? [],
    model: told.model || told.request?.model || "", createdAt: told.created_at || 0,
    status: told.status, started: told.status === "in_progress" || Boolean(told.started_at),
    gen: told.gen || 1, length, text, reasoning, tool,
    spans: channels.length > 1 ? null
      : channels.map((channel) => ({ channel, bytes: length, units: told[channel].length })),
    notes: told.attempts > 1 ? [{ kind: "takeover" }] : [], wait: null, error: told.error ?? null,
    attempts: told.attempts || 0, takeovers: told.takeovers ?? [], usage: told.usage ?? null,
    startedAt: told.started_at || 0, endedAt: told.ended_at || 0, version: 0,
  };
}

/** What the person said, as one text. @param {Turn} turn */
export const said = (turn) => turn.input.filter((part) => part.role === "user").map((part) => part.content).join("\n\n");

/**
 * The messages that say a turn again, with another text or the same; null when only the program that said them can,
 * as functions were called.
 * @param {Turn} turn @param {string} [text] @returns {Part[] | null}
 */
export function again(turn, text) {
  const { input } = turn;
  if (input.some((part) => part.role === "tool" || part.calls?.length)) return null;
  if (text === undefined) return input;
  const first = input.findIndex((part) => part.role === "user");
  const images = input.flatMap((part) => part.images ?? []);
  const part = { role: "user", content: text, ...(images.length ? { images } : {}) };
  return [...input.slice(0, Math.max(first, 0)), part, ...input.slice(first + 1).filter((each) => each.role !== "user")];
}

/** A turn that left the line before anybody took it. @param {Turn} turn */
export const withdrawn = (turn) => turn.status === "cancelled" && !turn.started && !turn.length;

/** The turns that have not ended, in order. @param {View} view @returns {Turn[]} */
export function open(view) {
  const found = [];
  for (const id of view.order) {
    const turn = /** @type {Turn} */ (view.turns.get(id));
    if (!ENDED.has(turn.status)) found.push(turn);
  }
  return found;
}

/**
 * Fold one frame into a view.
 * @param {View} view
 * @param {any} frame
 * @param {number} now  unix milliseconds, for what the frame does not tell
 * @returns {boolean} false: the frame does not join what is shown, and nothing was changed
 */
export function fold(view, frame, now) {
  if (frame.type === "snapshot") return restore(view, frame);
  if (frame.type === "status") return wait(view, frame);
  if (!view.known) return false;
  const joined = event(view, frame, now);
  if (joined) {
    view.version += 1;
    if (frame.cursor) view.cursor = frame.cursor;
  }
  return joined;
}

/** @param {View} view @param {any} frame */
function restore(view, frame) {
  const before = view.turns;
  view.turns = new Map();
  view.order = [];
  for (const told of frame.turns) {
    const turn = readTurn(told);
    const old = before.get(turn.id);
    turn.version = old ? old.version + 1 : 0;
    if (old && !turn.notes.length) turn.notes = old.notes;
    view.turns.set(turn.id, turn);
    view.order.push(turn.id);
  }
  view.about = frame.about;
  view.first = frame.first;
  view.cursor = frame.cursor;
  view.known = true;
  view.deleted = false;
  view.version += 1;
  return true;
}

/** Put older turns before those that are there. @param {View} view @param {any} list  answer of GET …/turns */
export function prepend(view, list) {
  const turns = list.data.map(readTurn).filter((/** @type {Turn} */ turn) => !view.turns.has(turn.id));
  for (const turn of turns) view.turns.set(turn.id, turn);
  view.order = [...turns.map((/** @type {Turn} */ turn) => turn.id), ...view.order];
  view.first = list.first;
  view.version += 1;
}

/** @param {View} view @param {any} frame */
function wait(view, frame) {
  const turn = view.turns.get(frame.turn);
  if (!turn || turn.status !== "queued" || frame.state !== "waiting_for_worker") return true;
  turn.wait = { kind: "waiting", seconds: frame.seconds };
  touch(view, turn);
  return true;
}

/** @param {View} view @param {any} frame @param {number} now */
function event(view, frame, now) {
  switch (frame.type) {
    case "queued": return queued(view, frame, now);
    case "changed": view.about = { ...view.about, ...frame.about }; return true;
    case "shared": view.about = { ...view.about, shared: frame.link ?? "" }; return true;
    case "deleted": view.deleted = true; return true;
    case "started": case "takeover": case "delayed": case "delta": case "rewind": case "end": break;
    default: return true; // a later version's event: its cursor counts, it is not shown
  }
  const turn = view.turns.get(frame.turn);
  if (!turn || ENDED.has(turn.status)) return false;
  const joined = reply(turn, frame, now);
  if (joined) touch(view, turn);
  return joined;
}

/** @param {View} view @param {any} frame @param {number} now */
function queued(view, frame, now) {
  if (view.turns.has(frame.turn)) return false;
  const turn = readTurn({ ...frame, status: "queued", created_at: now });
  view.turns.set(turn.id, turn);
  view.order.push(turn.id);
  // Everyone who looks is led to what was said last.
  for (let at = turn; at; at = /** @type {Turn} */ (view.turns.get(at.parent))) view.chosen.delete(at.parent);
  return true;
}

/** @param {Turn} turn @param {any} frame @param {number} now */
function reply(turn, frame, now) {
  switch (frame.type) {
    case "started":
      begin(turn, now);
      return true;
    case "takeover":
      begin(turn, now);
      if (!turn.notes.some((note) => note.kind === "takeover")) turn.notes.push({ kind: "takeover" });
      turn.takeovers.push({ at: now, length: turn.length });
      return true;
    case "delayed":
      turn.wait = { kind: "delayed", reason: frame.reason, seconds: frame.seconds };
      return true;
    case "delta":
      if (frame.gen !== turn.gen || frame.offset !== turn.length) return false;
      begin(turn, now);
      append(turn, frame.channel || "text", frame.text);
      return true;
    case "rewind":
      if (frame.gen <= turn.gen || !cut(turn, frame.offset)) return false;
      turn.gen = frame.gen;
      return true;
    default:
      if (frame.length !== turn.length) return false;
      turn.status = frame.status;
      turn.error = frame.error ?? null;
      turn.usage = frame.usage ?? null;
      turn.model = frame.model || turn.model;
      turn.endedAt = now;
      turn.wait = null;
      return true;
  }
}

/** @param {Turn} turn @param {number} now */
function begin(turn, now) {
  if (!turn.started) turn.startedAt = now;
  turn.started = true;
  turn.status = "in_progress";
  turn.wait = null;
}

/** @param {Turn} turn @param {string} channel @param {string} text */
function append(turn, channel, text) {
  const bytes = byteLength(text);
  turn.length += bytes;
  if (channel === "reasoning") turn.reasoning += text;
  else if (channel === "tool") turn.tool += text;
  else turn.text += text;
  if (!turn.spans) return;
  const last = turn.spans.at(-1);
  if (last && last.channel === channel) {
    last.bytes += bytes;
    last.units += text.length;
  } else {
    turn.spans.push({ channel, bytes, units: text.length });
  }
}

/** Withdraw a reply's bytes from `offset` on. @param {Turn} turn @param {number} offset */
function cut(turn, offset) {
  if (offset > turn.length) return false;
  let spans = offset ? turn.spans : [];
  if (offset === turn.length) spans = turn.spans;
  else if (!spans) return false;
  else {
    const kept = keep(turn, spans, offset);
    if (!kept) return false;
    turn.spans = kept;
  }
  turn.length = offset;
  return true;
}

/** The spans of the first `offset` bytes, their texts cut to match. @param {Turn} turn @param {Span[]} spans @param {number} offset */
function keep(turn, spans, offset) {
  const texts = { text: "", reasoning: "", tool: "" };
  const from = { text: 0, reasoning: 0, tool: 0 };
  const kept = [];
  for (const span of spans) {
    const channel = span.channel === "reasoning" || span.channel === "tool" ? span.channel : "text";
    const whole = turn[channel].slice(from[channel], from[channel] + span.units);
    from[channel] += span.units;
    const bytes = Math.min(span.bytes, offset);
    const units = bytes === span.bytes ? span.units : unitsAt(whole, bytes);
    if (units < 0) return null;
    if (bytes) kept.push({ channel, bytes, units });
    texts[channel] += whole.slice(0, units);
    offset -= bytes;
    if (!offset) break;
  }
  turn.text = texts.text;
  turn.reasoning = texts.reasoning;
  turn.tool = texts.tool;
  return kept;
}

/** @param {View} view @param {Turn} turn */
function touch(view, turn) {
  turn.version += 1;
  view.version += 1;
}

// Paths: a conversation is a tree of turns, and a reader sees one way through it, from a beginning to a leaf.

/**
 * The path a reader sees: at each fork the child they chose, else the one that leads to the newest turn.
 * @param {View} view @returns {Step[]}
 */
export function path(view) {
  /** @type {Map<string, string[]>} */
  const children = new Map();
  for (const id of view.order) {
    const { parent } = /** @type {Turn} */ (view.turns.get(id));
    const known = children.get(parent);
    if (known) known.push(id);
    else children.set(parent, [id]);
  }
  const newest = reach(view);
  const steps = [];
  let siblings = beginnings(view, children, newest);
  while (siblings?.length) {
    const id = pick(view, siblings, newest);
    const turn = /** @type {Turn} */ (view.turns.get(id));
    const shown = siblings.filter((each) => each === id || !withdrawn(/** @type {Turn} */ (view.turns.get(each))));
    steps.push({ turn, siblings: shown });
    siblings = /** @type {string[]} */ (children.get(id));
  }
  return steps;
}

/** The turn that the next message follows, if it has to be named: the end of a path that is not the newest. @param {View} view */
export function follows(view) {
  const last = path(view).at(-1)?.turn.id;
  return last === view.order.at(-1) ? undefined : last;
}

/** Whether a turn is another one, or leads back to it. @param {View} view @param {Turn} above @param {Turn} turn */
export function below(view, above, turn) {
  for (let at = /** @type {Turn | undefined} */ (turn); at; at = view.turns.get(at.parent)) if (at.id === above.id) return true;
  return false;
}

/** Show another turn of the same parent. @param {View} view @param {Turn} turn @param {string} sibling */
export function choose(view, turn, sibling) {
  view.chosen.set(turn.parent, sibling);
  view.version += 1;
}

/** For each turn, how late the newest turn below it came. @param {View} view */
function reach(view) {
  /** @type {Map<string, number>} */
  const newest = new Map();
  for (let at = view.order.length - 1; at >= 0; at -= 1) {
    const id = view.order[at];
    const own = newest.get(id) ?? at;
    newest.set(id, own);
    const { parent } = /** @type {Turn} */ (view.turns.get(id));
    newest.set(parent, Math.max(newest.get(parent) ?? -1, own));
  }
  return newest;
}

/** The turns that paths begin with: those without a parent here. @param {View} view @param {Map<string, string[]>} children @param {Map<string, number>} newest */
function beginnings(view, children, newest) {
  let best = /** @type {string[] | undefined} */ (undefined);
  let late = -1;
  for (const [parent, ids] of children) {
    if (view.turns.has(parent)) continue;
    const reached = newest.get(parent) ?? -1;
    if (reached > late) [best, late] = [ids, reached];
  }
  return best;
}

/** @param {View} view @param {string[]} siblings @param {Map<string, number>} newest */
function pick(view, siblings, newest) {
  const { parent } = /** @type {Turn} */ (view.turns.get(siblings[0]));
  const chosen = view.chosen.get(parent);
  if (chosen && siblings.includes(chosen)) return chosen;
  return siblings.reduce((best, id) => ((newest.get(id) ?? 0) >= (newest.get(best) ?? 0) ? id : best));
}

/**
 * The way to the server where no WebSocket gets through: events over HTTP for what is followed, requests for the rest.
 * To its users it is what `Socket` is.
 *
 * Browsers open only six connections to a host, so that one tab holds the streams for all (Web Locks) and hands on
 * what it hears (BroadcastChannel). Each tab takes a snapshot of its own and then what joins it by number; what does
 * not join is answered by another snapshot. Where not even events get through, snapshots are all there is.
 */
import { BASE, Refused, access, call } from "./api.js";
import { backoff } from "./socket.js";

const STREAMS = 3; // at once, of the six; the others are asked for
const SILENCE = 25_000; // the server says something every ten seconds
const POLL = 2_000;

/** The number of an entry. @param {string} cursor */
const sequence = (cursor) => Number.parseInt(cursor, 10);

/** @typedef {{turns: number, at: number, heard: any[]}} Followed  `at`: the number of what was told last; -1: nothing yet */

export class Source {
  /**
   * @param {(id: string) => string} path  where the API tells of a conversation
   * @param {{opened: () => void, frame: (frame: any) => void, lost: (reason: string, code: number) => void, refused: (code: number) => void}} handlers
   * @param {string} scope  tabs of the same one share their streams
   */
  constructor(path, handlers, scope) {
    this.path = path;
    this.handlers = handlers;
    this.open = false;
    this.attempt = 0;
    /** @type {Map<string, Followed>} */
    this.followed = new Map();
    this.tab = crypto.getRandomValues(new Uint32Array(2)).join();
    /** What the tabs want to hear, in the tab that holds the streams. @type {Map<string, string[]>} */
    this.wanted = new Map();
    /** @type {Map<string, AbortController>} */
    this.streams = new Map();
    /** Those that nothing can be heard of. @type {Set<string>} */
    this.silent = new Set();
    this.leads = false;
    this.trying = false;
    this.asking = false;
    this.tabs = new BroadcastChannel(`parley.source.${scope}`);
    this.tabs.onmessage = (event) => this.told(event.data);
    addEventListener("pagehide", () => this.tabs.postMessage({ tab: this.tab, wants: [] }));
    setInterval(() => this.poll(), POLL);
    const lead = () => {
      this.leads = true;
      this.tabs.postMessage({ lead: true });
      this.settle();
      return new Promise(() => {}); // as long as there is this tab
    };
    // Without the locks, which only secure pages have, each tab holds its own.
    if (navigator.locks) navigator.locks.request(`parley.source.${scope}`, lead);
    else lead();
  }

  // As a socket

  /** Begin, unless it has begun or tries to. */
  async now() {
    if (this.open || this.trying) return;
    this.trying = true;
    try {
      const answer = await fetch(`${BASE}healthz`, { cache: "no-store", signal: AbortSignal.timeout(10_000) });
      if (!answer.ok) throw new Error("not there");
      this.open = true;
      this.attempt = 0;
      this.trying = false;
      this.handlers.opened();
    } catch {
      this.trying = false;
      setTimeout(() => this.now(), backoff(this.attempt, Math.random()));
      this.attempt += 1;
    }
  }

  /** @param {any} frame @returns {boolean} */
  send(frame) {
    if (!this.open) return false;
    const { type, id, conversation, ...body } = frame;
    if (type === "follow") this.follow(conversation, body.turns);
    else if (type === "unfollow") this.unfollow(conversation);
    else if (type === "say") this.say(id, conversation, body);
    else if (type === "cancel") this.ask(id, "POST", `${this.path(conversation)}/turns/${body.turn}/cancel`).then((done) => done && this.handlers.frame({ ...done, type: "cancelled", id }));
    return true;
  }

  /** Begin anew, as somebody else speaks. */
  leave() {
    for (const stream of this.streams.values()) stream.abort();
    this.streams.clear();
    this.down("restart");
  }

  /** @param {string} reason */
  down(reason = "lost") {
    if (!this.open) return;
    this.open = false;
    this.handlers.lost(reason, 0);
    setTimeout(() => this.now(), backoff(0, Math.random()));
  }

  /** @param {string} id @param {string} conversation @param {any} body */
  async say(id, conversation, { key, ...body }) {
    const receipt = await this.ask(id, "POST", `${this.path(conversation)}/turns`, body, key);
    if (receipt) this.handlers.frame({ ...receipt, id });
  }

  /** An answer; nothing when there was an error, which was told. @param {string} id @param {string} method @param {string} path @param {any} [body] @param {string} [key] */
  async ask(id, method, path, body, key) {
    try {
      return await call(method, path, body, key);
    } catch (error) {
      if (!(error instanceof Refused)) this.down();
      else if (error.status === 401) this.handlers.refused(4401);
      else if (error.code === "link_not_found") this.handlers.refused(4404);
      else this.handlers.frame({ type: "error", id, error: { message: error.message, code: error.code, type: error.type }, retry_after: error.after });
      return null;
    }
  }

  // Following

  /** @param {string} conversation @param {number} turns */
  async follow(conversation, turns) {
    /** @type {Followed} */
    const followed = { turns, at: -1, heard: [] };
    this.followed.set(conversation, followed);
    this.want();
    const snapshot = await this.ask(`follow:${conversation}`, "GET", `${this.path(conversation)}?turns=${turns}`);
    if (!snapshot || this.followed.get(conversation) !== followed) return;
    followed.at = sequence(snapshot.cursor);
    this.handlers.frame(snapshot);
    for (const frame of followed.heard.splice(0)) this.hear(frame);
  }

  /** @param {string} conversation */
  unfollow(conversation) {
    this.followed.delete(conversation);
    this.want();
  }

  /** Pass on what joins what was told. @param {any} frame */
  hear(frame) {
    const followed = this.followed.get(frame.conversation);
    if (!followed || !this.open) return;
    if (followed.at < 0) {
      followed.heard.push(frame);
      return;
    }
    const at = frame.cursor ? sequence(frame.cursor) : followed.at + 1;
    if (at <= followed.at) return;
    if (frame.type !== "snapshot" && at > followed.at + 1) {
      this.follow(frame.conversation, followed.turns);
      return;
    }
    if (frame.cursor) followed.at = at;
    this.handlers.frame(frame);
  }

  // Between tabs

  /** Tell the tab that holds the streams what is to be heard here. */
  want() {
    const wants = [...this.followed.keys()];
    this.tabs.postMessage({ tab: this.tab, wants });
    this.wanted.set(this.tab, wants);
    this.settle();
  }

  /** Whether nothing is heard of a conversation, and it is asked for. @param {string} conversation */
  asks(conversation) {
    return this.silent.has(conversation);
  }

  /** @param {any} data */
  told(data) {
    if (data.frame) this.hear(data.frame);
    else if (data.silent) this.silent = new Set(data.silent);
    else if (data.wants) {
      this.wanted.set(data.tab, data.wants);
      this.settle();
    } else if (data.lead) {
      // What the tab before heard last may not have come here.
      for (const [conversation, { turns }] of [...this.followed]) this.follow(conversation, turns);
    }
  }

  /** Hold the streams of what is wanted, and no others. */
  settle() {
    if (!this.leads) return;
    const wanted = [...new Set([...this.wanted.values()].flat())];
    const held = wanted.slice(-STREAMS);
    for (const [conversation, stream] of this.streams) {
      if (held.includes(conversation)) continue;
      stream.abort();
      this.streams.delete(conversation);
    }
    for (const conversation of held) if (!this.streams.has(conversation)) this.stream(conversation);
    this.mute(wanted.filter((conversation) => !held.includes(conversation)));
  }

  /** Say of which ones nothing can be heard. @param {string[]} silent */
  mute(silent) {
    if (silent.length === this.silent.size && silent.every((each) => this.silent.has(each))) return;
    this.silent = new Set(silent);
    this.tabs.postMessage({ silent });
  }

  /** Hear a conversation for all tabs, for as long as one of them wants to. @param {string} conversation */
  async stream(conversation) {
    const control = new AbortController();
    this.streams.set(conversation, control);
    for (let failed = 0; !control.signal.aborted; failed += 1) {
      if (failed) await new Promise((done) => setTimeout(done, backoff(failed, Math.random())));
      if (control.signal.aborted) return;
      await this.listen(conversation, control.signal, () => {
        failed = 0;
        this.mute([...this.silent].filter((each) => each !== conversation));
      });
      if (failed > 1) this.mute([...new Set([...this.silent, conversation])]);
    }
  }

  /** One response, to its end. @param {string} conversation @param {AbortSignal} signal @param {() => void} heard */
  async listen(conversation, signal, heard) {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE);
    /** @type {Record<string, string>} */
    const headers = access.get() ? { authorization: `Bearer ${access.get()}` } : {};
    try {
      const response = await fetch(`${BASE}api${this.path(conversation)}/events`, { headers, signal: AbortSignal.any([signal, silence.signal]) });
      if (!response.ok || !response.body) return;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE);
        const events = (rest + part.value).split("\n\n");
        rest = events.pop() ?? "";
        for (const event of events) {
          const data = /^data: (.*)$/m.exec(event)?.[1];
          if (!data) continue;
          heard();
          const frame = { conversation, ...JSON.parse(data) };
          this.tabs.postMessage({ frame });
          this.hear(frame);
        }
      }
    } catch {
      // It broke off: what follows begins with a snapshot.
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ask for what nothing is heard of. */
  async poll() {
    if (!this.open || this.asking) return;
    this.asking = true;
    for (const [conversation, followed] of [...this.followed]) {
      if (!this.silent.has(conversation) || followed.at < 0) continue;
      const snapshot = await this.ask(`follow:${conversation}`, "GET", `${this.path(conversation)}?turns=${followed.turns}`);
      if (snapshot) this.hear(snapshot);
    }
    this.asking = false;
  }
}

/**
 * What this tab knows, and what a person can do with it. Everything shown is drawn from here; everything that
 * happens comes back as a frame.
 *
 * @typedef {import("./fold.js").View} View
 * @typedef {import("./fold.js").Turn} Turn
 * @typedef {{state: "connecting" | "open" | "lost", reason: string, since: number}} Connection
 */
import { Refused, Unreadable, access, call } from "./api.js";
import { byteLength, emptyView, fold, open, prepend } from "./fold.js";
import { t } from "./i18n.js";
import { Sender } from "./outbox.js";

const PAGE = 50; // conversations asked for at a time
const TURNS = 30; // turns asked for at a time
const MANY = 200; // conversations asked for at a time by who searches them all
const MOST = 10_000;
const UNKNOWN = "conversation_not_found";

/** Of a conversation that expired nothing is left: nobody can tell whether there was one. */
const unknown = () => t("There is no such conversation, or its time is over.");

export class Store {
  /** @param {import("./outbox.js").Outbox} outbox @param {() => void} drawn  called when something changed */
  constructor(outbox, drawn) {
    this.outbox = outbox;
    this.sender = new Sender(this, outbox);
    this.drawn = drawn;
    /** @type {import("./socket.js").Transport} */
    this.socket = /** @type {any} */ (null);
    /** @type {any[]} */
    this.list = [];
    this.listed = false;
    /** Conversations behind those of the list, once they were asked for. @type {any[]} */
    this.rest = [];
    this.completing = false;
    this.more = false;
    this.pages = 1;
    this.asking = false;
    this.again = false;
    this.id = "";
    /** What the next new conversation's replies are made with. @type {Record<string, any>} */
    this.prepared = {};
    /** @type {Map<string, View>} */
    this.views = new Map();
    /** Views whose frames are ignored until a snapshot comes. @type {Set<string>} */
    this.stale = new Set();
    /** Conversations that do not exist (any more), and why. @type {Map<string, string>} */
    this.missing = new Map();
    /** @type {Set<string>} */
    this.unread = new Set();
    /** Turns that were told to stop, and their conversations. @type {Map<string, string>} */
    this.stopping = new Map();
    /** @type {Connection} */
    this.connection = { state: "connecting", reason: "", since: Date.now() };
    /** @type {any} */
    this.models = null;
    this.learning = false;
    this.locked = false;
    /** Whether there was a session, or a key, that counts no more. */
    this.expired = false;
    this.alert = "";
    /** The link this page reads through; empty: it is its owner's. */
    this.link = "";
    /** The turn that a frame last told the end of, until a screen reader is told. */
    this.finished = "";
    /** How many look at each conversation. @type {Map<string, number>} */
    this.watching = new Map();
    /** @type {(draft: string) => void} */
    this.onbegun = () => {};
    /** @type {(draft: string, id: string) => void} */
    this.onmade = () => {};
    this.tabs = new BroadcastChannel("parley");
    this.tabs.onmessage = () => this.refresh();
  }

  /** By how many bytes a text is longer than a message may be; 0: it is not. @param {string} text */
  excess(text) {
    const most = this.models?.limits?.message_bytes ?? Infinity;
    return text.length * 3 <= most ? 0 : Math.max(0, byteLength(text) - most);
  }

  /** What is open, if it is a conversation that exists. */
  get view() {
    return this.views.get(this.id);
  }

  /** Whether a conversation has turns that have not ended. @param {any} listed */
  busy(listed) {
    const view = this.views.get(listed.id);
    return view?.known && this.follows(listed.id) ? open(view).length > 0 : listed.status !== "idle";
  }

  /** What a conversation is called. @param {any} listed */
  title(listed) {
    const view = this.views.get(listed.id);
    return (view?.known ? view.about.title : listed.title) || t("Untitled");
  }

  // Connection

  opening() {
    return access.get() && !this.link ? [{ type: "auth", token: access.get() }] : [];
  }

  opened() {
    const first = this.connection.state === "connecting";
    this.connection = { state: "open", reason: "", since: Date.now() };
    this.stale.clear();
    for (const view of this.views.values()) if (this.follows(view.id)) this.follow(view);
    for (const [turn, conversation] of this.stopping) this.cancel(conversation, turn);
    this.sender.again();
    if (!first || !(this.asking || this.listed)) this.refresh(); // the page asks as it begins
    if (!this.models) this.learn();
    this.drawn();
  }

  /** @param {string} reason @param {number} code  of the close frame */
  lost(reason, code) {
    if (code === 1009 || code === 4413) this.sender.unnamed(t("The message is too long."));
    if (code === 4400) this.sender.unnamed(t("The server did not understand this message."));
    const since = this.connection.state === "open" ? Date.now() : this.connection.since;
    this.connection = { state: this.connection.state === "connecting" ? "connecting" : "lost", reason, since };
    this.drawn();
  }

  /** The server wants to know who speaks, or does not believe it. */
  refused(code = 0) {
    if (this.link) {
      if (code === 4404) this.unshared();
      return;
    }
    if (this.locked) return; // it is asked for already
    this.expired = access.get() !== "";
    access.set("");
    this.locked = true;
    this.drawn();
  }

  /** @param {string} key */
  unlock(key) {
    access.set(key);
    this.locked = false;
    this.socket.leave("restart");
    this.refresh();
    this.learn();
  }

  /** Whether frames of a conversation are to be sent to us: it is open, or a reply of it runs. @param {string} id */
  follows(id) {
    if (id === this.id) return true;
    const view = this.views.get(id);
    return Boolean(view?.known && open(view).length);
  }

  /** @param {View} view */
  follow(view) {
    const frame = { type: "follow", id: `follow:${view.id}`, conversation: view.id, turns: TURNS, presence: view.id === this.id };
    if (view.known && !this.stale.has(view.id)) Object.assign(frame, { after: view.cursor });
    this.socket.send(frame);
  }

  // Frames

  /** @param {any} frame */
  frame(frame) {
    switch (frame.type) {
      case "ping": case "pong": case "following": case "authenticated": return;
      case "presence": this.watching.set(frame.conversation, frame.watching); break;
      case "unshared": this.unshared(); break;
      case "receipt": this.sender.receipt(frame); break;
      case "cancelled": this.stopping.delete(frame.turn); break;
      case "error": this.failed(frame); break;
      default: this.entry(frame);
    }
    this.drawn();
  }

  /** @param {any} frame */
  entry(frame) {
    const view = this.views.get(frame.conversation);
    if (!view) return;
    if (frame.type === "snapshot") this.stale.delete(view.id);
    else if (this.stale.has(view.id)) return;
    if (!fold(view, frame, Date.now())) {
      this.stale.add(view.id);
      this.follow(view);
      return;
    }
    if (frame.type === "queued") this.sender.claim(view, frame.turn);
    if (frame.type === "snapshot") for (const id of view.order.slice(-3)) this.sender.claim(view, id);
    if (frame.type === "end") this.ended(view, frame.turn);
    if (frame.type === "changed") this.refresh();
    if (frame.type === "deleted") this.gone(view.id);
  }

  /** @param {View} view @param {string} turn */
  ended(view, turn) {
    this.stopping.delete(turn);
    if (view.id === this.id) this.finished = turn;
    if (view.id !== this.id && !open(view).length) {
      this.unread.add(view.id);
      this.socket.send({ type: "unfollow", conversation: view.id });
    }
    this.refresh();
  }

  /** @param {any} frame */
  failed(frame) {
    const [verb, ...rest] = String(frame.id ?? "").split(":");
    const name = rest.join(":");
    if (verb === "say") this.sender.unsaid(name, frame.error, frame.retry_after);
    else if (verb === "follow") this.missing.set(name, frame.error.code === UNKNOWN ? unknown() : frame.error.message);
    else if (verb === "cancel") this.stopping.delete(name);
    else this.sender.unnamed(frame.error.message);
  }

  /** The link this page reads through leads nowhere any more: nothing of what it showed stays. */
  unshared() {
    this.views.clear();
    this.watching.clear();
    this.missing.set(this.id, t("This link does not lead anywhere, or no longer."));
    this.drawn();
  }

  /** Stop the reply in progress of what is open; false: there is none. */
  stop() {
    const turn = !this.link && this.view && open(this.view)[0];
    if (turn) this.cancel(this.id, turn.id);
    return Boolean(turn);
  }

  /** Stop a turn, or withdraw it while it waits. @param {string} conversation @param {string} turn */
  cancel(conversation, turn) {
    this.stopping.set(turn, conversation);
    this.socket.send({ type: "cancel", id: `cancel:${turn}`, conversation, turn });
    this.drawn();
  }

  // Conversations

  /** Show a conversation; the empty id is a new one. @param {string} id */
  show(id) {
    if (id === this.id) return;
    const before = this.id;
    this.id = id;
    this.unread.delete(id);
    this.alert = "";
    this.watching.delete(before);
    if (before.startsWith("conv_")) {
      const left = this.views.get(before);
      if (left && this.follows(before)) this.follow(left); // on, but nobody looks
      else this.socket.send({ type: "unfollow", conversation: before });
    }
    if (id.startsWith("conv_") && id.length <= 50) {
      const known = this.views.get(id) ?? emptyView(id);
      this.missing.delete(id);
      this.views.set(id, known);
      this.follow(known);
    } else if (id && !id.startsWith("new-")) {
      this.missing.set(id, unknown());
    }
    this.drawn();
  }

  /** @param {any} fields */
  async change(fields) {
    const view = this.view;
    if (!view) return;
    view.about = { ...view.about, ...fields };
    this.drawn();
    await this.attempt(() => call("PATCH", `/conversations/${view.id}`, fields));
    this.told();
  }

  /** @param {string} id */
  gone(id) {
    this.list = this.list.filter((listed) => listed.id !== id);
    this.rest = this.rest.filter((listed) => listed.id !== id);
    this.views.delete(id);
    for (const item of this.outbox.of(id)) this.outbox.remove(item.key);
    if (this.id === id) this.missing.set(id, t("This conversation was deleted."));
    this.drawn();
  }

  /** Turns before those that are there; false: they did not come. */
  async earlier() {
    const view = this.view;
    if (!view?.first) return false;
    const there = await this.attempt(async () => prepend(view, await call("GET", `${this.path(view.id)}/turns?limit=${TURNS}&before=${view.first}`)));
    this.drawn();
    return there;
  }

  /** Where the API tells of a conversation. @param {string} id */
  path(id) {
    return this.link ? `/shared/${this.link}` : `/conversations/${id}`;
  }

  /** Learn what only the server knows of a turn that has ended. @param {Turn} turn */
  async look(turn) {
    if (this.link) return;
    try {
      const told = await call("GET", `${this.path(this.id)}/turns/${turn.id}`);
      if (!told.ended_at) return;
      const { takeovers = [], attempts, started_at: startedAt, ended_at: endedAt } = told;
      Object.assign(turn, { takeovers, attempts, startedAt, endedAt, version: turn.version + 1 });
      this.drawn();
    } catch {
      // What is known here is shown.
    }
  }

  /** Ask for the list; once more if it may have changed while it was asked for. */
  async refresh() {
    if (this.asking) {
      this.again = true;
      return;
    }
    this.asking = true;
    do {
      this.again = false;
      await this.ask();
    } while (this.again);
    this.asking = false;
  }

  async ask() {
    if (this.locked || this.link) return;
    const pages = this.pages;
    const key = access.get();
    try {
      const found = [];
      let more = true;
      for (let page = 0; page < pages && more; page += 1) {
        const answer = await call("GET", `/conversations?limit=${PAGE}&offset=${page * PAGE}`);
        found.push(...answer.data);
        more = answer.has_more;
      }
      this.list = found;
      this.more = more;
      this.listed = true;
    } catch (error) {
      // What was answered to another key, before this one was given, says nothing.
      if (error instanceof Refused && error.status === 401 && key === access.get()) this.refused();
      // Anything else passes: the list is asked for again soon.
    }
    this.drawn();
  }

  /** Ask for the conversations behind the list, for who searches. */
  async complete() {
    if (this.completing || !this.more) return;
    this.completing = true;
    await this.attempt(async () => {
      const found = [];
      for (let more = true, offset = this.list.length; more && found.length < MOST; offset += MANY) {
        const answer = await call("GET", `/conversations?limit=${MANY}&offset=${offset}`);
        found.push(...answer.data);
        more = answer.has_more;
      }
      this.rest = found;
    }, t("Not all conversations can be searched: the server is out of reach."));
    this.completing = false;
    this.drawn();
  }

  /** Ask for the models there are. */
  async learn() {
    if (this.link || this.learning) return;
    this.learning = true;
    try {
      this.models = await call("GET", "/models");
    } catch {
      // Without it there is no picker; it is asked for again with the next connection.
    }
    this.learning = false;
    this.drawn();
  }

  /** Our list changed: so did that of the other tabs. */
  told() {
    this.tabs.postMessage("list");
    this.refresh();
  }

  /** @param {() => Promise<any>} act @param {string} [unheard]  what to say when nobody answered */
  async attempt(act, unheard = t("The server is out of reach. Nothing was changed.")) {
    try {
      await act();
      return true;
    } catch (error) {
      this.alert = error instanceof Refused || error instanceof Unreadable ? error.message : unheard;
      this.drawn();
      return false;
    }
  }
}

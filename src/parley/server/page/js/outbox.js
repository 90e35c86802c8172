/**
 * Messages on their way: each is kept, across reloads, until the server's receipt says it will be answered. Sent
 * again with the same key it is the same message, so sending once more is always right.
 *
 * A receipt of `memory` stands on no disk yet: a power cut can take it back. The message is held, and sent again when
 * the disk should have it; it is let go when the server knows it still.
 *
 * A conversation that is not made yet has a name of its own, `new-…`, which is also the key it is made with.
 *
 * @typedef {import("./fold.js").View} View
 * @typedef {import("./fold.js").Turn} Turn
 * @typedef {{
 *   key: string, conversation: string, about: Record<string, any>, body: Record<string, any>, text: string,
 *   state: "waiting" | "sent" | "held" | "refused", turn: string, since?: number,
 *   error?: {code: string, message: string}, due?: number
 * }} Item  `turn`: the turn that is taken for it until the receipt tells; `since`: when a receipt first told of it;
 *   `error`: why it was not accepted, and `due` when that passes, unix milliseconds
 */
import { Refused, call, randomKey } from "./api.js";
import { again, below, emptyView, follows, open, said } from "./fold.js";
import { t } from "./i18n.js";

const PLACE = "parley.outbox";
const SPENT = "insufficient_quota"; // nothing that passes soon
const PASSING = new Set(["rate_limit_error", "service_unavailable", "server_error"]);
/** How long until a disk has what only memory had, in milliseconds: Redis writes once a second. */
const SETTLED = 3000;

export class Outbox {
  /** @param {Pick<Storage, "getItem" | "setItem">} storage */
  constructor(storage) {
    this.storage = storage;
    /** @type {Item[]} */
    this.items = [];
    try {
      this.items = JSON.parse(storage.getItem(PLACE) || "[]");
    } catch {
      // What another version wrote is not ours to send.
    }
    this.again();
  }

  /** @param {Omit<Item, "state" | "turn">} item */
  add(item) {
    this.items.push({ ...item, state: "waiting", turn: "" });
    this.save();
  }

  /** @param {string} conversation */
  of(conversation) {
    return this.items.filter((item) => item.conversation === conversation);
  }

  /** The message to send next in each conversation: the first that has no receipt, unless it is on its way. */
  next() {
    /** @type {Map<string, Item>} */
    const first = new Map();
    for (const item of this.items) {
      if (item.state !== "refused" && item.state !== "held" && !first.has(item.conversation)) first.set(item.conversation, item);
    }
    return [...first.values()].filter((item) => item.state === "waiting");
  }

  /** After a new connection nothing is on its way any more, and what is held may be gone. */
  again() {
    for (const item of this.items) if (item.state !== "refused") item.state = "waiting";
  }

  /**
   * A message has its receipt. Returns after how many milliseconds it is to be sent once more; 0: never, it is let go.
   * @param {string} key @param {{turn: string, durability: string, replayed: boolean}} receipt @param {number} now
   */
  accepted(key, receipt, now) {
    const item = this.find(key);
    if (!item) return 0;
    if (!receipt.replayed || !item.since) item.since = now;
    const left = receipt.durability === "memory" ? item.since + SETTLED - now : 0;
    if (left <= 0) {
      this.remove(key);
      return 0;
    }
    Object.assign(item, { state: "held", turn: receipt.turn });
    this.save();
    return left;
  }

  /** Send it once more. @param {string} key */
  confirm(key) {
    const item = this.find(key);
    if (item?.state === "held") item.state = "waiting";
  }

  /** A conversation was made: its messages can go. @param {string} draft @param {string} conversation */
  made(draft, conversation) {
    for (const item of this.of(draft)) item.conversation = conversation;
    this.save();
  }

  /** @param {string} key */
  find(key) {
    return this.items.find((item) => item.key === key);
  }

  /** @param {string} key */
  remove(key) {
    this.items = this.items.filter((item) => item.key !== key);
    this.save();
  }

  /** @param {string} key @param {{code: string, message: string}} error @param {number} [due]  when it passes */
  refuse(key, { code, message }, due) {
    const item = this.find(key);
    if (!item) return;
    Object.assign(item, { state: "refused", error: { code, message }, due });
    this.save();
  }

  save() {
    try {
      this.storage.setItem(PLACE, JSON.stringify(this.items));
    } catch {
      // A full storage costs the safety over a reload, not the message.
    }
  }
}

/** A title for what begins with this message. @param {string} text */
function titleOf(text) {
  const line = [...text.trim().split("\n")[0].trim()];
  if (line.length <= 60) return line.join("");
  const cut = line.slice(0, 60).join("");
  return `${cut.slice(0, cut.lastIndexOf(" ") > 30 ? cut.lastIndexOf(" ") : cut.length)}…`;
}

/** Sends what is on its way as soon as it can be, and hears what became of it. */
export class Sender {
  /** @param {import("./store.js").Store} store @param {Outbox} outbox */
  constructor(store, outbox) {
    this.store = store;
    this.outbox = outbox;
  }

  /** After a new connection. */
  again() {
    this.outbox.again();
    this.pump();
  }

  /**
   * Say something in what is open. With `parent` it is said again from there: a fork.
   * @param {string} text @param {Record<string, any>} about  of a conversation that begins with it
   * @param {string} [parent] @param {Turn["input"]} [input]  messages, when it is not one text
   */
  say(text, about, parent, input) {
    const { store, outbox } = this;
    text = text.replaceAll("\0", "").toWellFormed(); // what cannot be stored
    const view = store.view;
    const after = parent ?? (view?.known ? follows(view) : undefined);
    /** @type {Record<string, any>} */
    const body = { input: input ?? text };
    if (after !== undefined) body.parent = after;
    const begins = !store.id;
    if (begins) store.id = `new-${randomKey()}`;
    about = { ...store.prepared, ...about, title: titleOf(text) };
    outbox.add({ key: randomKey(), conversation: store.id, about, body, text });
    if (begins) {
      store.prepared = {};
      store.onbegun(store.id);
    }
    this.pump();
    store.drawn();
  }

  /** Send what can be sent. */
  pump() {
    const { store, outbox } = this;
    for (const item of outbox.next()) {
      if (item.conversation.startsWith("new-")) {
        if (store.connection.state === "open") this.create(item);
      } else if (store.socket.send({ type: "say", id: `say:${item.key}`, conversation: item.conversation, key: item.key, ...item.body })) {
        Object.assign(item, { state: "sent", error: undefined });
      }
    }
  }

  /** @param {Item} item */
  async create(item) {
    const { store, outbox } = this;
    item.state = "sent";
    const draft = item.conversation;
    try {
      const about = await call("POST", "/conversations", item.about, draft);
      item.state = "waiting";
      outbox.made(draft, about.id);
      store.views.set(about.id, emptyView(about.id));
      if (store.id === draft) store.id = about.id;
      store.follow(/** @type {View} */ (store.views.get(about.id)));
      store.onmade(draft, about.id);
      this.pump();
      store.told();
    } catch (error) {
      if (error instanceof Refused && error.status === 401) store.refused();
      else if (error instanceof Refused && !error.passing) outbox.refuse(item.key, error);
      else setTimeout(() => this.pump(), 1000 + 1000 * Math.random());
      if (item.state === "sent") item.state = "waiting";
    }
    store.drawn();
  }

  /**
   * Say a turn's message again, beside it; what is being replied to it, or behind it, is stopped.
   * @param {Turn} turn @param {string} [text]  another one
   */
  retry(turn, text) {
    const { store } = this;
    const input = again(turn, text);
    if (!input) {
      store.alert = t("This message belongs to a program's function calls. Only that program can say it again.");
      store.drawn();
      return;
    }
    const view = store.view;
    const running = view && open(view)[0];
    if (running && below(view, turn, running)) store.cancel(view.id, running.id);
    this.say(text ?? said(turn), {}, turn.parent, input);
  }

  /** A turn that says what a message on its way says is taken for it; the receipt settles it. @param {View} view @param {string} id */
  claim(view, id) {
    const { outbox } = this;
    const turn = /** @type {Turn} */ (view.turns.get(id));
    const own = outbox.of(view.id);
    const item = own.find((each) => each.state === "sent" && !each.turn && each.text === said(turn));
    if (item && !own.some((each) => each.turn === id)) item.turn = id;
  }

  /** @param {any} frame */
  receipt(frame) {
    const { store, outbox } = this;
    const key = String(frame.id).replace(/^say:/, "");
    const left = outbox.accepted(key, frame, Date.now());
    if (left) {
      setTimeout(() => {
        outbox.confirm(key);
        this.pump();
      }, left);
    }
    this.pump();
    store.told();
  }

  /** A message was not accepted: try again if that may help. @param {string} key @param {any} error @param {number} [after]  seconds */
  unsaid(key, error, after) {
    const { outbox } = this;
    const item = outbox.find(key);
    if (!item) return;
    const due = after && Date.now() + 1000 * after;
    if (PASSING.has(error.type) && error.code !== SPENT) {
      Object.assign(item, { error, due });
      setTimeout(() => {
        item.state = "waiting";
        this.pump();
      }, 1000 * ((after || 2) + Math.random()));
    } else {
      outbox.refuse(key, error, due);
      this.pump();
    }
  }

  /** Something we sent was too bad to be told by its name: a message under way, if there is one. @param {string} reason */
  unnamed(reason) {
    const { store, outbox } = this;
    const sent = outbox.items.filter((item) => item.state === "sent");
    for (const item of sent) outbox.refuse(item.key, { code: "", message: reason });
    if (!sent.length) store.alert = reason;
  }
}

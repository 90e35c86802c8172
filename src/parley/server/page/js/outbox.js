/**
 * Messages on their way: each is kept, across reloads, until the server's receipt says it will be answered. Sent
 * again with the same key it is the same message, so sending once more is always right.
 *
 * A conversation that is not made yet has a name of its own, `new-…`, which is also the key it is made with.
 *
 * @typedef {{
 *   key: string, conversation: string, about: Record<string, any>, body: Record<string, any>, text: string,
 *   state: "waiting" | "sent" | "refused", reason: string, turn: string
 * }} Item  `turn`: the turn that is taken for it until the receipt tells
 */

const PLACE = "parley.outbox";

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

  /** @param {Omit<Item, "state" | "reason" | "turn">} item */
  add(item) {
    this.items.push({ ...item, state: "waiting", reason: "", turn: "" });
    this.save();
  }

  /** @param {string} conversation */
  of(conversation) {
    return this.items.filter((item) => item.conversation === conversation);
  }

  /** The message to send next in each conversation: the first, unless it is on its way. */
  next() {
    /** @type {Map<string, Item>} */
    const first = new Map();
    for (const item of this.items) {
      if (item.state !== "refused" && !first.has(item.conversation)) first.set(item.conversation, item);
    }
    return [...first.values()].filter((item) => item.state === "waiting");
  }

  /** After a new connection nothing is on its way any more. */
  again() {
    for (const item of this.items) if (item.state === "sent") item.state = "waiting";
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

  /** @param {string} key @param {string} reason */
  refuse(key, reason) {
    const item = this.find(key);
    if (!item) return;
    item.state = "refused";
    item.reason = reason;
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

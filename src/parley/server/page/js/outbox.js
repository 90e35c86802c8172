/**
 * Messages on their way: each is kept, across reloads, until the server's receipt says it will be answered. Sent
 * again with the same key it is the same message, so sending once more is always right.
 *
 * A receipt of `memory` stands on no disk yet: a power cut can take it back. The message is held, and sent again when
 * the disk should have it; it is let go when the server knows it still.
 *
 * A conversation that is not made yet has a name of its own, `new-…`, which is also the key it is made with.
 *
 * @typedef {{
 *   key: string, conversation: string, about: Record<string, any>, body: Record<string, any>, text: string,
 *   state: "waiting" | "sent" | "held" | "refused", reason: string, turn: string,
 *   since?: number
 * }} Item  `turn`: the turn that is taken for it until the receipt tells; `since`: when a receipt first told of it
 */

const PLACE = "parley.outbox";
/** How long until a disk has what only memory had, in milliseconds: Redis writes once a second. */
export const SETTLED = 3000;

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

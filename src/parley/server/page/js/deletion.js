/**
 * Deleting with a way back. What is deleted goes off the list at once, and for good a little later, when it can no
 * longer be taken back: then, or when the page is closed before. It is kept in the browser what is to be deleted until
 * the server has done it, so that neither a closed tab nor a lost server forgets it.
 */
import { Refused, call } from "./api.js";
import { toast } from "./dom.js";
import { t } from "./i18n.js";
import { DELETING, due } from "./sidebar.js";

/** @typedef {import("./store.js").Store} Store */

const UNDO = 10_000; // milliseconds in which it can be taken back
const LATE = 5_000; // after which another tab does it
const AGAIN = 5_000;

export class Deletion {
  /** @param {Store} store @param {(id: string) => void} go  open a conversation, or a new one */
  constructor(store, go) {
    this.store = store;
    this.go = go;
    /** Those this tab can take back: a timer and the note that says so. @type {Map<string, {timer: any, hide: () => void}>} */
    this.own = new Map();
    addEventListener("pagehide", () => this.leave());
    setInterval(() => this.resume(), AGAIN);
    this.resume();
  }

  /** @param {Record<string, number>} wanted  when each is due */
  keep(wanted) {
    if (Object.keys(wanted).length) localStorage.setItem(DELETING, JSON.stringify(wanted));
    else localStorage.removeItem(DELETING);
    this.store.drawn();
  }

  /** @param {any} listed */
  begin(listed) {
    const { id } = listed;
    const open = this.store.id === id;
    this.keep({ ...due(), [id]: Date.now() + UNDO });
    if (open) this.go("");
    const hide = toast(t("Deleted “{title}”.", { title: this.store.title(listed) }), t("Undo"), () => {
      this.undo(id);
      if (open) this.go(id);
    });
    this.own.set(id, { timer: setTimeout(() => this.finish(id), UNDO), hide });
  }

  /** @param {string} id */
  undo(id) {
    this.settle(id);
    const { [id]: _, ...others } = due();
    this.keep(others);
  }

  /** It cannot be taken back here any more. @param {string} id */
  settle(id) {
    const mine = this.own.get(id);
    clearTimeout(mine?.timer);
    mine?.hide();
    this.own.delete(id);
  }

  /** Delete it for good. @param {string} id @param {boolean} [leaving]  the page goes away meanwhile */
  async finish(id, leaving = false) {
    this.settle(id);
    try {
      await call("DELETE", `/conversations/${id}`, undefined, undefined, leaving);
    } catch (error) {
      if (!(error instanceof Refused) || error.passing || error.status === 401) return; // it stays due
    }
    const { [id]: _, ...others } = due();
    this.keep(others);
    this.store.gone(id);
    this.store.told();
  }

  /** The page goes away, and the way back with it. */
  leave() {
    for (const id of [...this.own.keys()]) this.finish(id, true);
  }

  /** Do what is due and not done: here, or by a tab that is gone. */
  resume() {
    for (const [id, at] of Object.entries(due())) if (!this.own.has(id) && Date.now() > at + LATE) this.finish(id);
  }
}

/** Which way to the server: a WebSocket, or, where none gets through, events and requests over HTTP. */
import { BASE, socketUrl } from "./address.js";
import { Socket } from "./socket.js";
import { Source } from "./source.js";

const PLACE = "parley.transport";
const TRIES = 3; // that fail while the server answers over HTTP

export class Transport {
  /** @param {import("./store.js").Store} store @param {ConstructorParameters<typeof Socket>[1]} handlers @param {() => void} changed  called when the way is another one */
  constructor(store, handlers, changed) {
    this.store = store;
    this.handlers = handlers;
    this.changed = changed;
    this.failures = 0;
    this.way = sessionStorage.getItem(PLACE) ? this.source() : new Socket(socketUrl(store.link), { ...handlers, unopened: () => this.unopened() });
  }

  source() {
    return new Source((id) => this.store.path(id), this.handlers, this.store.link || "own");
  }

  now() {
    return this.way.now();
  }

  /** Whether nothing streams from a conversation, so that it is asked for now and then. @param {string} conversation */
  asks(conversation) {
    return this.way instanceof Source && this.way.asks(conversation);
  }

  /** @param {object} frame */
  send(frame) {
    return this.way.send(frame);
  }

  /** @param {string} reason @param {number} [wait] */
  leave(reason, wait) {
    this.way.leave(reason, wait);
  }

  /** A socket did not come to be: is it the server, or something between? */
  async unopened() {
    try {
      const answer = await fetch(`${BASE}healthz`, { cache: "no-store", signal: AbortSignal.timeout(10_000) });
      this.failures = answer.ok ? this.failures + 1 : 0;
    } catch {
      this.failures = 0;
    }
    if (this.failures < TRIES || !(this.way instanceof Socket)) return;
    this.way.stop();
    sessionStorage.setItem(PLACE, "events");
    this.way = this.source();
    this.way.now();
    this.changed();
  }
}

/** The way to the server: one WebSocket that comes back, and what stands in for it where none gets through. */
import { BASE, socketUrl } from "./api.js";

const PLACE = "parley.transport";
const TRIES = 3; // that fail while the server answers over HTTP

const SHORTEST = 200;
const LONGEST = 10_000;
const ASK = 15_000; // silence after which we ask whether the server is there
const GIVE_UP = 30_000;
const OPENING = 10_000;

/** Close codes behind which coming back by oneself is no use: who speaks has to change. */
const REFUSED = new Set([4401, 4403, 4404]);

/** How long to wait before an attempt, in milliseconds. @param {number} attempt  from 0 @param {number} random  in [0, 1) */
export function backoff(attempt, random) {
  const most = Math.min(LONGEST, SHORTEST * 2 ** Math.min(attempt + 1, 20));
  return SHORTEST / 4 + random * (most - SHORTEST / 4); // spread from the first attempt on: all clients lose a server at once
}

/** It comes back with full jitter between its attempts, and is never silent for longer than 30 s. */
export class Socket {
  /**
   * @param {string} url
   * @param {{opening: () => object[], opened: () => void, frame: (frame: any) => void,
   *          lost: (reason: string, code: number) => void, refused: (code: number) => void, unopened?: () => void}} handlers
   *   `opening`: what to say first; `unopened`: called for each attempt that fails before there ever was a connection
   */
  constructor(url, handlers) {
    this.url = url;
    this.handlers = handlers;
    /** @type {WebSocket | null} */
    this.link = null;
    this.open = false;
    this.attempt = 0;
    this.heard = 0;
    this.opened = false; // ever
    this.stopped = false;
    /** @type {number | undefined} */
    this.timer = undefined;
    setInterval(() => this.watch(), 1000);
    addEventListener("online", () => this.now());
    // The socket itself would notice half a minute later. Where the server can be reached all the same it is back at once.
    addEventListener("offline", () => this.link && this.leave("offline"));
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.open && performance.now() - this.heard > ASK) this.send({ type: "ping" });
      if (!document.hidden && !this.open) this.now();
    });
  }

  /** Connect at once, unless connected or under way. */
  now() {
    if (this.link || this.stopped) return;
    clearTimeout(this.timer);
    this.heard = performance.now();
    const link = new WebSocket(this.url);
    this.link = link;
    link.onopen = () => {
      this.open = this.opened = true;
      this.heard = performance.now();
      for (const frame of this.handlers.opening()) this.send(frame);
      this.handlers.opened();
    };
    link.onmessage = (event) => {
      this.heard = performance.now();
      this.attempt = 0;
      const frame = JSON.parse(event.data);
      if (frame.type === "bye") this.leave("restart", Math.min(frame.retry_ms ?? SHORTEST, LONGEST));
      else this.handlers.frame(frame);
    };
    link.onclose = (event) => {
      if (this.link === link) this.gone(event.code, event.code === 1012 ? "restart" : "lost");
    };
  }

  /** Send a frame; false: not connected, come again when `opened` is called. @param {object} frame */
  send(frame) {
    if (!this.open || !this.link) return false;
    this.link.send(JSON.stringify(frame));
    return true;
  }

  /** Close, and come back after so many milliseconds and a little. @param {string} reason @param {number} [wait] */
  leave(reason, wait) {
    const link = this.link;
    this.gone(0, reason, wait);
    link?.close();
  }

  /** Do not come back. */
  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.link?.close();
  }

  /** @param {number} code @param {string} reason @param {number} [wait] */
  gone(code, reason, wait = 0) {
    this.link = null;
    this.open = false;
    if (REFUSED.has(code)) {
      this.handlers.refused(code);
      return;
    }
    if (this.stopped) return;
    this.handlers.lost(reason, code);
    if (!this.opened) this.handlers.unopened?.();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.now(), wait + backoff(this.attempt, Math.random()));
    this.attempt += 1;
  }

  watch() {
    if (!this.link) return;
    const silence = performance.now() - this.heard;
    if (silence > (this.open ? GIVE_UP : OPENING)) this.leave("silent");
    else if (this.open && silence > ASK && silence <= ASK + 1000) this.send({ type: "ping" });
  }
}

/** Which way to the server: a WebSocket, or, where none gets through, events and requests over HTTP (js/source.js). */
export class Transport {
  /** @param {import("./store.js").Store} store @param {ConstructorParameters<typeof Socket>[1]} handlers @param {() => void} changed  called when the way is another one */
  constructor(store, handlers, changed) {
    this.store = store;
    this.handlers = handlers;
    this.changed = changed;
    this.failures = 0;
    /** @type {Socket | import("./source.js").Source} */
    this.way = new Socket(socketUrl(store.link), { ...handlers, unopened: () => this.unopened() });
  }

  now() {
    if (this.way instanceof Socket && sessionStorage.getItem(PLACE)) this.detour();
    else this.way.now();
  }

  /** Whether nothing streams from a conversation, so that it is asked for now and then. @param {string} conversation */
  asks(conversation) {
    return !(this.way instanceof Socket) && this.way.asks(conversation);
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
    sessionStorage.setItem(PLACE, "events");
    if (await this.detour()) this.changed();
  }

  /** Go on without a socket; false: that could not be fetched, or is under way. */
  async detour() {
    try {
      const { Source } = await import("./source.js");
      if (!(this.way instanceof Socket)) return false;
      this.way.stop();
      this.way = new Source((id) => this.store.path(id), this.handlers, this.store.link || "own");
      this.way.now();
      return true;
    } catch {
      if (this.way instanceof Socket) this.way.now(); // which fails, and leads here again
      return false;
    }
  }
}

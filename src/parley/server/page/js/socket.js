/** One WebSocket that comes back: full jitter between attempts, and never silent for longer than 30 s. */

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

/** The messages of what is open: its path through the tree, and what is on its way. */
import { addressOf } from "./api.js";
import { arrange, copy, find, icon, make, show, write } from "./dom.js";
import { choose, open, path, withdrawn } from "./fold.js";
import { span, t } from "./i18n.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./outbox.js").Item} Item */
/** @typedef {import("./turn.js").TurnBox} TurnBox */

/** What draws a turn, and with it Markdown: half of all scripts, fetched once there is a turn to draw, or about to be. @type {typeof import("./turn.js") | null} */
let turns = null;
const AGAIN = 2_000; // milliseconds until it is tried again
const AHEAD = 600; // pixels from the beginning where earlier messages are asked for
const NEAR = 48; // pixels from the end that still are the end

export class Thread {
  /** @param {Store} store @param {(text: string) => void} edit  put a text into the composer */
  constructor(store, edit) {
    this.store = store;
    this.edit = edit;
    this.id = "";
    this.element = find("thread");
    this.scroller = find("messages");
    this.follower = new Follower(this.scroller, this.element, find("end"), find("jump"));
    /** @type {Map<string, TurnBox>} */
    this.boxes = new Map();
    /** @type {Map<string, HTMLElement>} */
    this.sending = new Map();
    this.waiting = find("waiting");
    this.waits = "";
    this.more = make("button", { type: "button", class: "more", onclick: () => this.earlier(true) }, t("Show earlier messages"));
    this.refused = false;
    this.scroller.addEventListener("scroll", () => {
      if (!this.follower.stuck && !this.refused && this.more.isConnected && this.scroller.scrollTop < AHEAD) this.earlier();
    }, { passive: true });
    this.why = make("p");
    this.missing = make("div", { class: "missing" }, this.why, make("a", { href: addressOf(""), class: "writing" }, t("New conversation")));
    /** Counts down what a message waits for. @type {any} */
    this.clock = 0;
    this.loading = false;
    /** @type {import("./status.js").Status | null} */
    this.status = null;
    this.element.addEventListener("click", (/** @type {Event} */ event) => {
      const button = /** @type {HTMLElement} */ (event.target).closest(".copy-code");
      const code = button?.closest(".code")?.querySelector("code");
      if (button && code) copy(/** @type {HTMLElement} */ (button), code.textContent ?? "");
    });
    this.actions = {
      retry: (/** @type {import("./fold.js").Turn} */ turn, /** @type {string | undefined} */ text) => {
        store.sender.retry(turn, text);
        this.follower.end();
        this.rest();
      },
      choose: (/** @type {import("./fold.js").Turn} */ turn, /** @type {string} */ sibling) => {
        if (store.view) choose(store.view, turn, sibling);
        store.drawn();
      },
      look: (/** @type {import("./fold.js").Turn} */ turn) => store.look(turn),
      conversation: () => store.id,
    };
  }

  /** What draws a turn is wanted: all its parts at once, rather than each when another one names it. */
  async load() {
    if (turns || this.loading) return;
    this.loading = true;
    try {
      const [first, { Status }] = await Promise.all([import("./turn.js"), import("./status.js"), import("./markdown.js"),
        import("./inline.js"), import("./grammar.js"), import("./mend.js"), import("./paint.js"), import("./trouble.js"), import("../vendor/marked.js")]);
      turns = first;
      this.status = new Status(this.store);
      this.store.drawn();
    } catch {
      setTimeout(() => this.load(), AGAIN);
    }
    this.loading = false;
  }

  /** Where the focus goes when what had it goes away; on a phone the keyboard would cover the reply. */
  rest() {
    (matchMedia("(pointer: coarse)").matches ? this.scroller : find("message")).focus();
  }

  draw() {
    const { store } = this;
    if (store.id !== this.id) {
      // A new conversation that was just made stays as it is shown: only its name changed.
      this.id = store.id;
      this.boxes.clear();
      this.follower.end();
    }
    if (store.id) this.load();
    const view = store.view;
    const active = view ? open(view) : [];
    const behind = new Set(active.slice(1).map((turn) => turn.id));
    const children = [];
    const missing = store.missing.get(store.id);
    if (missing) {
      write(this.why, missing);
      children.push(this.missing);
    } else {
      if (view?.first) children.push(this.more);
      const items = store.outbox.of(store.id).filter((item) => !view?.turns.has(item.turn));
      for (const step of view && turns ? upTo(path(view), items) : []) {
        if (!behind.has(step.turn.id) && !withdrawn(step.turn)) children.push(this.box(step, active[0]?.id));
      }
      for (const item of items) children.push(this.item(item));
    }
    arrange(this.element, children);
    this.forget();
    this.queue(active.slice(1));
    this.status?.draw();
  }

  /** @param {import("./fold.js").Step} step @param {string | undefined} active */
  box({ turn, siblings }, active) {
    let box = this.boxes.get(turn.id);
    if (!box) {
      box = new (/** @type {typeof import("./turn.js")} */ (turns).TurnBox)(turn, this.actions);
      this.boxes.set(turn.id, box);
    }
    box.update(turn, siblings, this.store.stopping.has(turn.id), turn.id === active);
    return box.element;
  }

  /** A message without its receipt. @param {Item} item */
  item(item) {
    const left = item.error && item.due ? Math.max(1, Math.ceil((item.due - Date.now()) / 1000)) : 0;
    const spell = `${item.state} ${this.store.connection.state} ${item.error?.code} ${left} ${turns !== null}`;
    const known = this.sending.get(item.key);
    if (known?.dataset.spell === spell) return known;
    const element = make("div", { class: "turn sending", "data-spell": spell },
      make("article", { class: "said", "aria-label": t("You") }, make("div", { class: "pictures" }, ...(turns?.pictures(item.body.input) ?? [])),
        make("div", { class: "bubble", dir: "auto", hidden: !item.text }, item.text)));
    if (item.state === "refused") element.append(this.refusal(item));
    else if (this.store.connection.state !== "open") element.append(make("p", { class: "unsent" }, icon("wait"), t("Kept here, sent when the server is back")));
    else if (item.error) element.append(make("p", { class: "unsent" }, icon("wait"), `${reason(item)} ${again(left)}`));
    else element.append(make("article", { class: "reply", "aria-label": t("Reply"), "aria-busy": "true" }, make("p", { class: "pending" }, make("span", { class: "dots", "aria-hidden": "true" }))));
    if (left && item.state !== "refused") {
      this.clock ||= setTimeout(() => {
        this.clock = 0;
        this.store.drawn();
      }, 1000);
    }
    this.sending.set(item.key, element);
    return element;
  }

  /** @param {Item} item */
  refusal(item) {
    const discard = () => {
      this.store.outbox.remove(item.key);
      this.store.drawn();
    };
    const change = () => {
      discard();
      this.edit(item.text);
    };
    return make("div", { class: "failure", role: "alert" }, icon("alert"),
      make("div", {}, make("strong", {}, t("Not sent.")), make("p", {}, reason(item))),
      make("button", { type: "button", onclick: change }, icon("edit"), t("Edit")),
      make("button", { type: "button", onclick: discard }, icon("remove"), t("Discard")));
  }

  /** Drop what is not shown any more. */
  forget() {
    for (const [key] of this.sending) if (!this.store.outbox.find(key)) this.sending.delete(key);
    for (const [id] of this.boxes) if (!this.store.view?.turns.has(id)) this.boxes.delete(id);
  }

  /** The messages that wait behind the reply. @param {import("./fold.js").Turn[]} turns */
  queue(turns) {
    const { store } = this;
    const wanted = turns.map((turn) => `${turn.id}${store.stopping.has(turn.id)}`).join();
    show(this.waiting, turns.length);
    if (wanted === this.waits) return;
    this.waits = wanted;
    this.waiting.replaceChildren(...turns.map((turn) => {
      const text = turn.input.map((part) => part.content || (part.images?.length ? t("(an image)") : "")).join(" ");
      const withdraw = () => {
        store.cancel(store.id, turn.id);
        this.rest();
      };
      const change = () => {
        store.cancel(store.id, turn.id);
        this.edit(text);
      };
      const buttons = store.stopping.has(turn.id) ? [] : [
        make("button", { type: "button", class: "icon", "aria-label": t("Withdraw this message"), title: t("Withdraw"), onclick: withdraw }, icon("close")),
      ];
      // The composer takes a text; what a program showed or said with it would be lost there.
      const [part] = turn.input;
      if (buttons.length && turn.input.length === 1 && part.role === "user" && !part.images?.length) {
        buttons.unshift(make("button", { type: "button", class: "icon", "aria-label": t("Withdraw and edit"), title: t("Edit"), onclick: change }, icon("edit")));
      }
      return make("li", {}, icon("wait"), make("span", { dir: "auto", title: text }, text), ...buttons);
    }));
  }

  /** Show what was said before that; what is in sight stays where it is. @param {boolean} [leave]  the end, too */
  async earlier(leave = false) {
    if (this.more.disabled) return;
    const { scroller, follower, id } = this;
    if (leave) follower.stuck = false;
    this.more.disabled = true;
    this.refused = !await this.store.earlier();
    if (this.refused) setTimeout(() => (this.refused = false), AGAIN);
    this.more.disabled = false;
    if (id !== this.id) return;
    const first = this.more.nextElementSibling;
    const top = first?.getBoundingClientRect().top ?? 0;
    this.draw();
    if (first && !follower.stuck) scroller.scrollTop += first.getBoundingClientRect().top - top;
  }
}

/** Why a message was not accepted. @param {Item} item */
const reason = ({ error = { code: "", message: "" }, due }) => turns?.explain(error, due).means ?? error.message;

/** @param {number} seconds  0: not known */
const again = (seconds) => seconds ? t("It is sent again by itself in {time}.", { time: span(seconds) }) : t("It is sent again by itself.");

/** A path as far as the first fork that is on its way. @param {import("./fold.js").Step[]} steps @param {Item[]} items */
function upTo(steps, items) {
  const fork = items.find((item) => item.body.parent !== undefined);
  if (!fork) return steps;
  return steps.slice(0, steps.findIndex(({ turn }) => turn.id === fork.body.parent) + 1);
}

/**
 * Stay at the end while a reply grows, until the reader scrolls up; again once they come back.
 *
 * A sentinel below the thread tells whether its end is in sight; the size of the thread tells when it grew. Only a
 * movement upwards by the reader lets go, never the growth itself.
 */
class Follower {
  /** @param {HTMLElement} scroller @param {HTMLElement} content @param {HTMLElement} sentinel @param {HTMLElement} jump */
  constructor(scroller, content, sentinel, jump) {
    this.scroller = scroller;
    this.jump = jump;
    this.stuck = true;
    this.seen = true;
    this.top = 0;
    this.height = 0;
    new IntersectionObserver(
      ([entry]) => {
        this.seen = entry.isIntersecting;
        if (this.seen) this.stuck = true;
        this.tell();
      },
      { root: scroller, rootMargin: `0px 0px ${NEAR}px 0px` },
    ).observe(sentinel);
    const sizes = new ResizeObserver(() => this.keep());
    sizes.observe(content);
    sizes.observe(scroller);
    scroller.addEventListener("scroll", () => this.moved(), { passive: true });
    jump.addEventListener("click", () => this.end());
  }

  /** Go to the end and stay there. */
  end() {
    this.stuck = true;
    this.keep();
  }

  keep() {
    if (this.stuck) this.scroller.scrollTop = this.scroller.scrollHeight;
    this.tell();
  }

  moved() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    // The browser itself moves up when the content shrinks; that is nobody's wish. The sentinel tells too late here.
    const up = scrollTop < this.top - 2 && scrollHeight >= this.height;
    if (up && scrollHeight - scrollTop - clientHeight > NEAR) {
      this.stuck = false;
      this.seen = false;
    }
    this.top = scrollTop;
    this.height = scrollHeight;
    this.tell();
  }

  tell() {
    this.scroller.classList.toggle("stuck", this.stuck);
    show(this.jump, !this.stuck && !this.seen);
  }
}

/** One turn on the page: what was said, and the reply to it as it grows. */
import { Part, copy, icon, iconButton, make, patch, show, write } from "./dom.js";
import { ENDED, said, withdrawn } from "./fold.js";
import { number, span, t } from "./i18n.js";
import { Stream } from "./markdown.js";
import "./paint.js";
import { advice, explain } from "./trouble.js";

export { explain };

/** @typedef {import("./fold.js").Turn} Turn */
/** @typedef {import("./fold.js").Part} Said */
/** @typedef {{retry: (turn: Turn, text?: string) => void, choose: (turn: Turn, sibling: string) => void, look: (turn: Turn) => void, conversation: () => string}} Actions */

// What few ask for.
const editors = new Part(() => import("./edit.js"));
const stories = new Part(() => import("./story.js"));

const SHOWN = /^data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}$/i;

/** The images that were shown with a message: only what is in it, as nothing is ever fetched. @param {unknown} input  messages, or one text @returns {HTMLElement[]} */
export function pictures(input) {
  const parts = /** @type {Said[]} */ (Array.isArray(input) ? input : []);
  const images = parts.flatMap((part) => part.images ?? []);
  return images.map(({ url }, at) => {
    const name = images.length > 1 ? t("Image {at} of {all}", { at: at + 1, all: images.length }) : t("Image");
    return SHOWN.test(url) ? make("img", { src: url, alt: name, decoding: "async" }) : make("span", {}, t("{image} cannot be shown", { image: name }));
  });
}

/** @param {number} from @param {number} to  unix milliseconds; 0: not known */
export const between = (from, to) => (from && to ? Math.max(0, to - from) / 1000 : 0);

/** What a reply cost, in a few words. @param {Turn} turn */
function measure(turn) {
  const parts = [];
  if (turn.model) parts.push(turn.model);
  const tokens = turn.usage?.output_tokens;
  if (tokens) parts.push(t("{count} tokens", { count: tokens }));
  const seconds = between(turn.startedAt, turn.endedAt);
  if (seconds >= 0.05) parts.push(span(seconds));
  return parts.join(" · ");
}

/** Markdown that is shown while it grows. */
class Prose {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    this.stream = new Stream();
    /** @type {import("./inline.js").Node[]} */
    this.shown = [];
    this.text = "";
    this.live = false;
  }

  /** @param {string} text @param {boolean} live  more of it is to come */
  update(text, live) {
    if (text === this.text && live === this.live) return;
    this.text = text;
    this.live = live;
    const nodes = this.stream.update(text, live);
    patch(this.element, this.shown, nodes);
    this.shown = nodes;
  }
}

export class TurnBox {
  /** @param {Turn} turn @param {Actions} actions */
  constructor(turn, actions) {
    this.turn = turn;
    this.actions = actions;
    this.version = -1;
    this.spell = "";
    this.noted = "";
    this.text = make("div", { class: "bubble", dir: "auto" });
    this.branches = make("span", { class: "branches" });
    this.editing = iconButton("edit", t("Edit message"), null, "icon writing");
    editors.behind(this.editing, ({ Editor }) => this.edit(Editor));
    /** @type {import("./edit.js").Editor | null} */
    this.editor = null;
    this.copying = this.copier(() => said(this.turn), t("Copy message"));
    this.ask = make("article", { class: "said", "aria-label": t("You") }, make("div", { class: "pictures" }, ...pictures(turn.input)),
      this.text, make("div", { class: "tools" }, this.branches, this.editing, this.copying));
    this.summary = make("summary");
    this.thoughts = new Prose(make("div", { class: "prose", dir: "auto" }));
    this.reasoning = make("details", { class: "reasoning", hidden: true }, this.summary, this.thoughts.element);
    this.prose = new Prose(make("div", { class: "prose", dir: "auto" }));
    this.pending = make("p", { class: "pending", hidden: true }, make("span", { class: "dots", "aria-hidden": "true" }), make("span"));
    this.notes = make("ul", { class: "notes", hidden: true });
    this.failure = make("div", { class: "failure", hidden: true });
    this.meta = make("span", { class: "meta" });
    this.figures = make("dl", { class: "figures", hidden: true });
    this.story = make("ol", { class: "story" });
    this.asking = make("button", { type: "button", class: "writing", onclick: () => stories.use(({ curl }) => copy(this.asking, curl(this.turn, this.actions.conversation()))) }, icon("copy"), icon("done"), t("Copy as curl"));
    this.more = make("div", { class: "more-told", hidden: true }, this.story, this.asking);
    this.telling = iconButton("info", t("Tokens and timings"), null);
    stories.behind(this.telling, () => this.tell(this.figures.hidden));
    this.telling.setAttribute("aria-expanded", "false");
    this.tools = make("div", { class: "tools", hidden: true }, this.copier(() => this.turn.text, t("Copy reply")),
      iconButton("retry", t("Ask again"), () => this.actions.retry(this.turn), "icon writing"), this.telling, this.meta);
    this.answer = make("article", { class: "reply", "aria-label": t("Reply") }, make("h2", { class: "hidden" }, t("Reply")),
      this.reasoning, this.prose.element, this.pending, this.notes, this.failure, this.tools, this.figures, this.more);
    this.element = make("div", { class: "turn", "data-turn": turn.id }, this.ask, this.answer);
  }

  /** @param {() => string} text @param {string} label */
  copier(text, label) {
    const button = iconButton("copy", label, () => copy(button, text()));
    button.append(icon("done"));
    return button;
  }

  /** Write the message anew, in its place. @param {typeof import("./edit.js").Editor} Editor */
  edit(Editor) {
    if (this.editor) return;
    this.editor = new Editor(said(this.turn), (text) => this.actions.retry(this.turn, text), () => {
      this.editor?.element.remove();
      this.editor = null;
      this.ask.classList.remove("edited");
      this.editing.focus();
    });
    this.ask.classList.add("edited");
    this.ask.append(this.editor.element);
    this.editor.open();
  }

  /** @param {Turn} turn @param {string[]} siblings @param {boolean} stopping @param {boolean} active  next to be answered */
  update(turn, siblings, stopping, active) {
    const spell = `${siblings.join()} ${stopping} ${active}`;
    if (turn === this.turn && turn.version === this.version && spell === this.spell) return;
    this.turn = turn;
    this.version = turn.version;
    this.spell = spell;
    const ended = ENDED.has(turn.status);
    write(this.text, said(turn));
    show(this.text, said(turn));
    show(this.copying, said(turn));
    this.fork(siblings);
    this.prose.update(turn.text, !ended);
    this.think(ended);
    this.answer.setAttribute("aria-busy", String(!ended));
    this.element.dataset.status = turn.status;
    this.wait(ended, stopping);
    this.note(ended);
    this.fail();
    show(this.tools, ended && !this.lost());
    show(this.answer, !withdrawn(turn));
    write(this.meta, ended ? measure(turn) : "");
    if (!this.figures.hidden) this.tell(true, false);
  }

  /** Tokens, timings and what happened, or not, once that was fetched. @param {boolean} shown @param {boolean} [look]  ask the server, too */
  tell(shown, look = true) {
    if (!stories.here) return;
    const { figures, story } = stories.here;
    if (shown && look) this.actions.look(this.turn);
    show(this.figures, shown);
    show(this.more, shown);
    this.story.replaceChildren(...story(this.turn).map((line) => make("li", {}, line)));
    this.telling.setAttribute("aria-expanded", String(shown));
    this.figures.replaceChildren(...figures(this.turn).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  }

  /** Whether nothing but an error came of it. */
  lost() {
    return this.turn.status === "failed" && !this.turn.text;
  }

  /** @param {string[]} siblings */
  fork(siblings) {
    const at = siblings.indexOf(this.turn.id);
    const step = (/** @type {number} */ to) => this.actions.choose(this.turn, siblings[to]);
    if (siblings.length < 2) {
      this.branches.replaceChildren();
      return;
    }
    const back = iconButton("back", t("Version before"), () => step(at - 1));
    const next = iconButton("next", t("Version after"), () => step(at + 1));
    back.disabled = at === 0;
    next.disabled = at === siblings.length - 1;
    this.branches.replaceChildren(back, `${number(at + 1)}/${number(siblings.length)}`, next);
  }

  /** @param {boolean} ended */
  think(ended) {
    const { turn } = this;
    show(this.reasoning, turn.reasoning);
    if (!turn.reasoning) return;
    const thinking = !ended && !turn.text;
    write(this.summary, thinking ? t("Thinking") : t("Thoughts"));
    this.reasoning.classList.toggle("live", thinking);
    this.thoughts.update(turn.reasoning, thinking);
  }

  /** @param {boolean} ended @param {boolean} stopping */
  wait(ended, stopping) {
    const { turn } = this;
    show(this.pending, !ended && (!(turn.text || turn.reasoning) || turn.wait || stopping));
    write(this.pending.lastChild, stopping ? t("Stopping") : waiting(turn));
  }

  /** @param {boolean} ended */
  note(ended) {
    const { turn } = this;
    /** @type {[string, string][]} */
    const notes = [];
    if (turn.notes.some((note) => note.kind === "takeover")) notes.push(["retry", ended ? t("Continued after a crash") : t("The worker was lost. Another goes on.")]);
    if (ended && turn.status === "cancelled" && !withdrawn(turn)) notes.push(["stop", t("Stopped")]);
    if (turn.status === "incomplete") notes.push(["alert", t("The reply reached its longest length.")]);
    show(this.notes, notes.length);
    const wanted = notes.map(([, text]) => text).join("\n");
    if (this.noted === wanted) return;
    this.noted = wanted;
    this.notes.replaceChildren(...notes.map(([name, text]) => make("li", {}, icon(name), text)));
    if (!ended || !turn.notes.length) return;
    const asked = make("button", { type: "button" }, t("What happened"));
    stories.behind(asked, () => this.tell(this.figures.hidden));
    this.notes.firstChild?.append(asked);
  }

  fail() {
    const { turn } = this;
    const failed = turn.status === "failed";
    show(this.failure, failed);
    if (!failed || this.failure.childElementCount) return;
    const code = turn.error?.code ?? "";
    const { means, exact } = explain(turn.error ?? {});
    const todo = advice(code);
    this.failure.setAttribute("role", "alert");
    this.failure.append(icon("alert"),
      make("div", {}, make("strong", {}, turn.text ? t("The reply broke off.") : t("No reply.")), make("p", {}, means), todo && make("p", {}, todo),
        code && make("p", { class: "exact", lang: "en", dir: "ltr" }, make("code", {}, code), exact && ` ${exact}`)),
      make("button", { type: "button", onclick: () => this.actions.retry(this.turn) }, icon("retry"), t("Try again")));
  }
}

/** What a reply waits for. @param {Turn} turn */
function waiting(turn) {
  const { wait } = turn;
  if (!wait) return "";
  const seconds = Math.max(1, Math.round(wait.seconds ?? 0));
  if (wait.kind === "waiting") return t("Waiting for a worker");
  return wait.reason
    ? t("The model asked to wait about {time} ({reason}). It will be asked again.", { time: span(seconds), reason: wait.reason.replaceAll("_", " ") })
    : t("The model asked to wait about {time}. It will be asked again.", { time: span(seconds) });
}

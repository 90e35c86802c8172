/** Where a message is written: Enter sends, Shift-Enter is a new line, Escape stops the reply. */
import { find, fit, make, show, write } from "./dom.js";
import { open } from "./fold.js";
import { t } from "./i18n.js";

/** @typedef {import("./store.js").Store} Store */

const DRAFT = "parley.draft.";
const MODEL = "parley.model";

export class Composer {
  /** @param {Store} store @param {() => void} sent */
  constructor(store, sent) {
    this.store = store;
    this.sent = sent;
    this.id = "";
    this.form = find("composer");
    this.text = find("message");
    this.model = find("model");
    this.stop = find("stop");
    this.send = find("send");
    this.long = find("too-long");
    this.greeting = find("greeting");
    this.hint = find("hint");
    this.offered = "";
    this.form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.submit();
    });
    // A click beside the text belongs to it.
    this.form.addEventListener("pointerdown", (/** @type {Event} */ event) => {
      if (event.target === this.form || /** @type {HTMLElement} */ (event.target).className === "row") {
        event.preventDefault();
        this.text.focus();
      }
    });
    this.text.addEventListener("input", () => this.typed());
    this.text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.submit();
    });
    this.stop.addEventListener("click", () => {
      store.stop();
      this.text.focus();
    });
    this.model.addEventListener("change", () => this.pick());
    addEventListener("resize", () => fit(this.text));
    this.recall();
  }

  submit() {
    const text = this.text.value.trim();
    if (!text || this.store.missing.has(this.store.id) || this.store.excess(text)) return;
    this.text.value = "";
    sessionStorage.removeItem(DRAFT + this.id);
    this.store.sender.say(text, this.chosen());
    this.id = this.store.id; // a new conversation has got a name now
    this.typed();
    this.sent();
  }

  /** Put a text here to be changed, in front of what is here. @param {string} text */
  edit(text) {
    this.text.value = [text, this.text.value].filter(Boolean).join("\n");
    this.typed();
    this.text.focus();
  }

  typed() {
    if (this.text.value) sessionStorage.setItem(DRAFT + this.id, this.text.value);
    else sessionStorage.removeItem(DRAFT + this.id);
    fit(this.text);
    this.draw();
  }

  /** A new conversation got its name: what is being written in it stays. @param {string} before @param {string} id */
  made(before, id) {
    if (this.id !== before) return;
    sessionStorage.removeItem(DRAFT + before);
    this.id = id;
    if (this.text.value) sessionStorage.setItem(DRAFT + id, this.text.value);
  }

  /** What was being written in what is open. @param {string} [instead] */
  recall(instead = "") {
    this.text.value = instead || (sessionStorage.getItem(DRAFT + this.id) ?? "");
    fit(this.text);
  }

  draw() {
    const { store } = this;
    const missing = store.missing.has(store.id);
    if (store.id !== this.id) {
      const kept = !store.id && store.missing.has(this.id) ? this.text.value : ""; // begin anew with it
      this.id = store.id;
      this.recall(kept);
    }
    const replying = store.view ? open(store.view).length > 0 : false;
    const written = Boolean(this.text.value.trim());
    // A button that goes away must not take the focus with it.
    if (!replying && document.activeElement === this.stop) this.text.focus();
    const brief = !store.id && store.prepared.retention === "temporary";
    show(this.greeting, !store.id);
    write(this.greeting, brief ? t("Temporary conversation") : t("What would you like to talk about?"));
    show(this.hint, !store.id);
    write(this.hint, brief ? t("Not listed, and deleted an hour after its last use.") : t("Replies are kept and go on when you close this page."));
    show(this.stop, replying);
    show(this.send, written || !replying);
    const excess = store.excess(this.text.value.trim());
    this.send.disabled = !written || excess > 0 || missing;
    show(this.form, !missing || written);
    show(this.long, excess);
    if (excess) write(this.long, t("This is {count} bytes longer than a message may be. Send it in parts.", { count: excess }));
    this.offer();
  }

  /** The models there are, and which one answers here. */
  offer() {
    const { models, view, id } = this.store;
    if (!models) return;
    const names = models.models.map(named);
    const assistants = (models.assistants ?? []).map(named);
    show(this.model, names.length + assistants.length > 0);
    const offered = JSON.stringify([names, assistants]);
    if (offered !== this.offered) {
      this.offered = offered;
      this.model.replaceChildren(...names.map((/** @type {any} */ each) => option("model", each)));
      if (assistants.length) {
        this.model.append(make("optgroup", { label: t("Assistants") }, ...assistants.map((/** @type {any} */ each) => option("assistant", each))));
      }
    }
    const about = id ? (view?.about ?? {}) : this.liked();
    const value = about.assistant ? `assistant:${about.assistant}` : `model:${about.model || models.default || names[0]?.id}`;
    if (this.model.value !== value) this.model.value = value;
    if (this.model.selectedIndex < 0) this.model.value = `model:${models.default || names[0]?.id}`;
  }

  pick() {
    const chosen = this.chosen();
    if (this.store.view?.known) this.store.change({ model: "", assistant: "", ...chosen });
    else localStorage.setItem(MODEL, JSON.stringify(chosen));
    this.text.focus();
  }

  /** The model or assistant that is picked; nothing when it is the server's default. @returns {Record<string, string>} */
  chosen() {
    const { models } = this.store;
    const [what, ...rest] = this.model.value.split(":");
    const name = rest.join(":");
    return !name || (what === "model" && name === models?.default) ? {} : { [what]: name };
  }

  /** What was picked for new conversations. @returns {Record<string, string>} */
  liked() {
    try {
      return JSON.parse(localStorage.getItem(MODEL) || "{}");
    } catch {
      return {};
    }
  }
}

/** @param {any} told  a name, or an object that has one */
const named = (told) => (typeof told === "string" ? { id: told, name: told } : { id: told.id ?? told.name, name: told.title || told.name || told.id });

/** @param {string} what @param {{id: string, name: string}} each */
const option = (what, each) => make("option", { value: `${what}:${each.id}` }, each.name);

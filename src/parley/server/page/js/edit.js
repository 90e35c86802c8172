/** A message that is written anew where it stands: Enter sends it, Escape gives up. */
import { fit, make } from "./dom.js";
import { t } from "./i18n.js";

export class Editor {
  /** @param {string} text @param {(text: string) => void} send @param {() => void} close  called in either case, before */
  constructor(text, send, close) {
    this.send = send;
    this.close = close;
    this.text = make("textarea", { rows: 1, "aria-label": t("Edit message"), enterkeyhint: "send", autocomplete: "off", dir: "auto", oninput: () => this.typed() });
    this.button = make("button", { class: "primary" }, t("Send"));
    this.element = make("form", { class: "editor", onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      this.submit();
    }, onkeydown: (/** @type {KeyboardEvent} */ event) => this.key(event) }, this.text,
    make("div", { class: "row" }, make("button", { type: "button", onclick: close }, t("Cancel")), this.button));
    this.text.value = text;
  }

  /** Once it is on the page. */
  open() {
    this.text.focus();
    this.text.setSelectionRange(this.text.value.length, this.text.value.length);
    this.typed();
  }

  typed() {
    this.button.disabled = !this.text.value.trim();
    fit(this.text);
  }

  submit() {
    const text = this.text.value.trim();
    if (!text) return;
    this.close();
    this.send(text);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.isComposing) return;
    if (event.key === "Escape") {
      event.stopPropagation(); // it stops no reply
      this.close();
    } else if (event.key === "Enter" && !event.shiftKey && event.target === this.text) {
      event.preventDefault();
      this.submit();
    }
  }
}

/** What a conversation's replies are made with: instructions, and how the model is asked; in a small dialog. */
import { call, Refused } from "./api.js";
import { find, fit, show, write } from "./dom.js";
import { t } from "./i18n.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {{instructions?: string, parameters?: Record<string, any>}} Made */

const EMPTY = { instructions: "", parameters: {} };

export class Settings {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.dialog = find("settings");
    this.form = find("settings-form");
    this.instructions = find("instructions");
    this.temperature = find("temperature");
    this.most = find("max-tokens");
    this.trouble = find("settings-trouble");
    this.id = "";
    /** @type {Made} */
    this.before = EMPTY;
    this.form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.save();
    });
    this.instructions.addEventListener("input", () => fit(this.instructions));
    find("settings-cancel").addEventListener("click", () => this.dialog.close());
  }

  async open() {
    this.id = this.store.id;
    this.fill(this.id ? EMPTY : this.store.prepared);
    this.enable(!this.id);
    this.dialog.showModal();
    if (!this.id) return;
    const { id } = this;
    await this.attempt(async () => {
      const found = await call("GET", `/conversations/${id}/description`);
      if (this.id !== id) return;
      this.fill(found);
      this.enable(true);
      this.instructions.focus();
    });
  }

  /** @param {Made} made */
  fill(made) {
    const { temperature, max_tokens: most } = made.parameters ?? {};
    this.before = made;
    this.instructions.value = made.instructions ?? "";
    this.temperature.value = temperature ?? "";
    this.most.value = most ?? "";
    show(this.trouble, false);
    requestAnimationFrame(() => fit(this.instructions));
  }

  /** @param {boolean} enabled */
  enable(enabled) {
    find("settings-fields").disabled = !enabled;
    find("settings-save").disabled = !enabled;
  }

  /** What the fields say; the parameters that have none here stay. @returns {Made} */
  said() {
    const { temperature: _, max_tokens: __, ...others } = this.before.parameters ?? {};
    const parameters = { ...others };
    if (this.temperature.value) parameters.temperature = this.temperature.valueAsNumber;
    if (this.most.value) parameters.max_tokens = this.most.valueAsNumber;
    return { instructions: this.instructions.value.trim(), parameters };
  }

  async save() {
    const made = this.said();
    if (!this.id) this.store.prepared = made;
    const saved = !this.id || await this.attempt(() => call("PATCH", `/conversations/${this.id}`, made));
    if (saved) this.dialog.close();
  }

  /** @param {() => Promise<any>} act */
  async attempt(act) {
    try {
      await act();
      return true;
    } catch (error) {
      write(this.trouble, error instanceof Refused ? error.message : t("The server is out of reach. Nothing was changed."));
      show(this.trouble, true);
      return false;
    }
  }
}

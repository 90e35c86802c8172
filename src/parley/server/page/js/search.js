/** Find conversations by their titles: the field above the list, and its keys. */
import { find, show, write } from "./dom.js";
import { t } from "./i18n.js";

/** @typedef {import("./store.js").Store} Store */

/** A text without case and accents. @param {string} text */
const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

/** Whether a title has every word of a query. @param {string} title @param {string} query */
export function matches(title, query) {
  const whole = plain(title);
  return plain(query).split(/\s+/).every((word) => whole.includes(word));
}

export class Search {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.field = find("search");
    this.told = find("found");
    this.list = find("conversations");
    this.query = this.field.value.trim(); // what was typed until this came
    this.asked = false;
    this.field.addEventListener("input", () => this.ask(this.field.value.trim()));
    this.field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event));
    this.list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.walk(event));
  }

  /** @param {string} query */
  ask(query) {
    this.query = query;
    if (!query) this.asked = false;
    this.list.scrollTop = 0;
    this.store.drawn();
  }

  /** The conversations to be listed. @returns {any[]} */
  found() {
    const { store, query } = this;
    if (!query) return store.list;
    // What is behind the pages that are shown is asked for once a search, when it is known that there is more.
    if (store.more && !this.asked) {
      this.asked = true;
      store.complete();
    }
    const shown = new Set(store.list.map((listed) => listed.id));
    const rest = store.rest.filter((listed) => !shown.has(listed.id));
    return [...store.list, ...rest].filter((listed) => matches(store.title(listed), query));
  }

  /** Say how many there are. @param {number} count */
  draw(count) {
    const { query, store } = this;
    const sought = store.completing ? t("Searching…") : t("No title has “{query}”.", { query });
    const counted = t("{count} conversations", { count });
    this.told.classList.toggle("hidden", count > 0);
    show(this.told, query);
    write(this.told, query ? (count ? counted : sought) : "");
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.isComposing) return;
    if (event.key === "Escape" && this.field.value) {
      event.preventDefault();
      event.stopPropagation();
      this.field.value = "";
      this.ask("");
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (this.query) this.links()[0]?.click();
    } else {
      this.walk(event);
    }
  }

  /** The arrows go through the list, and back into the field. @param {KeyboardEvent} event */
  walk(event) {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    const stops = [this.field, ...this.links()];
    const row = document.activeElement?.closest(".item")?.querySelector("a");
    const next = stops[Math.max(0, stops.indexOf(row ?? this.field)) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }

  /** @returns {HTMLAnchorElement[]} */
  links() {
    return [...this.list.querySelectorAll("a")];
  }
}

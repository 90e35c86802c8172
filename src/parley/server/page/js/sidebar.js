/** The list of conversations by day, with a live dot; on a phone a sheet. */
import { addressOf } from "./api.js";
import { Part, arrange, find, iconButton, make, show, write } from "./dom.js";
import { t } from "./i18n.js";

/** @typedef {import("./store.js").Store} Store */

const DAY = 86_400_000;
const HIDDEN = "parley.sidebar";

/** Where it is kept what is about to be deleted, and when each is due, in unix milliseconds. */
export const DELETING = "parley.deleting";

/** @returns {Record<string, number>} */
export function due() {
  try {
    return JSON.parse(localStorage.getItem(DELETING) || "{}");
  } catch {
    return {};
  }
}

/** Under which heading a conversation stands. @param {number} at @param {number} now  unix milliseconds */
export function dayOf(at, now) {
  const today = new Date(now).setHours(0, 0, 0, 0);
  if (at >= today) return t("Today");
  if (at >= today - DAY) return t("Yesterday");
  if (at >= today - 6 * DAY) return t("Previous 7 days");
  return t("Earlier");
}

export class Sidebar {
  /** @param {Store} store @param {Part<import("./deletion.js").Deletion>} deletion */
  constructor(store, deletion) {
    this.store = store;
    this.deletion = deletion;
    this.search = new Part(async () => new (await import("./search.js")).Search(store));
    this.field = find("search");
    this.element = find("sidebar");
    this.list = find("conversations");
    this.veil = find("veil");
    this.opener = find("show-sidebar");
    this.closer = find("hide-sidebar");
    this.narrow = matchMedia("(max-width: 760px)");
    this.shown = false;
    /** @type {Map<string, any>} */
    this.rows = new Map();
    /** @type {Map<string, HTMLElement>} */
    this.headings = new Map();
    this.empty = make("p", { class: "none" }, t("Conversations appear here."));
    this.more = make("button", { type: "button", class: "more", onclick: () => {
      store.pages += 1;
      store.refresh();
    } }, t("Show more"));
    this.opener.addEventListener("click", () => this.toggle(true));
    this.closer.addEventListener("click", () => this.toggle(false));
    this.veil.addEventListener("click", () => this.toggle(false));
    this.narrow.addEventListener("change", () => this.settle());
    for (const sign of ["pointerenter", "focus"]) this.field.addEventListener(sign, () => this.search.expect());
    this.field.addEventListener("input", () => this.search.here ?? this.search.use(() => store.drawn()));
    this.list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (this.search.here || !/^Arrow(Up|Down)$/.test(event.key)) return;
      event.preventDefault();
      this.search.use((search) => search.walk(event));
    });
    this.settle();
  }

  /** As the width of the window wants it: on a phone the list begins closed. */
  settle() {
    this.shown = this.narrow.matches ? false : localStorage.getItem(HIDDEN) === null;
    this.place();
  }

  /** @param {boolean} shown */
  toggle(shown) {
    this.shown = shown;
    if (!this.narrow.matches) {
      if (shown) localStorage.removeItem(HIDDEN);
      else localStorage.setItem(HIDDEN, "1");
    }
    this.place();
    (shown ? this.closer : this.opener).focus();
  }

  /** On a phone the sheet goes away once something was picked or put aside; false: it was not there. */
  dismiss() {
    if (!this.narrow.matches || !this.shown) return false;
    this.toggle(false);
    return true;
  }

  /** Begin to search, wherever one is. */
  seek() {
    if (!this.shown) this.toggle(true);
    this.field.select();
    this.field.focus();
  }

  place() {
    document.body.classList.toggle("with-sidebar", this.shown);
    this.element.inert = !this.shown;
    find("main").inert = this.shown && this.narrow.matches;
    this.opener.setAttribute("aria-expanded", String(this.shown));
    show(this.veil, this.shown && this.narrow.matches);
  }

  draw() {
    const { store } = this;
    const now = Date.now();
    /** @type {HTMLElement[]} */
    const children = [];
    let day = "";
    const search = this.search.here;
    const leaving = due();
    const found = (search?.found() ?? store.list).filter((listed) => !(listed.id in leaving));
    const pinned = (/** @type {any} */ listed) => this.store.views.get(listed.id)?.about.retention === "pinned" || listed.retention === "pinned";
    for (const listed of [...found.filter(pinned), ...found.filter((each) => !pinned(each))]) {
      const heading = pinned(listed) ? t("Pinned") : dayOf(listed.updated_at || listed.created_at, now);
      if (heading !== day && !children.includes(this.heading(heading))) children.push(this.heading(heading));
      day = heading;
      children.push(this.row(listed));
    }
    if (store.more && !search?.query) children.push(this.more);
    if (store.listed && !found.length && !store.more && !search?.query) children.push(this.empty);
    arrange(this.list, children);
    search?.draw(found.length);
    const kept = new Set(found.map((listed) => listed.id));
    for (const [id] of this.rows) if (!kept.has(id)) this.rows.delete(id);
  }

  /** @param {string} day */
  heading(day) {
    const known = this.headings.get(day) ?? make("h2", {}, day);
    this.headings.set(day, known);
    return known;
  }

  /** @param {any} listed */
  row(listed) {
    let row = this.rows.get(listed.id);
    if (!row) {
      const title = make("span", { class: "title", dir: "auto" });
      const live = make("span", { class: "hidden" });
      const link = make("a", { href: addressOf(listed.id) }, make("span", { class: "dot", "aria-hidden": "true" }), title, live);
      const button = iconButton("remove", t("Delete"), () => this.deletion.use((deletion) => deletion.begin(row.listed)));
      for (const sign of ["pointerenter", "focus"]) button.addEventListener(sign, () => this.deletion.expect());
      row = { element: make("div", { class: "item" }, link, button), link, title, live, button, listed };
      this.rows.set(listed.id, row);
    }
    row.listed = listed;
    const name = this.store.title(listed);
    const busy = this.store.busy(listed);
    const unread = this.store.unread.has(listed.id);
    write(row.title, name);
    write(row.live, busy ? t(", replying now") : unread ? t(", new reply") : "");
    if (row.link.title !== name) row.link.title = name;
    row.button.setAttribute("aria-label", t("Delete {title}", { title: name }));
    row.element.classList.toggle("busy", busy);
    row.element.classList.toggle("unread", unread);
    if (listed.id === this.store.id) row.link.setAttribute("aria-current", "page");
    else row.link.removeAttribute("aria-current");
    return row.element;
  }
}

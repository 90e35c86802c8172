/** What stands beside the title: who else looks, how long the conversation is kept, and what can be done about that. */
import { find, icon, show, write } from "./dom.js";
import { language, t } from "./i18n.js";

/** @typedef {import("./store.js").Store} Store */

const HOUR = 3_600_000;
const SOON = 48 * HOUR; // a life that ends later is nobody's concern
const UNITS = /** @type {const} */ ([["day", 24 * HOUR], ["hour", HOUR], ["minute", 60_000]]);

const relative = new Intl.RelativeTimeFormat(language, { numeric: "always", style: "short" });
const precise = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });

/** How far ahead a moment is, in words. @param {number} at @param {number} now  unix milliseconds */
export function ahead(at, now) {
  const left = Math.max(at - now, 60_000);
  const [unit, size] = UNITS.find(([, each]) => left >= each * 1.5) ?? UNITS[2];
  return relative.format(Math.round(left / size), unit);
}

export class Header {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    find("temporary").addEventListener("click", () => {
      const { retention, ...others } = store.prepared;
      store.prepared = retention === "temporary" ? others : { ...others, retention: "temporary" };
      store.drawn();
      find("message").focus();
    });
    find("pin").addEventListener("click", () => {
      find("menu").hidePopover();
      store.change({ retention: this.retention ? "" : "pinned" });
    });
    setInterval(() => store.drawn(), 60_000);
  }

  get retention() {
    return this.store.view?.about.retention ?? "";
  }

  draw() {
    const { store } = this;
    const there = Boolean(store.view?.known) && !store.missing.has(store.id);
    const begins = store.prepared.retention === "temporary";
    show(find("temporary"), !store.id);
    find("temporary").setAttribute("aria-pressed", String(begins));
    write(find("greeting"), begins && !store.id ? t("Temporary conversation") : t("What would you like to talk about?"));
    write(find("hint"), begins && !store.id ? t("Not listed, and deleted an hour after its last use.") : t("Replies are kept and go on when you close this page."));
    show(find("pin"), there && !store.link);
    write(find("pin-label"), /** @type {Record<string, string>} */ ({ temporary: t("Keep this conversation"), pinned: t("Unpin") })[this.retention] ?? t("Pin, to keep it"));
    this.expiry(there);
    const watching = store.watching.get(store.id) ?? 0;
    show(find("watching"), there && watching > 1);
    write(find("watching-count"), t("{count} watching", { count: watching }));
    find("watching-count").dataset.count = watching.toLocaleString(language);
  }

  /** @param {boolean} there */
  expiry(there) {
    const { store, retention } = this;
    const chip = find("expiry");
    const listed = store.list.find((each) => each.id === store.id);
    const at = Math.max(store.view?.about.expires_at ?? 0, listed?.expires_at ?? 0);
    const soon = at > 0 && at - Date.now() < SOON;
    const shown = there && !store.link && (retention || soon);
    show(chip, shown);
    if (!shown) return;
    const words = retention === "pinned" ? t("Pinned") : retention === "temporary" ? t("Temporary") : t("Expires {when}", { when: ahead(at, Date.now()) });
    chip.title = t("Deleted if it is not used until {when}.", { when: precise.format(at) });
    if (chip.dataset.retention !== retention || !chip.firstChild) {
      chip.dataset.retention = retention;
      chip.replaceChildren(icon(retention === "pinned" ? "pin" : "wait"), document.createElement("span"));
    }
    write(chip.lastChild, words);
  }
}

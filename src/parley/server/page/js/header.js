/** What stands above the messages: the title, who else looks, how long all this is kept, and trouble with the connection. */
import { find, icon, make, show, write } from "./dom.js";
import { language, t } from "./i18n.js";

/** @typedef {import("./store.js").Store} Store */

const HOUR = 3_600_000;
const SOON = 48 * HOUR; // a life that ends later is nobody's concern
const NAME = document.title; // the operator's, or ours
const QUIET = 700; // milliseconds; a break shorter than this is nobody's concern
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
    this.title = find("title");
    this.field = find("rename");
    this.title.addEventListener("click", () => this.rename());
    this.field.addEventListener("blur", () => this.renamed(true));
    this.field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault();
      this.renamed(event.key === "Enter");
      find("message").focus();
    });
    this.banner = find("banner");
    this.text = make("span");
    this.again = make("button", { type: "button", onclick: () => store.socket.now() }, t("Try now"));
    this.dismiss = make("button", { type: "button", onclick: () => {
      store.alert = "";
      store.drawn();
    } }, t("Dismiss"));
    this.banner.append(this.text, this.again, this.dismiss);
  }

  get retention() {
    return this.store.view?.about.retention ?? "";
  }

  draw() {
    const { store } = this;
    const there = Boolean(store.view?.known) && !store.missing.has(store.id);
    const made = store.id.startsWith("conv_") && !store.missing.has(store.id);
    this.entitle();
    show(find("temporary"), !store.id);
    find("temporary").setAttribute("aria-pressed", String(store.prepared.retention === "temporary"));
    const shared = Boolean(store.view?.about.shared);
    show(find("share"), made && !store.link);
    find("share").classList.toggle("on", shared);
    find("share").setAttribute("aria-label", shared ? t("Shared by a link") : t("Share"));
    for (const name of ["export-markdown", "export-json"]) show(find(name), store.id);
    show(find("import"), !store.id);
    show(find("describe"), !store.link);
    show(find("more"), !store.id.startsWith("new-") && !store.missing.has(store.id));
    show(find("pin"), there && !store.link);
    write(find("pin-label"), /** @type {Record<string, string>} */ ({ temporary: t("Keep this conversation"), pinned: t("Unpin") })[this.retention] ?? t("Pin, to keep it"));
    this.expiry(there);
    const watching = store.watching.get(store.id) ?? 0;
    show(find("watching"), there && watching > 1);
    write(find("watching-count"), t("{count} watching", { count: watching }));
    find("watching-count").dataset.count = watching.toLocaleString(language);
    this.tell();
  }

  /** What is open is called so here and on the tab. */
  entitle() {
    const { id, view, outbox } = this.store;
    const title = id ? view?.about.title || outbox.of(id)[0]?.about.title || "" : "";
    show(this.title, title && this.field.hidden);
    show(find("app-name"), !title);
    write(this.title, title);
    const named = title ? `${title} · ${NAME}` : NAME;
    if (document.title !== named) document.title = named; // the browser draws its tab anew for each one
  }

  rename() {
    this.field.value = this.store.view?.about.title ?? "";
    show(this.field, true);
    show(this.title, false);
    this.field.select();
  }

  /** @param {boolean} keep */
  renamed(keep) {
    if (this.field.hidden) return;
    const title = this.field.value.trim();
    show(this.field, false);
    if (keep && title && title !== this.store.view?.about.title) this.store.change({ title });
    this.store.drawn();
  }

  /** Trouble, in words, and what can be done about it. */
  tell() {
    const { store } = this;
    const down = store.connection.state !== "open" && !store.locked;
    const late = down && Date.now() - store.connection.since > QUIET;
    if (down && !late) setTimeout(() => store.drawn(), QUIET);
    const slow = !down && store.socket.asks(store.id) ? t("Nothing streams through here. Replies come every few seconds.") : "";
    const text = late ? trouble(store.connection) : slow || store.alert;
    write(this.text, text);
    show(this.banner, text);
    show(this.again, late);
    show(this.dismiss, !late && !slow && store.alert);
    if (text) write(find("status"), text);
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

/** @param {import("./store.js").Connection} connection */
function trouble({ state, reason }) {
  if (!navigator.onLine) return t("You are offline. What you write is kept and sent when you are back.");
  if (state === "connecting") return t("Connecting to the server…");
  if (reason === "restart") return t("The server restarts. Reconnecting…");
  return t("Connection lost. Reconnecting… Replies go on meanwhile.");
}

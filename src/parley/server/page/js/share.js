/**
 * A link by which anyone can read the conversation that is open. The server keeps a hash of it only: what the link is
 * stays in the browser that made it.
 */
import { BASE, Refused, call } from "./api.js";
import { copy, find, show, write } from "./dom.js";
import { t } from "./i18n.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {{token: string, link: string}} Kept  `link`: what the server keeps of it */

const PLACE = "parley.links";
const MOST = 100;

export class Share {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.dialog = find("share-dialog");
    this.field = find("share-link");
    this.id = "";
    find("share-make").addEventListener("click", () => this.make());
    find("share-revoke").addEventListener("click", () => this.revoke());
    find("share-close").addEventListener("click", () => this.dialog.close());
    find("share-copy").addEventListener("click", () => copy(find("share-copy"), this.field.value));
    this.field.addEventListener("focus", () => this.field.select());
  }

  open() {
    this.id = this.store.id;
    this.draw();
    this.dialog.showModal();
  }

  /** @returns {Record<string, Kept>} */
  get kept() {
    try {
      return JSON.parse(localStorage.getItem(PLACE) || "{}");
    } catch {
      return {};
    }
  }

  draw() {
    const about = this.store.view?.about ?? {};
    const shared = about.shared ?? "";
    if (this.id !== this.store.id) {
      this.dialog.close();
      return;
    }
    const known = this.kept[this.id];
    const link = shared && known?.link === shared ? `${location.origin}${BASE}s/${known.token}` : "";
    show(find("share-row"), link);
    if (this.field.value !== link) this.field.value = link;
    show(find("share-foreign"), shared && !link);
    show(find("share-make"), !link);
    write(find("share-make"), shared ? t("Make a new link") : t("Make a link"));
    show(find("share-revoke"), shared);
  }

  make() {
    const { id } = this;
    this.attempt(async () => {
      const made = await call("POST", `/conversations/${id}/share`);
      const latest = Object.entries(this.kept).filter(([name]) => name !== id).slice(1 - MOST);
      localStorage.setItem(PLACE, JSON.stringify({ ...Object.fromEntries(latest), [id]: { token: made.token, link: made.link } }));
      this.told(id, made.link);
      find("share-copy").focus();
    });
  }

  revoke() {
    const { id } = this;
    this.attempt(async () => {
      await call("DELETE", `/conversations/${id}/share`);
      const { [id]: _, ...others } = this.kept;
      localStorage.setItem(PLACE, JSON.stringify(others));
      this.told(id, "");
      find("share-make").focus();
    });
  }

  /** Its frame may come later than the answer. @param {string} id @param {string} link */
  told(id, link) {
    const view = this.store.views.get(id);
    if (view) view.about = { ...view.about, shared: link };
    this.draw();
  }

  /** @param {() => Promise<any>} act */
  async attempt(act) {
    const trouble = find("share-trouble");
    show(trouble, false);
    try {
      await act();
    } catch (error) {
      write(trouble, error instanceof Refused ? error.message : t("The server is out of reach. Nothing was changed."));
      show(trouble, true);
    }
  }
}

/** What goes on, in words: the banner for trouble with the connection, and the one live region. */
import { find, make, show, write } from "./dom.js";
import { ENDED, open } from "./fold.js";
import { t } from "./i18n.js";
import { announcing } from "./preferences.js";

/** @typedef {import("./store.js").Store} Store */

const PAUSE = 2_000; // between sentences that are told
const QUIET = 700; // a break shorter than this is nobody's concern

/** What a reader is told when a reply ends. @type {Record<string, string>} */
const WORDS = { completed: t("Reply finished"), incomplete: t("Reply finished, cut at its longest length"), failed: t("Reply failed"), cancelled: t("Reply stopped") };

export class Status {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.banner = find("banner");
    this.live = find("status");
    this.text = make("span");
    this.retry = make("button", { type: "button", onclick: () => store.socket.now() }, t("Try now"));
    this.dismiss = make("button", { type: "button", onclick: () => {
      store.alert = "";
      store.drawn();
    } }, t("Dismiss"));
    this.banner.append(this.text, this.retry, this.dismiss);
    this.replying = "";
    this.told = 0; // how much of the reply was read to its listener, and when
    this.toldAt = 0;
  }

  draw() {
    const { connection, alert } = this.store;
    const down = connection.state !== "open" && !this.store.locked;
    const late = down && Date.now() - connection.since > QUIET;
    if (down && !late) setTimeout(() => this.store.drawn(), QUIET);
    const slow = !down && this.store.socket.asks(this.store.id) ? t("Nothing streams through here. Replies come every few seconds.") : "";
    const text = late ? trouble(connection) : slow || alert;
    write(this.text, text);
    show(this.banner, text);
    show(this.retry, late);
    show(this.dismiss, !late && !slow && alert);
    if (text) write(this.live, text);
    else this.announce();
  }

  /** Tell when a reply begins and ends; its words are read by those who go there. */
  announce() {
    const view = this.store.view;
    if (!view) return;
    const active = open(view).find((turn) => turn.status === "in_progress");
    const before = view.turns.get(this.replying);
    const how = announcing.get();
    if (how === "off") return;
    if (active && active.id !== this.replying) {
      write(this.live, t("Replying"));
      this.told = active.text.length;
    } else if (active && how === "sentences") {
      this.read(active.text);
    } else if (!active && before && ENDED.has(before.status)) {
      write(this.live, how === "sentences" ? `${plain(before.text.slice(this.told))} ${WORDS[before.status]}` : WORDS[before.status]);
    }
    this.replying = active?.id ?? "";
  }

  /** Tell the sentences that were finished since the last time, some at once: what is told anew cuts off the old. @param {string} text */
  read(text) {
    this.told = Math.min(this.told, text.length); // it may have been rewound
    const [sentences] = /^[^]*[.!?:;。！？؟](?=\s)/.exec(text.slice(this.told)) ?? [];
    if (!sentences || Date.now() - this.toldAt < PAUSE) return;
    this.told += sentences.length;
    this.toldAt = Date.now();
    write(this.live, plain(sentences));
  }
}

/** Markdown as it is said. @param {string} text */
const plain = (text) => text.replace(/```[^]*?(?:```|$)/g, "").replace(/\]\([^)]*\)/g, "").replace(/[*_`#>|[\]]+/g, " ").trim();

/** @param {import("./store.js").Connection} connection */
function trouble({ state, reason }) {
  if (!navigator.onLine) return t("You are offline. What you write is kept and sent when you are back.");
  if (state === "connecting") return t("Connecting to the server…");
  if (reason === "restart") return t("The server restarts. Reconnecting…");
  return t("Connection lost. Reconnecting… Replies go on meanwhile.");
}

/** What a screen reader is told of the replies: the page's one live region. */
import { find, write } from "./dom.js";
import { ENDED, open } from "./fold.js";
import { t } from "./i18n.js";

/** @typedef {import("./store.js").Store} Store */

const KEPT = "parley.announce";
const PAUSE = 2_000; // milliseconds between sentences that are told

/** What is told of a reply: `end`, `sentences` while it is written, or `off`. */
export const announcing = {
  get: () => localStorage.getItem(KEPT) ?? "end",
  /** @param {string} what */
  set: (what) => localStorage.setItem(KEPT, what),
};

/** What a reader is told when a reply ends. @type {Record<string, string>} */
const WORDS = { completed: t("Reply finished"), incomplete: t("Reply finished, cut at its longest length"), failed: t("Reply failed"), cancelled: t("Reply stopped") };

export class Status {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.live = find("status");
    this.replying = "";
    this.told = 0; // how much of the reply was read to its listener, and when
    this.toldAt = 0;
  }

  /** Tell when a reply begins and ends; its words are read by those who go there. */
  draw() {
    const view = this.store.view;
    if (!view || !find("banner").hidden) return; // which is told there
    const active = open(view).find((turn) => turn.status === "in_progress");
    // One that began and ended since the last time was never active here.
    const ended = view.turns.get(this.store.finished) ?? view.turns.get(this.replying);
    this.store.finished = "";
    const how = announcing.get();
    if (how === "off") return;
    if (active && active.id !== this.replying) {
      write(this.live, t("Replying"));
      this.told = active.text.length;
    } else if (active && how === "sentences") {
      this.read(active.text);
    } else if (!active && ended && ENDED.has(ended.status)) {
      const rest = ended.text.slice(ended.id === this.replying ? this.told : 0);
      write(this.live, how === "sentences" ? `${plain(rest)} ${WORDS[ended.status]}` : WORDS[ended.status]);
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

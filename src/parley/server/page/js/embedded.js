/**
 * The page in a frame of somebody else's page (`<parley-chat>`, see embed.js): one conversation, without the list of
 * the others.
 */
import { access } from "./api.js";
import { make } from "./dom.js";

export class Embedded {
  /** @param {import("./store.js").Store} store @param {import("./composer.js").Composer} composer */
  constructor(store, composer) {
    this.store = store;
    /** The conversation to begin with; empty: a new one. */
    this.conversation = "";
    /** What the page around was told last. @type {string | undefined} */
    this.told = undefined;
    document.documentElement.classList.add("embedded");
    document.head.append(make("link", { rel: "stylesheet", href: new URL("../embed.css", import.meta.url).href }));
    const asked = new URLSearchParams(location.hash.slice(1));
    history.replaceState(null, "", location.pathname);
    addEventListener("hashchange", () => location.reload()); // the element asks for something else
    const token = asked.get("token");
    if (token !== null) access.set(token);
    /** @type {string} */
    this.assistant = asked.get("assistant") ?? "";
    if (this.assistant) composer.liked = () => ({ assistant: this.assistant ?? "" });
    this.kept = asked.get("kept");
    this.conversation = asked.get("conversation") ?? this.kept ?? "";
  }

  /** Tell the page around what is open: it keeps that in mind, as a frame's storage may not last. */
  draw() {
    const { store } = this;
    if (store.id === this.kept && store.missing.has(store.id)) store.show(""); // it is over: begin anew
    if (!store.id && this.assistant) store.prepared = { ...store.prepared, assistant: this.assistant };
    if (store.id === this.told || store.id.startsWith("new-")) return;
    this.told = store.id;
    window.parent.postMessage({ type: "parley", conversation: store.id }, "*"); // `frame-ancestors` says who that is
  }
}

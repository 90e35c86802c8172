/**
 * `<parley-chat>`: a chat of this server in a page of yours.
 *
 *     <script type="module" src="https://chat.example/embed.js"></script>
 *     <parley-chat assistant="capitals"></parley-chat>
 *
 * Attributes, all optional: `assistant`, who answers; `conversation`, the id of one to open, in place of the one that
 * this reader began here before; `token`, a session's, for a server with an access key; `label`, what screen readers
 * call it. It is as large as your style makes it.
 *
 * In its shadow root is a frame with this server's own page: the page around can neither read nor change what is said.
 */

const HOME = new URL("./", import.meta.url);
const ASKED = ["assistant", "conversation", "token"];
const STYLE = `
  :host { display: block; block-size: 36rem; overflow: hidden; border: 1px solid rgb(128 128 128 / 30%); border-radius: 1rem; }
  :host([hidden]) { display: none; }
  iframe { display: block; inline-size: 100%; block-size: 100%; border: 0; }
`;

class ParleyChat extends HTMLElement {
  static observedAttributes = [...ASKED, "label"];

  #frame = document.createElement("iframe");
  #asked = "";

  constructor() {
    super();
    const style = new CSSStyleSheet();
    style.replaceSync(STYLE);
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [style]; // no <style>: a page's policy may forbid it
    this.#frame.allow = "clipboard-write";
    root.append(this.#frame);
  }

  connectedCallback() {
    addEventListener("message", this.#told);
    this.#show();
  }

  disconnectedCallback() {
    removeEventListener("message", this.#told);
  }

  attributeChangedCallback() {
    if (this.isConnected) this.#show();
  }

  /** Where it is kept what was open, in this page's own storage: a frame's may not last. */
  get #place() {
    return `parley:${HOME.href}:${this.getAttribute("assistant") ?? ""}`;
  }

  #told = (/** @type {MessageEvent} */ { source, data }) => {
    if (source !== this.#frame.contentWindow || data?.type !== "parley") return;
    try {
      localStorage.setItem(this.#place, data.conversation);
    } catch {
      // It is not found again by itself.
    }
  };

  /** @returns {string[][]} */
  get #kept() {
    try {
      const kept = localStorage.getItem(this.#place);
      return kept ? [["kept", kept]] : [];
    } catch {
      return [];
    }
  }

  /** What is asked for stands behind the #: that part of an address is sent to nobody. */
  #show() {
    const asked = ASKED.filter((name) => this.hasAttribute(name)).map((name) => [name, this.getAttribute(name) ?? ""]);
    const address = new URL("embed", HOME);
    address.hash = new URLSearchParams(asked).toString();
    this.#frame.title = this.getAttribute("label") ?? "Chat";
    if (this.#asked === address.href) return;
    this.#asked = address.href;
    address.hash = new URLSearchParams([...asked, ...this.#kept]).toString();
    this.#frame.src = address.href;
  }
}

customElements.define("parley-chat", ParleyChat);

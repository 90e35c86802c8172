/** The few verbs this page needs of the DOM, and its parts that come late. Text becomes text nodes; nothing here reads HTML. */
import { t } from "./i18n.js";

const SVG = "http://www.w3.org/2000/svg";
const LOOKS = "parley.theme";
const NOTED = 10_000; // milliseconds that a note about trouble stays

/** @typedef {import("./inline.js").Node} Tree */

/** The element of the page with that id. @param {string} id @returns {any} */
export function find(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element ${id}`);
  return found;
}

/**
 * Make an element. Properties named like attributes are set as attributes, `class` and `aria-…` too; functions
 * are listeners, `onclick` for click.
 * @param {string} tag @param {Record<string, any>} [props] @param {(globalThis.Node | string)[]} children
 * @returns {any}
 */
export function make(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/** A symbol of index.html. @param {string} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** A button that shows a symbol. @param {string} name @param {string} label @param {(() => void) | null} onclick @param {string} [kind] */
export const iconButton = (name, label, onclick, kind = "icon") =>
  make("button", { type: "button", class: kind, "aria-label": label, title: label, onclick }, icon(name));

/** Show an element, or not. @param {HTMLElement} element @param {unknown} visible */
export function show(element, visible) {
  if (element.hidden === Boolean(visible)) element.hidden = !visible;
}

/** Set an element's text if it is another one. @param {globalThis.Node} element @param {string} text */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Make a field as high as what is written in it. @param {HTMLElement} field */
export function fit(field) {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

/**
 * Make `parent`, which shows the trees `before`, show the trees `after`, touching only what differs: text that
 * grows is appended to, so that a selection in it stays.
 * @param {globalThis.Node} parent @param {Tree[]} before @param {Tree[]} after
 */
export function patch(parent, before, after) {
  const common = Math.min(before.length, after.length);
  for (let at = 0; at < common; at += 1) {
    if (before[at] !== after[at]) exchange(parent.childNodes[at], before[at], after[at]);
  }
  for (let at = before.length; at > common; at -= 1) parent.lastChild?.remove();
  for (let at = common; at < after.length; at += 1) parent.appendChild(build(after[at]));
}

/** What shows the text of an element in its own manner, by the name in its tree. @type {Record<string, (element: globalThis.Element, tree: Exclude<Tree, string>) => void>} */
export const painters = {};

/** @param {any} node @param {Tree} before @param {Tree} after */
function exchange(node, before, after) {
  if (typeof before === "string" && typeof after === "string") {
    if (after.startsWith(before)) node.appendData(after.slice(before.length));
    else node.data = after;
  } else if (typeof before === "object" && typeof after === "object" && before.tag === after.tag && before.paint === after.paint && sameAttrs(before, after)) {
    const painter = after.paint && painters[after.paint];
    if (!painter) patch(node, before.children, after.children);
    else if (before.children[0] !== after.children[0] || before.open !== after.open) painter(node, after);
  } else {
    node.replaceWith(build(after));
  }
}

/** @param {Exclude<Tree, string>} before @param {Exclude<Tree, string>} after */
function sameAttrs(before, after) {
  const [one, other] = [before.attrs ?? {}, after.attrs ?? {}];
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
}

/** @param {Tree} tree @returns {globalThis.Node} */
function build(tree) {
  if (typeof tree === "string") return document.createTextNode(tree);
  const element = document.createElement(tree.tag);
  for (const [name, value] of Object.entries(tree.attrs ?? {})) element.setAttribute(name, value);
  const painter = tree.paint && painters[tree.paint];
  if (painter) painter(element, tree);
  else for (const child of tree.children) element.appendChild(build(child));
  return element;
}

/** Make an element's children these, moving only what stands elsewhere. @param {HTMLElement} parent @param {globalThis.Element[]} children */
export function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, at) => {
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
}

/** Copy a text, and say so on the button for a moment. @param {HTMLElement} button @param {string} text */
export async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return; // The browser refused; there is nothing to say that would help.
  }
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), 1500);
}

/** How the page looks: as the system, or as the reader chose. */
export const theme = {
  get: () => localStorage.getItem(LOOKS) ?? "",
  /** @param {string} name  `light`, `dark`, `contrast`; empty: as the system */
  set: (name) => {
    if (name) localStorage.setItem(LOOKS, name);
    else localStorage.removeItem(LOOKS);
    theme.wear();
  },
  wear: () => {
    const name = theme.get();
    if (name) document.documentElement.dataset.theme = name;
    else delete document.documentElement.dataset.theme;
  },
};

/**
 * Show a small note at the foot of the page, with one thing to do about it, until it is taken away.
 * @param {string} text @param {string} label  of its button @param {() => void} act
 * @returns {() => void} takes it away
 */
export function toast(text, label, act) {
  const element = make("div", { class: "toast" }, make("span", { dir: "auto" }, text), make("button", { type: "button", onclick: () => {
    element.remove();
    act();
  } }, label));
  find("toasts").append(element);
  return () => element.remove();
}

/** A part of the page that is fetched for its first use, and before that once somebody is about to use it. @template T */
export class Part {
  /** @type {T | null} */
  here = null;

  /** @type {Promise<T> | null} */
  #coming = null;

  /** @param {() => Promise<T>} load */
  constructor(load) {
    this.load = load;
  }

  /** @returns {Promise<T>} fails where it is out of reach; the next one tries again */
  get() {
    this.#coming ??= this.load().then((part) => (this.here = part), (error) => {
      this.#coming = null;
      throw error;
    });
    return this.#coming;
  }

  /** It may be wanted soon. */
  expect() {
    if (!this.here) this.get().catch(() => {}); // who uses it will be told
  }

  /** Do something with it; who wants that is told where it cannot be had. @param {(part: T) => void} act */
  async use(act) {
    if (this.here) return act(this.here);
    try {
      await this.get();
    } catch {
      const hide = toast(t("This part of the page could not be fetched: the server is out of reach."), t("Try again"), () => this.use(act));
      setTimeout(hide, NOTED);
      return;
    }
    act(/** @type {T} */ (this.here));
  }

  /** A press of this button does something with it. @param {HTMLElement} button @param {(part: T) => void} act */
  behind(button, act) {
    for (const sign of ["pointerenter", "focus"]) button.addEventListener(sign, () => this.expect());
    button.addEventListener("click", () => this.use(act));
  }
}

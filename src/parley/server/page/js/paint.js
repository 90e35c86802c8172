/**
 * Colours for code and formulas for maths, by libraries that are fetched when a reply first needs one. Both are built
 * from nodes, never from HTML, once they come into sight; until then, and where it fails, the text itself is shown.
 *
 * @typedef {import("./inline.js").Element} Tree
 * @typedef {import("./inline.js").Node} Node
 */
import { painters, patch } from "./dom.js";

const LONGEST_CODE = 40_000; // characters; longer ones stay plain
const LONGEST_FORMULA = 5_000;
const SLICE = 8; // milliseconds of a frame
const AHEAD = 400; // pixels

// A formula may draw, and neither link, load, define without end nor cover the page.
const CAREFUL = { throwOnError: true, trust: false, strict: "ignore", maxExpand: 200, maxSize: 20 };

/** @param {string} name */
const vendor = (name) => new URL(`../vendor/${name}`, import.meta.url).href;

/** @template T @param {() => Promise<T>} load @returns {(use: (library: T) => void) => void} */
function lazy(load) {
  /** @type {T | null} */
  let loaded = null;
  /** @type {Promise<T> | null} */
  let loading = null;
  return (use) => {
    if (loaded) return use(loaded);
    loading ??= load();
    loading.then((library) => use((loaded = library)), () => (loading = null)); // out of reach: the next one tries again
  };
}

const highlighter = lazy(async () => (await import(vendor("highlight.js"))).default);

const typesetter = lazy(async () => {
  const styles = Object.assign(document.createElement("link"), { rel: "stylesheet", href: vendor("katex.css") });
  document.head.append(styles);
  return (await import(vendor("katex.js"))).default;
});

/**
 * What is known of each element that is painted. `text` is what it says, `nodes` what is shown of it, `lines` and
 * `coloured` the colours and the code they are of; `seen`: it came near the part of the page that is in sight.
 * @typedef {{tree: Tree, seen: boolean, nodes: Node[], coloured: string, lines: Node[]}} State
 * @type {WeakMap<globalThis.Element, State>}
 */
const states = new WeakMap();

/** Those that wait for their painting. @type {Set<globalThis.Element>} */
const queue = new Set();

const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    sight.unobserve(target);
    const state = states.get(target);
    if (state) state.seen = true;
    enqueue(target);
  }
}, { rootMargin: `${AHEAD}px` });

/** @param {globalThis.Element} element */
function enqueue(element) {
  if (!queue.size) requestAnimationFrame(work);
  queue.add(element);
}

/** Paint for a part of a frame, the rest later. */
function work() {
  const until = performance.now() + SLICE;
  for (const element of queue) {
    queue.delete(element);
    const state = states.get(element);
    if (state && element.isConnected) (state.tree.paint === "code" ? colour : typeset)(element, state);
    if (performance.now() > until) break;
  }
  if (queue.size) requestAnimationFrame(work);
}

/** @param {globalThis.Element} element @param {Tree} tree */
function paint(element, tree) {
  const state = states.get(element) ?? { tree, seen: false, nodes: [], coloured: "", lines: [] };
  states.set(element, state);
  state.tree = tree;
  display(element, state);
  if (state.seen) enqueue(element);
  else sight.observe(element);
}

painters.code = paint;
painters.formula = paint;

/** Show the text, in the colours that are known of its beginning. @param {globalThis.Element} element @param {State} state */
function display(element, state) {
  const text = String(state.tree.children[0] ?? "");
  const known = text.startsWith(state.coloured) ? state.coloured.length : 0;
  const nodes = [...(known ? state.lines : []), ...(known < text.length ? [text.slice(known)] : [])];
  patch(element, state.nodes, nodes);
  state.nodes = nodes;
}

/** Code: the lines that are complete in colour, the one that is being written as it comes. @param {globalThis.Element} element @param {State} state */
function colour(element, state) {
  const { tree } = state;
  const text = String(tree.children[0] ?? "");
  const language = tree.attrs?.["data-language"];
  const code = tree.open ? text.slice(0, text.lastIndexOf("\n") + 1) : text;
  if (!language || text.length > LONGEST_CODE || code === state.coloured) return;
  highlighter((library) => {
    if (state.tree !== tree || !library.getLanguage(language)) return;
    state.lines = spans(library.highlight(code, { language, ignoreIllegals: true })._emitter.rootNode.children);
    state.coloured = code;
    display(element, state);
  });
}

/** @param {any[]} nodes  of highlight.js @returns {Node[]} */
const spans = (nodes) => nodes.map((node) => typeof node === "string" ? node
  : { tag: "span", attrs: { class: scoped(node.scope ?? "") }, children: spans(node.children) });

/** @param {string} scope  as highlight.js names it, "title.function" */
const scoped = (scope) => scope.split(".").map((part, at) => (at ? `${part}${"_".repeat(at)}` : `hljs-${part}`)).join(" ");

/** @param {globalThis.Element} element @param {State} state */
function typeset(element, state) {
  const { tree } = state;
  const tex = String(tree.children[0]);
  if (tex.length > LONGEST_FORMULA) return;
  typesetter((library) => {
    if (state.tree !== tree) return;
    const drawn = document.createElement("span");
    try {
      library.render(tex, drawn, { ...CAREFUL, displayMode: element.classList.contains("display") });
      element.replaceChildren(...drawn.childNodes);
      state.nodes = [];
    } catch {
      element.classList.add("broken"); // and shown as it was written
    }
  });
}

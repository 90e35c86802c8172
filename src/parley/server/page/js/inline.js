/**
 * Inline Markdown: tokens to tree nodes, never to HTML. No DOM.
 *
 * Only http and https become links; an image is a link, so that no reply can make the browser ask another host.
 *
 * @typedef {{tag: string, attrs?: Record<string, string>, children: Node[], paint?: "code" | "formula", open?: boolean}} Element
 *   `paint`: its one child is a text that js/paint.js shows in its own manner; `open`: more of it is to come
 * @typedef {string | Element} Node
 */
import { OPEN } from "./grammar.js";

/** An address that may be linked, or nothing. @param {string} text */
export function safeAddress(text) {
  if (!/^https?:\/\//i.test(text)) return null;
  try {
    const url = new URL(text);
    return (url.protocol === "https:" || url.protocol === "http:") && url.hostname ? url.href : null;
  } catch {
    return null;
  }
}

/** @param {string} tag @param {Node[]} children @param {Record<string, string>} [attrs] @returns {Element} */
export const el = (tag, children, attrs) => (attrs ? { tag, attrs, children } : { tag, children });

/** @param {import("./grammar.js").Token} token @returns {Element} */
export function formula(token) {
  const open = token.tex.endsWith(OPEN);
  const tex = token.tex.replace(OPEN, "").trim();
  const attrs = { class: token.display ? "formula display" : "formula", dir: "ltr" };
  return { tag: token.display ? "div" : "span", attrs, children: [tex], ...(open ? {} : { paint: "formula" }) };
}

/** @param {import("./grammar.js").Token} token @returns {Node[]} */
function link(token) {
  const raw = entities(token.href ?? "");
  const label = token.type === "image" ? [entities(token.text)].filter(Boolean) : inline(token.tokens);
  const href = safeAddress(raw);
  if (!href) return [...label, ...(label.join("") === raw ? [] : [` (${raw})`])];
  return [el("a", label.length ? label : [raw], { href, target: "_blank", rel: "noopener noreferrer nofollow" })];
}

/** @param {import("./grammar.js").Token} token @returns {Node[]} */
function node(token) {
  switch (token.type) {
    case "strong": case "em": case "del": return [el(token.type, inline(token.tokens))];
    case "codespan": return [el("code", [token.text])];
    case "br": return [el("br", [])];
    case "link": case "image": return link(token);
    case "escape": return [token.text];
    case "formula": return [{ ...formula(token), tag: "span" }];
    case "note": return [el("sup", [token.label], { class: token.says ? "note says" : "note" })];
    case "checkbox": return [];
    case "text": return token.tokens ? inline(token.tokens) : [entities(token.text)];
    default: return [token.raw];
  }
}

/** @param {import("./grammar.js").Token[]} tokens @returns {Node[]} */
export const inline = (tokens) => merge(tokens.flatMap(node));

/** Join neighbouring strings. @param {Node[]} nodes */
function merge(nodes) {
  /** @type {Node[]} */
  const joined = [];
  for (const each of nodes) {
    const last = joined.length - 1;
    if (typeof each === "string" && typeof joined[last] === "string") joined[last] += each;
    else if (each !== "") joined.push(each);
  }
  return joined;
}

/** @type {Record<string, string>} */
const NAMED = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", ensp: "\u2002", emsp: "\u2003", thinsp: "\u2009", shy: "\u00ad",
  ndash: "–", mdash: "—", hellip: "…", bull: "•", middot: "·", laquo: "«", raquo: "»", lsquo: "‘", rsquo: "’", ldquo: "“",
  rdquo: "”", sbquo: "‚", bdquo: "„", copy: "©", reg: "®", trade: "™", deg: "°", para: "¶", sect: "§", dagger: "†",
  euro: "€", pound: "£", yen: "¥", cent: "¢", times: "×", divide: "÷", plusmn: "±", minus: "−", frac12: "½", frac14: "¼",
  frac34: "¾", sup1: "¹", sup2: "²", sup3: "³", micro: "µ", infin: "∞", ne: "≠", le: "≤", ge: "≥", asymp: "≈", equiv: "≡",
  sum: "∑", prod: "∏", radic: "√", int: "∫", part: "∂", nabla: "∇", isin: "∈", notin: "∉", cap: "∩", cup: "∪", sub: "⊂",
  sup: "⊃", and: "∧", or: "∨", not: "¬", forall: "∀", exist: "∃", empty: "∅", larr: "←", uarr: "↑", rarr: "→", darr: "↓",
  harr: "↔", lArr: "⇐", rArr: "⇒", hArr: "⇔", check: "✓", cross: "✗", star: "☆", hearts: "♥", alpha: "α", beta: "β",
  gamma: "γ", delta: "δ", epsilon: "ε", theta: "θ", lambda: "λ", mu: "μ", pi: "π", sigma: "σ", tau: "τ", phi: "φ",
  omega: "ω", Gamma: "Γ", Delta: "Δ", Sigma: "Σ", Omega: "Ω", agrave: "à", aacute: "á", acirc: "â", atilde: "ã", auml: "ä",
  aring: "å", aelig: "æ", ccedil: "ç", egrave: "è", eacute: "é", ecirc: "ê", euml: "ë", igrave: "ì", iacute: "í", ntilde: "ñ",
  ograve: "ò", oacute: "ó", ouml: "ö", oslash: "ø", ugrave: "ù", uacute: "ú", uuml: "ü", szlig: "ß", Auml: "Ä", Ouml: "Ö", Uuml: "Ü",
};

/** @param {string} text */
function entities(text) {
  return text.includes("&") ? text.replace(/&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z]\w{1,7}));/g, (whole, decimal, hex, name) => {
    if (name) return NAMED[name] ?? whole;
    const code = decimal ? Number(decimal) : parseInt(hex, 16);
    return code > 0x10ffff || code === 0 || (code >= 0xd800 && code < 0xe000) ? "\ufffd" : String.fromCodePoint(code);
  }) : text;
}

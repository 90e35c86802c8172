/**
 * Markdown: text to a tree of nodes, never to HTML. No DOM.
 *
 * js/grammar.js says what is read. While a reply streams, `Stream` reads only its open end again: a block is closed
 * once a complete line begins another one behind it, and its node never changes after that, save that a name which
 * is defined further down becomes a link when the reply ends.
 *
 * @typedef {import("./inline.js").Node} Node
 * @typedef {import("./inline.js").Element} Element
 * @typedef {import("./grammar.js").Token} Token
 * @typedef {{code: number, table: number, first: number, level: number}} Counts  how many there were, for their names; the
 *   depth of the first heading, 0 before it, and the level of the last one
 */
import { read } from "./grammar.js";
import { t } from "./i18n.js";
import { el, formula, inline } from "./inline.js";
import { mend } from "./mend.js";

/** @returns {Counts} */
const none = () => ({ code: 0, table: 0, first: 0, level: ABOVE });

const ABOVE = 2; // the level of the heading that each message has
const MOST_CELLS = 20_000; // a larger table is shown as it was written

/** Parse a whole text. @param {string} text @returns {Node[]} */
export const markdown = (text) => new Stream().update(text, false);

/** A reply that grows (or is rewound) while it is shown. */
export class Stream {
  /** @type {Node[]} */
  closed = [];

  prefix = ""; // the text that the closed blocks stand for

  /** @type {Counts} */
  counts = none();

  /** @type {import("./grammar.js").Links} */
  links = {};

  /** Forget what was closed. @param {import("./grammar.js").Links} links  what is known to be defined */
  begin(links) {
    this.closed = [];
    this.prefix = "";
    this.counts = none();
    this.links = links;
  }

  /**
   * The nodes of the text as it stands now; those of closed blocks are the same objects as before.
   * @param {string} text @param {boolean} live  more of it is to come @returns {Node[]}
   */
  update(text, live) {
    if (text.includes("\r")) text = text.replace(/\r\n?/g, "\n");
    if (!text.startsWith(this.prefix)) this.begin({});
    const rest = text.slice(this.prefix.length);
    const links = { ...this.links };
    const blocks = parse(live ? mend(rest) : rest, links);
    if (!live && this.closed.length && Object.keys(links).length > Object.keys(this.links).length) {
      this.begin(links); // what stands above may name what was defined here
      return this.update(text, live);
    }
    const lastLine = rest.lastIndexOf("\n");
    let shut = 0; // how many blocks have a complete line of another block behind them
    while (shut + 1 < blocks.length && blocks[shut + 1].line <= lastLine) shut += 1;
    if (shut) {
      this.closed.push(...draw(blocks.slice(0, shut), this.counts));
      this.prefix += rest.slice(0, blocks[shut].at);
      Object.assign(this.links, defined(blocks.slice(0, shut)), this.links);
    }
    return [...this.closed, ...draw(blocks.slice(shut), { ...this.counts })];
  }
}

/** @typedef {{token: Token, at: number, line: number}} Block  where it begins, and where its first line ends */

/** @param {string} text @param {import("./grammar.js").Links} links @returns {Block[]} */
function parse(text, links) {
  let at = 0;
  const blocks = [];
  for (const token of read(text, links)) {
    const end = text.indexOf("\n", at + token.raw.search(/\S|$/));
    if (token.type !== "space") blocks.push({ token, at, line: end < 0 ? Infinity : end });
    at += token.raw.length;
  }
  return blocks;
}

/** @param {Block[]} blocks */
const defined = (blocks) => Object.fromEntries(blocks.filter(({ token }) => token.type === "def")
  .map(({ token: { tag, href, title } }) => [tag, { href, title }]));

/** @param {Block[]} blocks @param {Counts} counts */
const draw = (blocks, counts) => blocks.flatMap(({ token }) => block(token, counts));

/** @param {Token[]} tokens @param {Counts} counts @returns {Node[]} */
const all = (tokens, counts) => tokens.flatMap((token) => block(token, counts));

/** @param {Token} token @param {Counts} counts @returns {Node[]} */
function block(token, counts) {
  switch (token.type) {
    case "space": case "def": case "checkbox": return [];
    case "heading": return [heading(token, counts)];
    case "paragraph": return [el("p", inline(token.tokens))];
    case "text": return token.tokens ? inline(token.tokens) : [el("p", [token.text])];
    case "hr": return [el("hr", [])];
    case "blockquote": return [el("blockquote", all(token.tokens, counts))];
    case "code": return [code(token, counts)];
    case "formula": return [formula(token)];
    case "list": return [list(token, counts)];
    case "table": return [table(token, counts)];
    default: return [el("p", [token.raw])];
  }
}

/** Below the message's own, and never two levels at once; `class` tells its looks. @param {Token} token @param {Counts} counts */
function heading(token, counts) {
  counts.first ||= token.depth;
  const wanted = ABOVE + 1 + token.depth - counts.first;
  counts.level = Math.max(ABOVE + 1, Math.min(wanted, counts.level + 1, 6));
  return el(`h${counts.level}`, inline(token.tokens), { class: `depth-${Math.min(token.depth, 4)}` });
}

/** @param {Token} token @param {Counts} counts */
function code(token, counts) {
  counts.code += 1;
  const language = (token.lang ?? "").trim().split(/\s/)[0].slice(0, 40);
  const copy = el("button", [t("Copy")], { type: "button", class: "copy-code", "data-done": t("Copied") });
  const name = t("Code {number}", { number: counts.code });
  const open = token.codeBlockStyle !== "indented" && !/\n[ \t>]*(?:`{3,}|~{3,})[ \t]*\n*$/.test(token.raw);
  /** @type {Element} */
  const text = { tag: "code", children: [token.text.replace(/\n+$/, "")], paint: "code", open, ...(language && { attrs: { "data-language": language.toLowerCase() } }) };
  return el("div", [
    el("div", [el("span", [language || "text"]), copy], { class: "code-bar" }),
    el("pre", [text], { tabindex: "0", role: "group", "aria-label": name, dir: "ltr" }),
  ], { class: "code" });
}

/** @param {Token} token @param {Counts} counts */
function list(token, counts) {
  const start = token.ordered && token.start !== 1 ? { start: String(token.start) } : undefined;
  return el(token.ordered ? "ol" : "ul", token.items.map((/** @type {Token} */ item) => {
    const children = all(item.tokens, counts);
    return item.task ? el("li", [box(item.checked), ...children], { class: "task" }) : el("li", children);
  }), start);
}

/** @param {boolean} checked */
function box(checked) {
  const attrs = { type: "checkbox", disabled: "", "aria-label": checked ? t("Done") : t("To do") };
  return el("input", [], checked ? { ...attrs, checked: "" } : attrs);
}

/** @param {Token} token @param {Counts} counts */
function table(token, counts) {
  if (token.header.length * (token.rows.length + 1) > MOST_CELLS) return el("p", [token.raw]);
  counts.table += 1;
  /** @param {string} tag @param {Token[]} cells */
  const row = (tag, cells) => el("tr", cells.map(({ tokens, align }) => el(tag, inline(tokens), align === "right" || align === "center" ? { class: align } : undefined)));
  const body = el("table", [el("thead", [row("th", token.header)]), el("tbody", token.rows.map((/** @type {Token[]} */ cells) => row("td", cells)))]);
  return el("div", [body], { class: "table", tabindex: "0", role: "group", "aria-label": t("Table {number}", { number: counts.table }) });
}

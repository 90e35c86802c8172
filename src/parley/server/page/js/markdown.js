/**
 * Markdown: text to a tree of nodes, never to HTML. No DOM.
 *
 * Paragraphs, headings, fenced code, lists (nested, numbered, tasks), quotes, tables and rules, as models write
 * them. HTML is shown as text. While a reply streams, `Stream` reads only its open end again: a block is closed
 * once a complete line begins another one behind it, and its node never changes after that.
 *
 * @typedef {import("./inline.js").Node} Node
 * @typedef {import("./inline.js").Element} Element
 * @typedef {{node: Element, line: number}} Block  `line`: where it begins
 */
import { t } from "./i18n.js";
import { inline } from "./inline.js";

const FENCE = /^( {0,3})(`{3,}|~{3,})[ \t]*([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*))?$/;
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/;
const QUOTE = /^ {0,3}>/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?:([ \t]+)(.*))?$/;
const DIVIDER = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

// Deeper nesting is hostile rather than meant, and is shown as text.
const DEEPEST = 8;

/** Parse a whole text. @param {string} text @returns {Node[]} */
export const markdown = (text) => parse(text.split("\n"), 0, false).map((block) => block.node);

/** A reply that grows (or is rewound) while it is shown. */
export class Stream {
  constructor() {
    /** @type {Node[]} */
    this.closed = [];
    this.prefix = ""; // the text that the closed blocks stand for
  }

  /**
   * The nodes of the text as it stands now; those of closed blocks are the same objects as before.
   * @param {string} text @param {boolean} live  more of it is to come @returns {Node[]}
   */
  update(text, live) {
    if (!text.startsWith(this.prefix)) {
      this.closed = [];
      this.prefix = "";
    }
    const lines = text.slice(this.prefix.length).split("\n");
    const blocks = parse(lines, 0, live);
    let shut = 0; // how many blocks have a complete line of another block behind them
    while (shut + 1 < blocks.length && blocks[shut + 1].line < lines.length - 1) shut += 1;
    if (shut) {
      this.closed.push(...blocks.slice(0, shut).map((block) => block.node));
      this.prefix += `${lines.slice(0, blocks[shut].line).join("\n")}\n`;
    }
    return [...this.closed, ...blocks.slice(shut).map((block) => block.node)];
  }
}

/** @param {string} tag @param {Node[]} children @param {Record<string, string>} [attrs] @returns {Element} */
const el = (tag, children, attrs) => (attrs ? { tag, attrs, children } : { tag, children });

/** @param {string} line */
const blank = (line) => !line.trim();

/** @param {string} line */
const indent = (line) => line.length - line.trimStart().length;

/** @param {string[]} lines @param {number} depth @param {boolean} live  the last line is still being written @returns {Block[]} */
function parse(lines, depth, live) {
  /** @type {Block[]} */
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (blank(lines[at])) {
      at += 1;
      continue;
    }
    const [node, next] = block(lines, at, depth, live);
    blocks.push({ node, line: at });
    at = next;
  }
  return blocks;
}

/** The block that begins at a line, and the line behind it. @param {string[]} lines @param {number} at @param {number} depth @param {boolean} live @returns {[Element, number]} */
function block(lines, at, depth, live) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) return code(lines, at, fence);
  const heading = HEADING.exec(line);
  if (heading) {
    const text = (heading[2] ?? "").trim().replace(/(^|[ \t])#+$/, "");
    return [el(`h${Math.min(heading[1].length + 2, 6)}`, inline(text.trim(), live && at + 1 === lines.length)), at + 1];
  }
  if (RULE.test(line)) return [el("hr", []), at + 1];
  if (depth < DEEPEST) {
    if (QUOTE.test(line)) return quote(lines, at, depth, live);
    const item = ITEM.exec(line);
    if (item && item[1].length < 4) return list(lines, at, item, depth, live);
    const found = table(lines, at, live);
    if (found) return found;
  }
  let end = at + 1;
  while (end < lines.length && !blank(lines[end]) && !interrupts(lines[end], depth)) end += 1;
  return [el("p", inline(paragraph(lines.slice(at, end)), live && end === lines.length)), end];
}

/** @param {string[]} lines */
const paragraph = (lines) => lines.map((line) => line.trimStart()).join("\n").trimEnd();

/** Whether a line ends a paragraph without a blank line between. @param {string} line @param {number} depth */
function interrupts(line, depth) {
  if (FENCE.test(line) || HEADING.test(line) || RULE.test(line)) return true;
  if (depth >= DEEPEST) return false;
  if (QUOTE.test(line)) return true;
  const item = ITEM.exec(line);
  return Boolean(item && item[1].length < 4 && item[4]?.trim() && (!/\d/.test(item[2]) || /^1[.)]/.test(item[2])));
}

/** @param {string[]} lines @param {number} at @param {RegExpExecArray} fence @returns {[Element, number]} */
function code(lines, at, fence) {
  const [, margin, mark, info] = fence;
  const body = [];
  let end = at + 1;
  let closed = false;
  for (; end < lines.length && !closed; end += 1) {
    const line = lines[end];
    const bare = line.trim();
    if (bare.startsWith(mark) && bare === mark[0].repeat(bare.length) && indent(line) < 4) closed = true;
    else body.push(margin ? line.slice(Math.min(margin.length, indent(line))) : line);
  }
  // The closing marks may be under way: do not show half of them.
  const last = body.at(-1)?.trim();
  if (!closed && last && last === mark[0].repeat(last.length)) body.pop();
  const language = info.trim().split(/\s/)[0].slice(0, 40);
  const copy = el("button", [t("Copy")], { type: "button", class: "copy-code" });
  return [
    el("div", [
      el("div", [el("span", [language || "text"]), copy], { class: "code-bar" }),
      el("pre", [el("code", [body.join("\n")])], { tabindex: "0", role: "group", "aria-label": t("Code") }),
    ], { class: "code" }),
    end,
  ];
}

/** @param {string[]} lines @param {number} at @param {number} depth @param {boolean} live @returns {[Element, number]} */
function quote(lines, at, depth, live) {
  const inner = [];
  let end = at;
  for (; end < lines.length && !blank(lines[end]); end += 1) {
    const line = lines[end];
    if (QUOTE.test(line)) inner.push(line.replace(/^ {0,3}> ?/, ""));
    else if (!blank(inner.at(-1) ?? "") && !interrupts(line, depth)) inner.push(line);
    else break;
  }
  return [el("blockquote", parse(inner, depth + 1, live && end === lines.length).map((block) => block.node)), end];
}

/** The kind of list an item belongs to: its bullet, or what stands behind its number. @param {RegExpExecArray} item */
const kind = (item) => item[2].at(-1);

/** @param {string[]} lines @param {number} at @param {RegExpExecArray} first @param {number} depth @param {boolean} live @returns {[Element, number]} */
function list(lines, at, first, depth, live) {
  /** @type {string[][]} */
  const items = [];
  let loose = false;
  let end = at;
  /** @type {RegExpExecArray | null} */
  let item = first;
  while (item && item[1].length < 4 && kind(item) === kind(first) && !RULE.test(lines[end])) {
    const [content, next] = itemLines(lines, end, item);
    const gap = content.length - trimEnd(content).length > 0;
    items.push(trimEnd(content));
    end = next;
    item = end < lines.length ? ITEM.exec(lines[end]) : null;
    if (gap && item && item[1].length < 4 && kind(item) === kind(first)) loose = true;
  }
  loose ||= items.some(spaced);
  const ordered = /\d/.test(first[2]);
  const start = parseInt(first[2], 10);
  const children = items.map((content, n) => listItem(content, loose, depth, live && end === lines.length && n === items.length - 1));
  return [el(ordered ? "ol" : "ul", children, ordered && start !== 1 ? { start: String(start) } : undefined), end];
}

/** Whether blank lines part an item's blocks. @param {string[]} content */
function spaced(content) {
  let fenced = false;
  for (const line of content.slice(1)) {
    if (FENCE.test(line)) fenced = !fenced;
    else if (!fenced && blank(line)) return true;
  }
  return false;
}

/** The lines of one item, without its margin, and the line behind it. @param {string[]} lines @param {number} at @param {RegExpExecArray} item @returns {[string[], number]} */
function itemLines(lines, at, item) {
  const gap = item[3]?.length ?? 1;
  const margin = item[1].length + item[2].length + (gap > 4 ? 1 : gap);
  const content = [(gap > 4 ? " ".repeat(gap - 1) : "") + (item[4] ?? "")];
  let end = at + 1;
  for (; end < lines.length; end += 1) {
    const line = lines[end];
    const space = indent(line);
    if (blank(line)) content.push("");
    else if (space >= margin) content.push(line.slice(margin));
    else if (space >= 2 && space > item[1].length && ITEM.test(line)) content.push(line.slice(space)); // models indent sparingly
    else if (!blank(content.at(-1) ?? "") && !ITEM.test(line) && !interrupts(line, 0)) content.push(line.trimStart());
    else break;
  }
  return [content, end];
}

/** @param {string[]} lines */
function trimEnd(lines) {
  let end = lines.length;
  while (end > 1 && blank(lines[end - 1])) end -= 1;
  return lines.slice(0, end);
}

/** @param {string[]} content @param {boolean} loose @param {number} depth @param {boolean} live @returns {Element} */
function listItem(content, loose, depth, live) {
  const task = /^\[([ xX])\][ \t]+/.exec(content[0]);
  if (task) content = [content[0].slice(task[0].length), ...content.slice(1)];
  /** @type {Node[]} */
  const children = parse(content, depth + 1, live).flatMap(({ node }) => (node.tag === "p" && !loose ? node.children : [node]));
  if (!task) return el("li", children);
  /** @type {Record<string, string>} */
  const attrs = { type: "checkbox", disabled: "", "aria-label": task[1] === " " ? t("To do") : t("Done") };
  if (task[1] !== " ") attrs.checked = "";
  return el("li", [el("input", [], attrs), ...children], { class: "task" });
}

/** @param {string[]} lines @param {number} at @param {boolean} live @returns {[Element, number] | null} */
function table(lines, at, live) {
  const divider = lines[at + 1] ?? "";
  // A table's head is shown as one from its first stroke on.
  const growing = live && lines[at].trim().startsWith("|") && at + 2 >= lines.length && /^[\s|:-]*$/.test(divider);
  if (!growing && !(lines[at].includes("|") && /[|:]/.test(divider) && DIVIDER.test(divider))) return null;
  const head = cells(lines[at]);
  /** @type {string[]} */
  const sides = cells(divider).map((cell) => (cell.endsWith(":") ? (cell.startsWith(":") ? "center" : "right") : ""));
  if (growing) sides.splice(head.length, Infinity, ...head.slice(sides.length).map(() => ""));
  else if (head.length !== sides.length) return null;
  const rows = [];
  let end = at + 2;
  for (; end < lines.length && !blank(lines[end]) && !interrupts(lines[end], 0); end += 1) rows.push(cells(lines[end]));
  /** @param {string} tag @param {string[]} row */
  const line = (tag, row) => el("tr", sides.map((side, n) => el(tag, inline(row[n] ?? ""), side ? { class: side } : undefined)));
  const body = el("table", [el("thead", [line("th", head)]), el("tbody", rows.map((row) => line("td", row)))]);
  return [el("div", [body], { class: "table", tabindex: "0", role: "group", "aria-label": t("Table") }), end];
}

/** @param {string} line */
function cells(line) {
  const bare = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return bare.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

/**
 * A text that is still being written, closed where it is open: what has begun is shown as what it will be. No DOM.
 *
 * Half an emphasis is emphasis, half a link its words, the head of a table a table; a line that may yet become a rule,
 * a heading's underline or the end of a code block is held back. Only the last lines are changed.
 */
import { OPEN } from "./grammar.js";

const FENCE = /^(?:[ \t]|>|[-*+][ \t]|\d{1,9}[.)][ \t])*(`{3,}|~{3,})(.*)$/;
const BEGINS = /^[ \t]*(?:[-*+]|\d{1,9}[.)]|>|#{1,6})[ \t]/; // a line that begins a block
const LONGEST = 20_000; // a paragraph beyond this is hostile rather than long, and is shown as it stands
const WORD = /[\p{L}\p{N}]/u;

/** @param {string} text */
export function mend(text) {
  const lines = text.split("\n");
  const fence = open(lines);
  const last = lines.length - 1;
  if (fence) {
    const bare = lines[last].trim();
    // The closing marks may be under way: do not show half of them.
    return bare && bare.length <= fence.length && bare === fence[0].repeat(bare.length) ? lines.slice(0, -1).join("\n") : text;
  }
  if (/^[ \t]*(?:-+|=+|\*+|_+|`+|~+|\$+|\\|\|?[ \t]*)$/.test(lines[last])) lines.pop();
  const head = table(lines);
  if (head) return head;
  let from = lines.length - 1;
  while (from > 0 && lines[from - 1].trim() && !BEGINS.test(lines[from])) from -= 1;
  const before = lines.slice(0, from).join("\n");
  const tail = lines.slice(from).join("\n");
  return tail.length > LONGEST ? text : (from ? `${before}\n` : "") + closed(tail);
}

/** The mark of the code block that the last line stands in, or nothing. @param {string[]} lines */
function open(lines) {
  let mark = "";
  for (const line of lines) {
    const found = FENCE.exec(line);
    if (!found) continue;
    const [, own, rest] = found;
    if (!mark) mark = own[0] === "`" && rest.includes("`") ? "" : own;
    else if (own[0] === mark[0] && own.length >= mark.length && !rest.trim() && line !== lines.at(-1)) mark = "";
    else if (own === mark && !rest.trim()) mark = "";
  }
  return mark;
}

/** A table's head is a table from its first stroke on. @param {string[]} lines */
function table(lines) {
  const whole = lines.at(-1)?.trim().startsWith("|") ? [...lines, ""] : lines;
  const [head, divider] = whole.slice(-2).map((line) => line.trim());
  if (!head?.startsWith("|") || !/^[|: -]*$/.test(divider ?? "") || whole.at(-3)?.trim().startsWith("|")) return null;
  const columns = head.replace(/^\||\|$/g, "").split(/(?<!\\)\|/).length;
  return [...whole.slice(0, -2), head.endsWith("|") ? head : `${head}|`, `|${"---|".repeat(columns)}`].join("\n");
}

/** @param {string} tail  the paragraph that is being written */
function closed(tail) {
  const maths = tail.lastIndexOf("$$") >= 0 && tail.split("$$").length % 2 === 0 ? "$$"
    : tail.lastIndexOf("\\[") > tail.lastIndexOf("\\]") ? "\\]"
    : tail.lastIndexOf("\\(") > tail.lastIndexOf("\\)") ? "\\)" : "";
  if (maths) return `${tail.replace(/[$\\]$/, "")} ${OPEN}${maths}`;
  const text = tail
    .replace(/!?\[([^\][\n]{1,500})\]\([^()\s]{0,2000}$/, "$1")
    .replace(/[*_~]+$/, "");
  const body = text.trimEnd();
  return body + closers(body) + text.slice(body.length);
}

/** What closes the code and the emphasis that are open at the end. @param {string} text */
function closers(text) {
  /** @type {{mark: string, width: number}[]} */
  const stack = [];
  for (let at = 0; at < text.length;) {
    const mark = text[at];
    if (mark === "\\") {
      at += 2;
      continue;
    }
    if (!"`*_~".includes(mark)) {
      at += 1;
      continue;
    }
    let end = at;
    while (text[end] === mark) end += 1;
    const width = end - at;
    if (mark === "`") {
      const partner = text.slice(end).search(new RegExp(`(?<!\`)\`{${width}}(?!\`)`));
      if (partner < 0) {
        if (width > 2 || end === text.length) return "";
        // Half of two closing marks is neither.
        return (width === 2 && text.endsWith("`") ? "`" : "`".repeat(width)) + unwound(stack);
      }
      at = end + partner + width;
      continue;
    }
    emphasis(stack, mark, width, text[at - 1] ?? " ", text[end] ?? " ");
    at = end;
  }
  return unwound(stack);
}

/** @param {{mark: string, width: number}[]} stack @param {string} mark @param {number} width @param {string} before @param {string} after */
function emphasis(stack, mark, width, before, after) {
  if (width > 3 || (mark === "~" && width !== 2)) return;
  const left = after.trim() && (WORD.test(after) || !WORD.test(before));
  const right = before.trim() && (WORD.test(before) || !WORD.test(after));
  let rest = width;
  if (right && (mark !== "_" || !WORD.test(after))) {
    for (let at = stack.length - 1; at >= 0 && rest > 0; at -= 1) {
      if (stack[at].mark !== mark) continue;
      const used = Math.min(rest, stack[at].width);
      rest -= used;
      stack[at].width -= used;
      stack.length = stack[at].width ? at + 1 : at;
    }
  }
  if (rest && left && !right) stack.push({ mark, width: rest });
}

/** @param {{mark: string, width: number}[]} stack */
const unwound = (stack) => stack.reverse().map(({ mark, width }) => mark.repeat(width)).join("");

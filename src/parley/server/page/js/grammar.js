/**
 * What Markdown is here: GitHub's, read by marked's lexer, with formulas and footnotes, without HTML. No DOM.
 *
 * Nothing but `<br>` of HTML is known; the rest is text. What is nested deeper than anyone means is text too, as
 * reading it costs time squared.
 */
import { getDefaults, Lexer, Tokenizer } from "../vendor/marked.js";

/** @typedef {any} Token  of marked, by its `type`; ours are "formula" and "note" */

const DEEPEST = 12;
const AHEAD = 4_000; // characters of plain text read at a time, as reading all that is left each time costs time squared

/** Behind a formula whose end is still to come, as js/mend.js closes it. */
export const OPEN = "\u0003";

class Careful extends Tokenizer {
  depth = 0;

  /** @param {string} src */
  blockquote(src) {
    return this.deeper(() => super.blockquote(src));
  }

  /** @param {string} src */
  list(src) {
    return this.deeper(() => super.list(src));
  }

  /** @template T @param {() => T} read */
  deeper(read) {
    if (this.depth >= DEEPEST) return undefined;
    this.depth += 1;
    try {
      return read();
    } finally {
      this.depth -= 1;
    }
  }

  /** @param {string} src */
  paragraph(src) {
    return super.paragraph(ended(src));
  }

  /** @param {string} src */
  lheading(src) {
    return super.lheading(ended(src));
  }

  /** A dollar may begin a formula. @param {string} src @returns {any} */
  inlineText(src) {
    const near = src.slice(0, AHEAD);
    const next = near.indexOf("$", near.search(/[^$]|$/) || 1);
    return super.inlineText(next > 0 ? near.slice(0, next) : near);
  }

  html() {
    return undefined;
  }

  /** @param {string} src @returns {any} */
  tag(src) {
    const found = /^<br ?\/?>/i.exec(src);
    return found ? { type: "br", raw: found[0] } : undefined;
  }
}

/** A text to where its paragraph ends at the latest: at a blank line, or a formula on lines of its own. @param {string} src */
function ended(src) {
  const end = src.search(/\n(?:[ \t]*(?:\n|$)| {0,3}(?:\$\$|\\\[))/);
  return end < 0 ? src : src.slice(0, end);
}

/** A formula on lines of its own: `$$…$$` or `\[…\]`. @param {string} src */
function display(src) {
  const found = /^ {0,3}(?:\$\$((?:[^$]|\$(?!\$)){1,5000})\$\$|\\\[([\s\S]{1,5000}?)\\\])[ \t]*(?:\n+|$)/.exec(src);
  const tex = (found?.[1] ?? found?.[2])?.trim();
  return found && tex ? { type: "formula", raw: found[0], tex, display: true } : undefined;
}

/** A formula in a line: `$…$` whose dollars touch it and no digit follows, so that prices stay prices, or `\(…\)`. @param {string} src */
function formula(src) {
  const found = /^\$\$([^$\n]{1,5000})\$\$/.exec(src) ?? /^\\\[([^\n]{1,5000}?)\\\]/.exec(src);
  if (found) return { type: "formula", raw: found[0], tex: found[1].trim(), display: true };
  const inner = /^\$((?! )(?:\\.|[^\\$`\n]){1,2000}(?<! ))\$(?![\d\p{L}])/u.exec(src) ?? /^\\\(([^\n]{1,2000}?)\\\)/.exec(src);
  return inner ? { type: "formula", raw: inner[0], tex: inner[1].trim(), display: false } : undefined;
}

/** Where a footnote is named, or, at the beginning of a paragraph, what it says: `[^1]`, `[^1]: …`. @param {string} src */
function note(src) {
  const found = /^\[\^(\d{1,3})\](:[ \t]*)?/.exec(src);
  return found ? { type: "note", raw: found[0], label: found[1], says: Boolean(found[2]) } : undefined;
}

const GRAMMAR = {
  ...getDefaults(),
  extensions: { block: [display], inline: [formula, note], childTokens: {}, renderers: {} },
};

/** @typedef {Record<string, {href: string, title: string}>} Links  what the text defines, by name */

/**
 * Read a text.
 * @param {string} text @param {Links} links  defined before; gets what this text defines
 * @returns {Token[]}
 */
export function read(text, links) {
  const lexer = new Lexer(/** @type {any} */ ({ ...GRAMMAR, tokenizer: new Careful() }));
  Object.assign(lexer.tokens.links, links);
  try {
    const tokens = lexer.lex(text);
    Object.assign(links, lexer.tokens.links);
    return [...tokens];
  } catch (error) {
    console.info("not read as Markdown:", error); // the lexer met a text it has no end for
    return [{ type: "text", raw: text, text }];
  }
}

/**
 * Inline Markdown: text to tree nodes, never to HTML. No DOM.
 *
 * Code spans, strong, emphasis, strike-through, links, bare addresses, hard breaks and escapes, after CommonMark's
 * delimiter algorithm, so that hostile runs of markers cost linear time. Only http and https become links; an image
 * is a link, so that no reply can make the browser ask another host.
 *
 * @typedef {{tag: string, attrs?: Record<string, string>, children: Node[]}} Element
 * @typedef {string | Element} Node
 * @typedef {{marker: string, count: number, open: boolean, close: boolean, width: number}} Run
 */

const PUNCTUATION = /[!-/:-@[-`{-~\p{P}\p{S}]/u;
const SPACE = /\s/u;
const ADDRESS = /^https?:\/\/[^\s<>"'`\u0000-\u001f]+/i;

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

/** @param {string} href @param {Node[]} children @returns {Element} */
const link = (href, children) => ({ tag: "a", attrs: { href, target: "_blank", rel: "noopener noreferrer nofollow" }, children });

// Beyond these a text is hostile rather than long, and is shown as it stands.
const LONGEST = 50_000;
const WIDEST_RUN = 6;
const DEEPEST = 32;

/**
 * Parse a paragraph's text.
 * @param {string} text @param {boolean} [live]  its end is still being written: show what is open as if it were closed
 * @returns {Node[]}
 */
export function inline(text, live = false) {
  if (text.length > LONGEST) return [text];
  if (live) text = text.replace(/\[([^\][\n]{1,500})\]\([^()\s]{0,2000}$/, "$1").replace(/[*_~`]+$/, "");
  /** @type {(Node | Run)[]} */
  const out = [];
  /** @type {{at: number, active: boolean}[]} */
  const brackets = [];
  let plain = "";
  let lostTicks = 0; // backtick runs of these widths (a bit each) have no partner further on
  const flush = () => {
    if (plain) out.push(plain);
    plain = "";
  };
  let at = 0;
  while (at < text.length) {
    const char = text[at];
    if (char === "\\" && at + 1 < text.length) {
      const next = text[at + 1];
      if (next === "\n") {
        flush();
        out.push({ tag: "br", children: [] });
      } else plain += /[!-/:-@[-`{-~]/.test(next) ? next : char + next;
      at += 2;
    } else if (char === "`") {
      const width = runWidth(text, at, "`");
      const bit = 1 << Math.min(width, 30);
      const end = lostTicks & bit ? -1 : partner(text, at + width, width);
      if (end < 0 && live && width < 3 && at + width < text.length) {
        flush();
        out.push({ tag: "code", children: [text.slice(at + width)] });
        at = text.length;
      } else if (end < 0) {
        lostTicks |= bit;
        plain += text.slice(at, at + width);
        at += width;
      } else {
        flush();
        out.push({ tag: "code", children: [trimCode(text.slice(at + width, end))] });
        at = end + width;
      }
    } else if (char === "*" || char === "_" || char === "~") {
      const width = runWidth(text, at, char);
      if (width > WIDEST_RUN || (char === "~" && width !== 2)) plain += text.slice(at, at + width);
      else {
        flush();
        out.push(delimiter(text, at, width));
      }
      at += width;
    } else if (char === "[" || (char === "!" && text[at + 1] === "[")) {
      flush();
      const mark = char === "!" ? "![" : "[";
      brackets.push({ at: out.length, active: true });
      out.push(mark);
      at += mark.length;
    } else if (char === "]") {
      const opener = brackets.pop();
      const target = opener?.active ? destination(text, at + 1) : null;
      if (opener && target) {
        flush();
        const inner = emphasis(out.splice(opener.at).slice(1));
        const label = inner.length ? inner : [target.raw];
        const href = safeAddress(target.raw);
        if (href) out.push(link(href, label));
        else out.push(...label, ` (${target.raw})`);
        for (const each of brackets) each.active = false; // no links in links
        at = target.end;
      } else {
        plain += char;
        at += 1;
      }
    } else if ((char === "h" || char === "H") && !/[\p{L}\p{N}]/u.test(text[at - 1] ?? "")) {
      const bare = bareAddress(text.slice(at, at + 2000));
      if (bare) {
        flush();
        out.push(link(bare.href, [bare.raw]));
        at += bare.raw.length;
      } else {
        plain += char;
        at += 1;
      }
    } else if (char === "<") {
      const found = /^<(https?:\/\/[^\s<>]{1,2000})>/i.exec(text.slice(at, at + 2010));
      const href = found && safeAddress(found[1]);
      if (found && href) {
        flush();
        out.push(link(href, [found[1]]));
        at += found[0].length;
      } else {
        plain += char;
        at += 1;
      }
    } else if (char === "\n") {
      if (plain.endsWith("  ")) {
        plain = plain.trimEnd();
        flush();
        out.push({ tag: "br", children: [] });
      } else plain += "\n";
      at += 1;
    } else {
      // The rest up to the next character that may mean something, in one step.
      const next = nextSpecial(text, at + 1);
      plain += text.slice(at, next);
      at = next;
    }
  }
  flush();
  return emphasis(out, live);
}

const SPECIAL = /[\\`*_~![\]hH<\n]/g;

/** @param {string} text @param {number} from */
function nextSpecial(text, from) {
  SPECIAL.lastIndex = from;
  return SPECIAL.exec(text)?.index ?? text.length;
}

/** @param {string} text @param {number} at @param {string} char */
function runWidth(text, at, char) {
  let end = at;
  while (text[end] === char) end += 1;
  return end - at;
}

/** Where a run of exactly `width` backticks begins again. @param {string} text @param {number} from @param {number} width */
function partner(text, from, width) {
  let at = text.indexOf("`", from);
  while (at >= 0) {
    const found = runWidth(text, at, "`");
    if (found === width) return at;
    at = text.indexOf("`", at + found);
  }
  return -1;
}

/** @param {string} code */
function trimCode(code) {
  const line = code.replace(/\n/g, " ");
  return line.startsWith(" ") && line.endsWith(" ") && line.trim() ? line.slice(1, -1) : line;
}

/** @param {string} text @param {number} at @param {number} width @returns {Run} */
function delimiter(text, at, width) {
  const marker = text[at];
  const before = text[at - 1] ?? " ";
  const after = text[at + width] ?? " ";
  const [spaceBefore, spaceAfter] = [SPACE.test(before), SPACE.test(after)];
  const [pointBefore, pointAfter] = [PUNCTUATION.test(before), PUNCTUATION.test(after)];
  const left = !spaceAfter && (!pointAfter || spaceBefore || pointBefore);
  const right = !spaceBefore && (!pointBefore || spaceAfter || pointAfter);
  return {
    marker, count: width, width,
    open: marker === "_" ? left && (!right || pointBefore) : left,
    close: marker === "_" ? right && (!left || pointAfter) : right,
  };
}

/** What stands behind a link's text: ``(address "title")``. @param {string} text @param {number} at */
function destination(text, at) {
  if (text[at] !== "(") return null;
  const found = /^\(\s*(?:<([^<>\n]{0,2000})>|((?:[^\s()\\]|\\.|\([^\s()]{0,500}\)){0,2000}))(?:\s+(?:"[^"]{0,500}"|'[^']{0,500}'))?\s*\)/
    .exec(text.slice(at, at + 3100));
  return found ? { raw: found[1] ?? found[2] ?? "", end: at + found[0].length } : null;
}

/** @param {string} text */
function bareAddress(text) {
  let raw = ADDRESS.exec(text)?.[0];
  if (!raw) return null;
  raw = raw.replace(/[.,;:!?*_~]+$/, "");
  let surplus = raw.split(")").length - raw.split("(").length; // of closing brackets: those end the sentence
  for (; surplus > 0 && raw.endsWith(")"); surplus -= 1) raw = raw.slice(0, -1);
  const href = safeAddress(raw);
  return href ? { raw, href } : null;
}

/** @param {Node | Run} part @returns {part is Run} */
const isRun = (part) => typeof part === "object" && "marker" in part;

/**
 * Pair the delimiter runs.
 * @param {(Node | Run)[]} parts @param {boolean} [live] @returns {Node[]}
 */
function emphasis(parts, live = false) {
  /** @type {(Node | Run)[]} */
  const done = [];
  /** @type {Record<string, number[]>} where in `done` runs stand that may open, by marker */
  const openers = { "*": [], _: [], "~": [] };
  for (const part of parts) {
    if (!isRun(part)) {
      done.push(part);
      continue;
    }
    if (part.close) close(part, done, openers);
    if (part.count > 0) {
      if (part.open && openers[part.marker].length < DEEPEST) openers[part.marker].push(done.length);
      done.push(part);
    }
  }
  if (live) {
    for (let place; (place = Math.max(...Object.values(openers).map((own) => own.at(-1) ?? -1))) >= 0; ) {
      const { marker, width, close: inside } = /** @type {Run} */ (done[place]);
      openers[marker].pop();
      if (!inside) close({ marker, width, count: width, open: false, close: true }, done, { ...openers, [marker]: [place] });
    }
  }
  return spell(done);
}

/** @param {Run} run @param {(Node | Run)[]} done @param {Record<string, number[]>} openers */
function close(run, done, openers) {
  const own = openers[run.marker];
  for (let index = own.length - 1; index >= 0 && run.count > 0; index -= 1) {
    const place = own[index];
    const opener = /** @type {Run} */ (done[place]);
    if (run.marker !== "~" && unpaired(opener, run)) continue;
    // Openers between the two have found no partner and never will.
    for (const stack of Object.values(openers)) while (/** @type {number} */ (stack.at(-1)) > place) stack.pop();
    while (run.count > 0 && opener.count > 0) {
      const width = run.marker === "~" || (run.count >= 2 && opener.count >= 2) ? 2 : 1;
      const tag = run.marker === "~" ? "del" : width === 2 ? "strong" : "em";
      done.push({ tag, children: spell(done.splice(place + 1)) });
      run.count -= width;
      opener.count -= width;
    }
    if (opener.count === 0) {
      done.splice(place, 1);
      own.pop();
    }
  }
}

/** CommonMark's rule of three: runs that could both open and close. @param {Run} opener @param {Run} run */
function unpaired(opener, run) {
  if (!opener.close && !run.open) return false;
  return (opener.width + run.width) % 3 === 0 && (opener.width % 3 !== 0 || run.width % 3 !== 0);
}

/** Runs without a partner are what they are: text. @param {(Node | Run)[]} parts @returns {Node[]} */
const spell = (parts) => merge(parts.map((part) => (isRun(part) ? part.marker.repeat(part.count) : part)));

/** Join neighbouring strings. @param {Node[]} nodes */
function merge(nodes) {
  /** @type {Node[]} */
  const joined = [];
  for (const node of nodes) {
    const last = joined.length - 1;
    if (typeof node === "string" && typeof joined[last] === "string") joined[last] += node;
    else joined.push(node);
  }
  return joined;
}

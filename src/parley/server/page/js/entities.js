/** Character references, as HTML names them: those that models write; others stay as they are. No DOM. */

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
export function entities(text) {
  return text.includes("&") ? text.replace(/&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z]\w{1,7}));/g, (whole, decimal, hex, name) => {
    if (name) return NAMED[name] ?? whole;
    const code = decimal ? Number(decimal) : parseInt(hex, 16);
    return code > 0x10ffff || code === 0 || (code >= 0xd800 && code < 0xe000) ? "\ufffd" : String.fromCodePoint(code);
  }) : text;
}

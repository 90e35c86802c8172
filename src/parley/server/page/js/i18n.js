/**
 * The page's words in the reader's language.
 *
 * English is written where it is used, `t("No reply.")`, and is the key under which the other languages keep theirs in
 * `i18n/<language>.json`; what a language lacks is said in English. A key with `{count}` has a form for each plural
 * category of its language (CLDR, by `Intl.PluralRules`). Importing this waits for the words, so that `t` may be used
 * anywhere, and turns the page's own text and direction.
 */

/** The languages there are, each by its own name. */
export const LANGUAGES = {
  en: "English", de: "Deutsch", es: "Español", fr: "Français", it: "Italiano", "pt-BR": "Português (Brasil)",
  ja: "日本語", "zh-Hans": "简体中文", ar: "العربية",
};

/** English forms for one thing; the key is the form for many. @type {Record<string, string>} */
export const SINGULAR = {
  "This is {count} bytes longer than a message may be. Send it in parts.": "This is {count} byte longer than a message may be. Send it in parts.",
  "{count} conversations": "{count} conversation",
  "{count} tokens": "{count} token",
  "{count} watching": "{count} watching",
};

try {
  void [localStorage, sessionStorage];
} catch {
  await import("./storage.js"); // before anything is looked for there
}

const KEPT = "parley.language";
const SPOKEN = ["aria-label", "placeholder", "title"]; // attributes that are read
const RIGHT_TO_LEFT = new Set(["Arab", "Hebr", "Syrc", "Thaa"]);

/** @typedef {Record<string, string | Record<string, string>>} Dictionary */

/** The reader's setting; empty: as the browser says. */
export const setting = {
  get: () => localStorage.getItem(KEPT) ?? "",
  /** Takes effect when the page is loaded anew. @param {string} language */
  set: (language) => language ? localStorage.setItem(KEPT, language) : localStorage.removeItem(KEPT),
};

/** The first of the wanted languages that there is, by language and script: `zh-CN` is `zh-Hans`. @param {readonly string[]} wanted */
export function pick(wanted) {
  for (const tag of wanted) {
    const found = Object.keys(LANGUAGES).find((language) => kind(language) === kind(tag));
    if (found) return found;
  }
  return "en";
}

/** @param {string} tag  of BCP 47 */
function kind(tag) {
  try {
    const { language, script } = new Intl.Locale(tag).maximize();
    return `${language}-${script}`;
  } catch {
    return ""; // not a language
  }
}

export const language = pick([setting.get(), ...navigator.languages]);

// Dates and numbers as the reader's region writes them, where the browser knows it for this language.
const locale = navigator.languages.find((tag) => kind(tag) === kind(language)) ?? language;
const plural = new Intl.PluralRules(language);

/** @type {Dictionary} */
const words = language === "en" ? {} : await dictionary(language);

/** @param {string} name @returns {Promise<Dictionary>} */
async function dictionary(name) {
  try {
    return await (await fetch(new URL(`../i18n/${name}.json`, import.meta.url))).json();
  } catch {
    return {}; // English is better than nothing
  }
}

/**
 * Say it in the reader's language.
 * @param {string} text  in English, with `{name}` for each value @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(text, values = {}) {
  const known = words[text] ?? (values.count === 1 && SINGULAR[text]) ?? text;
  const form = typeof known === "object" ? (known[plural.select(Number(values.count))] ?? known.other) : known || text;
  return form.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name] ?? whole;
    return typeof value === "number" ? number(value) : value;
  });
}

/** @param {number} value @param {Intl.NumberFormatOptions} [options] */
export const number = (value, options) => new Intl.NumberFormat(locale, options).format(value);

/** @param {number} at  unix milliseconds @param {Intl.DateTimeFormatOptions} [options] */
export const date = (at, options = { dateStyle: "medium", timeStyle: "medium" }) => new Intl.DateTimeFormat(locale, options).format(at);

/** A length of time in seconds, short. @param {number} seconds */
export const span = (seconds) => number(seconds, { style: "unit", unit: "second", unitDisplay: "short", maximumFractionDigits: seconds < 10 ? 1 : 0 });

/** Put what stands in the page's own HTML into the reader's language. @param {HTMLElement} root */
function turn(root) {
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = /** @type {Text} */ (texts.currentNode);
    const text = node.data.trim();
    if (text in words) node.data = node.data.replace(text, () => t(text));
  }
  for (const name of SPOKEN) {
    for (const element of root.querySelectorAll(`[${name}]`)) element.setAttribute(name, t(element.getAttribute(name) ?? ""));
  }
}

const page = document.documentElement;
page.lang = language;
page.dir = RIGHT_TO_LEFT.has(new Intl.Locale(language).maximize().script ?? "") ? "rtl" : "ltr";
if (language !== "en") turn(document.body);
page.classList.remove("unspoken");

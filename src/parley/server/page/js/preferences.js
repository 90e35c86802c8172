/** The reader's own settings, of this browser: language, looks, and what a screen reader is told. */
import { find, make } from "./dom.js";
import { LANGUAGES, setting } from "./i18n.js";
import { theme } from "./theme.js";

const KEPT = "parley.announce";

/** What is told of a reply: `end`, `sentences` while it is written, or `off`. */
export const announcing = {
  get: () => localStorage.getItem(KEPT) ?? "end",
  /** @param {string} what */
  set: (what) => localStorage.setItem(KEPT, what),
};

/** Wire the dialog. */
export function preferences() {
  const dialog = find("preferences");
  const language = find("language");
  language.append(...Object.entries(LANGUAGES).map(([tag, name]) => make("option", { value: tag, lang: tag }, name)));
  language.value = setting.get();
  language.addEventListener("change", () => {
    setting.set(language.value);
    location.reload(); // nothing is lost: what is written is kept, and replies go on
  });
  for (const [name, kept] of /** @type {const} */ ([["theme", theme], ["announce", announcing]])) {
    find(name).value = kept.get();
    find(name).addEventListener("change", () => kept.set(find(name).value));
  }
  find("preferences-open").addEventListener("click", () => dialog.showModal());
}

/** The reader's own settings, of this browser, in a small dialog: language, looks, and what a screen reader is told. */
import { find, make, theme } from "./dom.js";
import { LANGUAGES, setting } from "./i18n.js";
import { announcing } from "./status.js";

/** Wire the dialog. @returns {HTMLDialogElement} */
export function preferences() {
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
  return find("preferences");
}

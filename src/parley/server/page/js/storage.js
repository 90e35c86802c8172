/**
 * Where a browser denies a page its storage, as many do to a frame in another site's page, what is to be kept is kept
 * as long as the page is open.
 */

/** A `Storage` in memory. */
class Memory {
  /** @type {Map<string, string>} */
  #kept = new Map();

  /** @param {string} name */
  getItem(name) {
    return this.#kept.get(name) ?? null;
  }

  /** @param {string} name @param {string} value */
  setItem(name, value) {
    this.#kept.set(name, String(value));
  }

  /** @param {string} name */
  removeItem(name) {
    this.#kept.delete(name);
  }
}

for (const name of /** @type {const} */ (["localStorage", "sessionStorage"])) {
  try {
    void window[name];
  } catch {
    Object.defineProperty(window, name, { value: new Memory() });
  }
}

export {}; // a module, for who imports it

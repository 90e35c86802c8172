/** How the page looks: as the system, or as the reader chose. Loaded first, so that it never looks otherwise. */

const KEPT = "parley.theme";

export const theme = {
  get: () => localStorage.getItem(KEPT) ?? "",
  /** @param {string} name  `light`, `dark`, `contrast`; empty: as the system */
  set: (name) => {
    if (name) localStorage.setItem(KEPT, name);
    else localStorage.removeItem(KEPT);
    wear();
  },
};

function wear() {
  const name = theme.get();
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
}

wear();

/** The page's addresses: below which path it is served, what an address names, and how one is written. No DOM. */

/** The path below which everything is, with a slash at its end; this file is at `static/js` there, or `static/<version>/js`. */
export const BASE = new URL(import.meta.url).pathname.replace(/static\/(?:[0-9a-f]{12}\/)?js\/address\.js$/, "");

/** What stands in a path behind a word, decoded; empty: it is none. @param {string} word @param {string} path */
function behind(word, path) {
  const [first, name, ...rest] = path.startsWith(BASE) ? path.slice(BASE.length).split("/") : [];
  try {
    return first === word && name && !rest.length ? decodeURIComponent(name) : "";
  } catch {
    return ""; // nothing of ours
  }
}

/** The conversation an address names; empty: none. @param {string} [path] */
export const conversationAt = (path = location.pathname) => behind("c", path);

/** The token of a link for readers. @param {string} [path] */
export const linkAt = (path = location.pathname) => behind("s", path);

/** The conversation a link leads to. @param {string} token */
export const conversationOf = (token) => `conv_${token.slice(0, 34)}`;

/** The token of a session, in a link of the seed's pages. @param {string} [path] */
export const sessionAt = (path = location.pathname) => behind("chat", path);

/** The address of a conversation, or of a new one. @param {string} id */
export const addressOf = (id) => (id ? `${BASE}c/${id}` : BASE);

/** Whether the page itself shows what is there. @param {string} path */
export const isOurs = (path) => path === BASE || Boolean(conversationAt(path));

/** Where the socket is. @param {string} link  of a reader, or empty */
export const socketUrl = (link) =>
  new URL(`${BASE}api/${link ? `shared/${link}/` : ""}socket`, location.origin.replace(/^http/, "ws")).href;

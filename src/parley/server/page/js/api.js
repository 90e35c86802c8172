/** The server as the page asks it: below which path it is, what an address names, and JSON over HTTP. No DOM. */
import { t } from "./i18n.js";

const KEY = "parley.access";

/** The path below which everything is, with a slash at its end; this file is at `static/js` there, or `static/<version>/js`. */
export const BASE = new URL(import.meta.url).pathname.replace(/static\/(?:[0-9a-f]{12}\/)?js\/api\.js$/, "");

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

/** A request that was answered by an error. `code` is for programs, the message for people. */
export class Refused extends Error {
  /** @param {number} status @param {{code?: string, message?: string, type?: string} | undefined} error @param {number} [after]  seconds to wait */
  constructor(status, error, after) {
    super(error?.message || t("The server answered {status}.", { status: String(status) }));
    this.status = status;
    this.code = error?.code || String(status);
    this.type = error?.type || "";
    this.after = after;
  }

  /** Whether the same request may be answered otherwise later. */
  get passing() {
    return this.status === 429 || this.status >= 500;
  }
}

/** A file that is none of ours; the message is for people. */
export class Unreadable extends Error {}

/** The access key typed into this tab, if the server asked for one. */
export const access = {
  get: () => sessionStorage.getItem(KEY) || "",
  /** @param {string} key */
  set: (key) => (key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY)),
};

/** What an idempotency key is made of: 128 random bits. */
export const randomKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * @param {string} method @param {string} path below /api
 * @param {any} [body] @param {string} [key]  of idempotency
 * @param {boolean} [leaving]  send it even if the page goes away at once
 * @returns {Promise<any>}
 * @throws {Refused} answered by an error; {Error} not answered, or not wholly
 */
export async function call(method, path, body, key, leaving = false) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (key) headers["idempotency-key"] = key;
  if (access.get()) headers.authorization = `Bearer ${access.get()}`;
  const response = await fetch(`${BASE}api${path}`, {
    method, headers, body: body === undefined ? undefined : JSON.stringify(body), keepalive: leaving, signal: AbortSignal.timeout(20_000),
  });
  if (!response.ok) throw new Refused(response.status, (await response.json().catch(() => ({}))).error, Number(response.headers.get("retry-after")) || undefined);
  if (response.status === 204) return {};
  return response.json(); // an answer that broke off is none
}

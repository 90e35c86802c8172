/** JSON over HTTP: one call, one answer, errors as the server's envelope tells them. */
import { BASE } from "./address.js";
import { t } from "./i18n.js";

const KEY = "parley.access";

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

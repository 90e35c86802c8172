/** A conversation as a file, as `parley export` writes it: JSON, which `parley import` reads, or Markdown for people. */
import { call } from "./api.js";
import { make } from "./dom.js";
import { emptyView, path, prepend, said, withdrawn } from "./fold.js";

/** @typedef {import("./fold.js").Turn} Turn */
/** @typedef {{about: any, turns: any[]}} Whole  as the server tells them, oldest first */

export const FORMAT = "parley/1";
const MANY = 200; // turns asked for at a time

/** All of a conversation. @param {string} path  where the API tells of it @returns {Promise<Whole>} */
export async function whole(path) {
  const { about, total } = await call("GET", `${path}?turns=0`);
  const turns = [];
  for (let before = total; before > 0;) {
    const page = await call("GET", `${path}/turns?limit=${MANY}&before=${before}`);
    turns.unshift(...page.data);
    before = page.data.length ? page.first : 0;
  }
  return { about, turns };
}

/** @param {Whole} whole */
export function json({ about, turns }) {
  const conversation = { ...about, expires_at: 0, status: "idle" };
  return `${JSON.stringify({ format: FORMAT, conversation, turns }, null, 1)}\n`;
}

/** The path a reader sees: who speaks is a heading. @param {Whole} whole @param {Map<string, string>} chosen */
export function markdown({ about, turns }, chosen) {
  const view = { ...emptyView(about.id), chosen };
  prepend(view, { data: turns, first: 0 });
  const shown = path(view).map(({ turn }) => turn).filter((turn) => !withdrawn(turn));
  return `${[`# ${about.title || "Conversation"}`, ...shown.flatMap(exchange)].join("\n\n")}\n`;
}

/** @param {Turn} turn */
function exchange(turn) {
  const images = turn.input.flatMap((part) => part.images ?? []);
  const parts = ["## You", said(turn).trim(), ...images.map(() => "*(an image)*")].filter(Boolean);
  if (turn.text.trim() || turn.status === "completed") parts.push(`## ${turn.model || "Assistant"}`, turn.text.trim());
  if (turn.status !== "completed") parts.push(`*(${turn.status})*`);
  return parts;
}

/** Have the browser keep a file. @param {string} title @param {string} kind  its ending @param {string} type @param {string} text */
export function save(title, kind, type, text) {
  const name = title.replace(/[^\p{L}\p{M}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 60) || "conversation";
  const url = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: url, download: `${name}.${kind}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

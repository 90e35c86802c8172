/** Read in what `export.js` and `parley export` write: a new conversation with the same turns. */
import { Unreadable, call } from "./api.js";
import { FORMAT } from "./export.js";
import { make } from "./dom.js";
import { t } from "./i18n.js";

/** @typedef {import("./store.js").Store} Store */

// Turns in one request at most, and bytes, which one more turn may exceed.
const TURNS = 200;
const BYTES = 500_000;

/** Let the reader pick files, and open the last of what was in them. @param {Store} store @param {(id: string) => void} go */
export function pick(store, go) {
  const input = make("input", { type: "file", accept: ".json,application/json", multiple: true, onchange: async () => {
    let made = "";
    await store.attempt(async () => {
      for (const file of input.files) made = await read(store, file.name, await file.text());
    }, t("The server is out of reach. Not everything was imported."));
    if (!made) return;
    store.told();
    go(made);
  } });
  input.click();
}

/** @param {Store} store @param {string} name @param {string} text @returns {Promise<string>} the conversation's id */
async function read(store, name, text) {
  const { conversation, turns } = parse(name, text);
  const models = (store.models?.models ?? []).map((/** @type {any} */ each) => each.name ?? each);
  const { title = "", metadata = {}, model = "" } = conversation;
  const { id } = await call("POST", "/conversations", { title, metadata, model: models.includes(model) ? model : "" });
  for (const batch of batches(turns)) await call("POST", `/conversations/${id}/turns/restore`, { turns: batch });
  return id;
}

/** @param {string} name @param {string} text @returns {{conversation: any, turns: any[]}} */
function parse(name, text) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    found = null;
  }
  if (found?.format !== FORMAT || !Array.isArray(found.turns)) throw new Unreadable(t("{name} is not a conversation that Parley exported.", { name }));
  return { conversation: found.conversation ?? {}, turns: found.turns };
}

/** @param {any[]} turns */
function* batches(turns) {
  let batch = [];
  let size = 0;
  for (const turn of turns) {
    batch.push(turn);
    size += JSON.stringify(turn).length;
    if (size < BYTES && batch.length < TURNS) continue;
    yield batch;
    batch = [];
    size = 0;
  }
  if (batch.length) yield batch;
}

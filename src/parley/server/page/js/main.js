/** The page: wires store, socket and parts together, and keeps the address in step with what is open. */
import "./storage.js";
import "./theme.js";
import { addressOf, conversationAt, conversationOf, isOurs, linkAt, sessionAt } from "./address.js";
import { access, call, Refused } from "./api.js";
import { Composer } from "./composer.js";
import { find, show, write } from "./dom.js";
import { Deletion } from "./deletion.js";
import { Embedded } from "./embedded.js";
import { json, markdown, save, whole } from "./export.js";
import { Header } from "./header.js";
import { t } from "./i18n.js";
import { pick } from "./import.js";
import { Outbox } from "./outbox.js";
import { preferences } from "./preferences.js";
import { Settings } from "./settings.js";
import { Share } from "./share.js";
import { Sidebar } from "./sidebar.js";
import { Status } from "./status.js";
import { Store } from "./store.js";
import { Thread } from "./thread.js";
import { Transport } from "./transport.js";

const POLL_BUSY = 4_000;
const POLL = 30_000;

const outbox = new Outbox(sessionStorage);

/** Where it is kept which conversations were begun in this tab, by the names they had before they were made. */
const MADE = "parley.made";
const MOST_MADE = 50;
const store = new Store(outbox, schedule);
const composer = new Composer(store, () => thread.follower.end());
const thread = new Thread(store, (text) => composer.edit(text));
const deletion = new Deletion(store, go);
const sidebar = new Sidebar(store, (listed) => deletion.begin(listed));
const header = new Header(store);
const share = new Share(store);
const settings = new Settings(store);
const status = new Status(store);
preferences();
const embedded = new Embedded(store, composer);
store.link = linkAt();
store.leaving = (id) => id in deletion.due;
store.socket = new Transport(store, {
  opening: () => store.opening(),
  opened: () => store.opened(),
  frame: (frame) => store.frame(frame),
  lost: (reason, code) => store.lost(reason, code),
  refused: (code) => store.refused(code),
}, () => {
  store.alert = t("WebSockets do not get through here. The page goes on without them.");
  schedule();
});

// Drawing: at most once a frame, however much happened.

let drawing = false;

function schedule() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

function draw() {
  embedded.draw();
  const about = store.view?.about ?? {};
  const title = store.id ? about.title || outbox.of(store.id)[0]?.about.title || "" : "";
  const empty = !store.id;
  find("main").toggleAttribute("data-empty", empty);
  show(find("greeting"), empty);
  show(find("hint"), empty);
  header.draw();
  share.draw();
  show(find("title"), !empty && title && find("rename").hidden);
  show(find("app-name"), empty || !title);
  for (const name of ["export-markdown", "export-json"]) show(find(name), !empty);
  show(find("import"), empty);
  show(find("describe"), !store.link);
  show(find("more"), !store.id.startsWith("new-") && !store.missing.has(store.id));
  write(find("title"), title);
  document.title = title ? `${title} · Parley` : "Parley";
  thread.draw();
  composer.draw();
  sidebar.draw();
  status.draw();
  if (store.locked && !find("access").open) {
    show(find("access-asked"), !store.expired);
    show(find("access-expired"), store.expired);
    find("access").showModal();
  }
}

// Addresses

/** What the address names. A conversation that began in this tab keeps its address from before it was made. */
function addressed() {
  const id = conversationAt();
  if (!id.startsWith("new-") || outbox.of(id).length) return id;
  const known = made()[id] ?? "";
  history.replaceState(null, "", addressOf(known));
  return known;
}

/** @returns {Record<string, string>} */
function made() {
  try {
    return JSON.parse(sessionStorage.getItem(MADE) || "{}");
  } catch {
    return {};
  }
}

/** @param {string} id */
function go(id) {
  if (id !== store.id || !id) history.pushState(null, "", addressOf(id));
  visit(id);
}

/** @param {string} id */
function visit(id) {
  store.show(id);
  sidebar.dismiss();
  ready();
}

/** Typing may begin; on a phone not before it is asked for, as the keyboard covers half of the page. */
function ready() {
  if (!matchMedia("(pointer: coarse)").matches) find("message").focus();
}

addEventListener("popstate", () => visit(addressed()));

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = /** @type {HTMLElement} */ (event.target).closest("a");
  if (!link || link.target || link.origin !== location.origin || !isOurs(link.pathname) || link.hash) return;
  event.preventDefault();
  go(conversationAt(link.pathname));
});

store.onbegun = (/** @type {string} */ draft) => history.replaceState(null, "", addressOf(draft));

store.onmade = (/** @type {string} */ draft, /** @type {string} */ id) => {
  composer.made(draft, id);
  // A reload that has begun, and the way back, still know the old address.
  const latest = Object.entries(made()).slice(-MOST_MADE);
  sessionStorage.setItem(MADE, JSON.stringify({ ...Object.fromEntries(latest), [draft]: id }));
  if (store.id === id) history.replaceState(null, "", addressOf(id));
};

// Keys

addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.isComposing || document.querySelector("dialog[open], [popover]:popover-open")) return;
  if (store.link || event.target === find("rename") || event.target === find("model")) return; // theirs to give up
  if (!sidebar.dismiss()) store.stop();
});

addEventListener("keydown", (event) => {
  if (store.link || !(event.ctrlKey || event.metaKey) || event.altKey || document.querySelector("dialog[open]")) return;
  const key = event.key.toLowerCase();
  if (key === "k" && !event.shiftKey) sidebar.seek();
  else if (key === "o" && event.shiftKey) go("");
  else return;
  event.preventDefault();
});

// The menu of what is open

/** @param {string} name @param {() => void} act */
function offer(name, act) {
  find(name).addEventListener("click", () => {
    find("menu").hidePopover();
    act();
  });
}

offer("describe", () => settings.open());

/** @param {string} kind @param {string} type @param {(found: import("./export.js").Whole, chosen: Map<string, string>) => string} form */
function keep(kind, type, form) {
  const { id, view } = store;
  store.attempt(async () => {
    const found = await whole(store.path(id));
    save(found.about.title, kind, type, form(found, view?.chosen ?? new Map()));
  }, t("The server is out of reach. Nothing was exported."));
}

offer("import", () => pick(store, go));
offer("export-markdown", () => keep("md", "text/markdown", markdown));
offer("export-json", () => keep("json", "application/json", json));

// Title

find("title").addEventListener("click", () => {
  const field = find("rename");
  field.value = store.view?.about.title ?? "";
  show(field, true);
  show(find("title"), false);
  field.select();
});

/** @param {boolean} keep */
function renamed(keep) {
  const field = find("rename");
  if (field.hidden) return;
  const title = field.value.trim();
  show(field, false);
  if (keep && title && title !== store.view?.about.title) store.change({ title });
  schedule();
}

find("rename").addEventListener("blur", () => renamed(true));
find("rename").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  if (event.key !== "Enter" && event.key !== "Escape") return;
  event.preventDefault();
  renamed(event.key === "Enter");
  find("message").focus();
});

find("access").addEventListener("cancel", (/** @type {Event} */ event) => event.preventDefault());
find("access").addEventListener("close", () => {
  const field = find("access-key");
  store.unlock(field.value);
  field.value = "";
});

// Begin

addEventListener("online", schedule);
addEventListener("offline", schedule);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) store.refresh();
});

let polled = 0;
setInterval(() => {
  const busy = store.list.some((listed) => store.busy(listed));
  if (document.hidden || store.connection.state !== "open" || Date.now() - polled < (busy ? POLL_BUSY : POLL)) return;
  polled = Date.now();
  store.refresh();
}, 1000);

// A link with a session's token: this tab speaks as that session, and the token leaves the address.
const session = sessionAt();
if (session) await enter(session);

/** Open the chat of a session, or say that it is over and begin anew. @param {string} token */
async function enter(token) {
  const before = access.get();
  access.set(token);
  history.replaceState(null, "", addressOf(""));
  try {
    const [chat] = (await call("GET", "/conversations?limit=1")).data;
    if (chat) history.replaceState(null, "", addressOf(chat.id));
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 401) return; // the page tells of all other trouble itself
    access.set(before);
    store.alert = t("This chat has expired or does not exist. A new one begins here.");
  }
}

/** The page of a link: what it shows, and nothing to do with it. */
function read() {
  document.documentElement.classList.add("reading");
  find("title").disabled = true;
  store.show(conversationOf(store.link));
}

// A new conversation that was under way when this tab was reloaded goes on.
const draft = outbox.items.find((item) => item.conversation.startsWith("new-"))?.conversation;
if (store.link) read();
else store.show(addressed() || draft || embedded.conversation);
store.socket.now();
store.refresh();
store.learn();
schedule();
if (!embedded.framed && !store.link) ready(); // the page around has the focus

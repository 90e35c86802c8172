/** The page: wires store, socket and parts together, and keeps the address in step with what is open. */
import { t } from "./i18n.js";
import { Refused, access, addressOf, call, conversationAt, conversationOf, isOurs, linkAt, sessionAt } from "./api.js";
import { Composer } from "./composer.js";
import { Part, find, show, theme } from "./dom.js";
import { Header } from "./header.js";
import { Outbox } from "./outbox.js";
import { DELETING, Sidebar, due } from "./sidebar.js";
import { Transport } from "./socket.js";
import { Store } from "./store.js";
import { Thread } from "./thread.js";

const POLL_BUSY = 4_000;
const POLL = 30_000;
const PAUSE = 25; // milliseconds between two drawings

theme.wear();
const outbox = new Outbox(sessionStorage);

/** Where it is kept which conversations were begun in this tab, by the names they had before they were made. */
const MADE = "parley.made";
const MOST_MADE = 50;

// What a first look does not need.
const deletion = new Part(async () => new (await import("./deletion.js")).Deletion(store, go));
const share = new Part(async () => new (await import("./share.js")).Share(store));
const settings = new Part(async () => new (await import("./settings.js")).Settings(store));
const preferences = new Part(async () => (await import("./preferences.js")).preferences());
const exporting = new Part(() => import("./export.js"));
const importing = new Part(() => import("./import.js"));

const store = new Store(outbox, schedule);
store.link = linkAt();
const composer = new Composer(store, () => thread.follower.end());
const thread = new Thread(store, (text) => composer.edit(text));
const sidebar = new Sidebar(store, deletion);
const header = new Header(store);
// Only pages that the operator allowed can frame this one, so that whoever is framed is embedded.
const embedded = window.parent === window ? null : new (await import("./embedded.js")).Embedded(store, composer);
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

// Drawing: at once where nothing was drawn just before, else after a pause, however much happens.

let drawing = false;
let drawn = -PAUSE;

function schedule() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(frame);
}

/** @param {number} now */
function frame(now) {
  if (now - drawn < PAUSE) {
    requestAnimationFrame(frame);
    return;
  }
  drawn = now;
  drawing = false;
  draw();
}

function draw() {
  embedded?.draw();
  find("main").toggleAttribute("data-empty", !store.id);
  header.draw();
  share.here?.draw();
  thread.draw();
  composer.draw();
  sidebar.draw();
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
  draw(); // only what is shown can have the focus
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

// What comes when it is first used

share.behind(find("share"), (part) => part.open());
preferences.behind(find("preferences-open"), (dialog) => dialog.showModal());

/** @template T @param {string} name  in the menu of what is open @param {Part<T>} part @param {(part: T) => void} act */
function offer(name, part, act) {
  find(name).addEventListener("click", () => find("menu").hidePopover());
  part.behind(find(name), act);
}

offer("describe", settings, (dialog) => dialog.open());
offer("import", importing, ({ pick }) => pick(store, go));
offer("export-markdown", exporting, (made) => keep(made, "md", "text/markdown", made.markdown));
offer("export-json", exporting, (made) => keep(made, "json", "application/json", made.json));

/** @param {typeof import("./export.js")} made @param {string} kind @param {string} type @param {(found: import("./export.js").Whole, chosen: Map<string, string>) => string} form */
function keep({ save, whole }, kind, type, form) {
  const { id, view } = store;
  store.attempt(async () => {
    const found = await whole(store.path(id));
    save(found.about.title, kind, type, form(found, view?.chosen ?? new Map()));
  }, t("The server is out of reach. Nothing was exported."));
}

// Who begins to write, or looks at a conversation's name, will want what draws replies.
find("message").addEventListener("input", () => thread.load());
for (const sign of ["pointerover", "focusin"]) {
  find("conversations").addEventListener(sign, (/** @type {Event} */ event) => /** @type {HTMLElement} */ (event.target).closest("a") && thread.load());
}

// What this tab or another one is about to delete, and what one that is gone left to be deleted.
const settle = () => Object.keys(due()).length && deletion.expect();
addEventListener("storage", (event) => {
  if (event.key !== DELETING) return;
  settle();
  schedule();
});
settle();

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

let polled = Date.now();
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
else store.show(addressed() || draft || (embedded?.conversation ?? ""));
store.socket.now();
store.refresh();
store.learn();
schedule();
if (!embedded && !store.link) ready(); // the page around has the focus

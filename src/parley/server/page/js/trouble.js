/**
 * What went wrong, in the reader's language, by the code of an error. The server's own words are English: they say
 * exactly what a model's server did, for who runs it, and stand below.
 */
import { date, t } from "./i18n.js";

const SLOW = t("The model took too long.");
const AWAY = t("The model's server is out of reach.");
const STORE = t("The server cannot store anything right now.");

/** Of a model's side. @type {Record<string, string>} */
const MODELS = {
  assistant_not_found: t("There is no such assistant any more."),
  context_too_long: t("This conversation is too long for the model. A new one begins without what was said here."),
  model_not_found: t("There is no such model."),
  turn_timeout: SLOW,
  upstream_auth: t("The model's server does not accept the key that it was given."),
  upstream_cut: t("The model's server broke off in mid-reply."),
  upstream_error: t("The model's server reported an error."),
  upstream_gone: AWAY,
  upstream_invalid: t("The model's server sent something that is no reply."),
  upstream_rate_limited: t("The model's server takes no more requests for now, or its account is out of credit."),
  upstream_stalled: SLOW,
  upstream_timeout: SLOW,
  upstream_unreachable: AWAY,
  worker_error: t("Something went wrong on the server."),
  worker_lost: t("Every worker that tried this was lost."),
};

/** Of Parley's own; there is nothing to add. @type {Record<string, string>} */
const OURS = {
  conversation_busy: t("Too many messages wait in this conversation."),
  conversation_deleted: t("This conversation was deleted."),
  conversation_full: t("This conversation has reached its longest length. Begin a new one."),
  conversation_not_found: t("There is no such conversation, or its time is over."),
  insufficient_quota: t("Today's tokens are used up."),
  internal_error: t("Something went wrong on the server."),
  message_too_large: t("The message is too long."),
  overloaded: t("The server has more to answer than it can right now."),
  queue_timeout: t("No worker was free in time."),
  rate_limit_exceeded: t("These were too many messages in a short time."),
  restarting: t("The server restarts."),
  storage_full: STORE,
  storage_unavailable: STORE,
  store_unreachable: STORE,
};

/**
 * What an error means, and what the server says of it beside that, if anything.
 * @param {{code?: string, message?: string}} error @param {number} [due]  when it passes, unix milliseconds
 */
export function explain({ code = "", message = "" }, due = 0) {
  if (MODELS[code]) return { means: MODELS[code], exact: message };
  if (code === "insufficient_quota" && due) {
    const when = date(due, { weekday: "long", hour: "numeric", minute: "2-digit" });
    return { means: t("Today's tokens are used up. The next ones come {when}.", { when }), exact: "" };
  }
  return { means: OURS[code] ?? (message || t("The model did not answer.")), exact: "" };
}

/** What to do about an error, where that is known; empty: nothing. @param {string} [code] */
export const advice = (code) => code === "upstream_unreachable"
  ? t("Start the model's server, for instance with “ollama serve”, or name another with “parley up --model-url”. Then try again.") : "";

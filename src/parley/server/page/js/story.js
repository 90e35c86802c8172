/** What happened to a reply and what it cost, for who asks, and the request that asks for it again. No DOM. */
import { BASE } from "./api.js";
import { unitsAt } from "./fold.js";
import { date, language, number, span, t } from "./i18n.js";
import { between } from "./turn.js";

/** @typedef {import("./fold.js").Turn} Turn */

const clock = new Intl.DateTimeFormat(language, { timeStyle: "medium" });

/** Each time another worker went on, in words. @param {Turn} turn */
export function story(turn) {
  return turn.takeovers.map(({ at, length }) => {
    const units = unitsAt(turn.reasoning + turn.text, length);
    const count = units < 0 ? length : units;
    const time = clock.format(at);
    return count
      ? t("{time}: the worker was lost at character {count}, another one went on from there.", { time, count })
      : t("{time}: the worker was lost before its first word, another one began.", { time });
  });
}

/** The command that asks the same again, beside it. @param {Turn} turn @param {string} conversation */
export function curl(turn, conversation) {
  const body = JSON.stringify({ input: turn.input, parent: turn.parent });
  return [
    `curl -N ${location.origin}${BASE}api/conversations/${conversation}/turns`,
    "-H 'content-type: application/json' -H 'accept: text/event-stream'",
    '-H "authorization: Bearer $PARLEY_TOKEN"',
    `-d '${body.replaceAll("'", "'\\''")}'`,
  ].join(" \\\n  ");
}

/** All there is to tell, each with its name. @param {Turn} turn @returns {[string, string][]} */
export function figures(turn) {
  /** @type {[string, string][]} */
  const found = [];
  const { usage } = turn;
  const took = between(turn.startedAt, turn.endedAt);
  const waited = between(turn.createdAt, turn.startedAt);
  if (turn.model) found.push([t("Model"), turn.model]);
  if (usage?.input_tokens) found.push([t("Tokens read"), usage.cached_tokens
    ? t("{all}, {some} from its cache", { all: usage.input_tokens, some: usage.cached_tokens })
    : number(usage.input_tokens)]);
  if (usage?.output_tokens) found.push([t("Tokens written"), usage.reasoning_tokens
    ? t("{all}, {some} of them thoughts", { all: usage.output_tokens, some: usage.reasoning_tokens })
    : number(usage.output_tokens)]);
  if (turn.createdAt) found.push([t("Asked"), date(turn.createdAt)]);
  if (waited >= 0.05) found.push([t("Waited"), span(waited)]);
  if (took >= 0.05) found.push([t("Took"), span(took)]);
  if (took >= 0.05 && usage?.output_tokens) {
    const speed = usage.output_tokens / took;
    found.push([t("Speed"), t("{speed} tokens/s", { speed: number(speed, { maximumFractionDigits: speed < 10 ? 1 : 0 }) })]);
  }
  if (turn.attempts > 1) found.push([t("Attempts"), number(turn.attempts)]);
  return found;
}

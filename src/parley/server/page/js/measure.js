/** What a reply cost: in a few words, and in full. No DOM. */
import { date, number, span, t } from "./i18n.js";

/** @typedef {import("./fold.js").Turn} Turn */

/** @param {number} from @param {number} to  unix milliseconds; 0: not known */
const between = (from, to) => (from && to ? Math.max(0, to - from) / 1000 : 0);

/** In a few words. @param {Turn} turn */
export function measure(turn) {
  const parts = [];
  if (turn.model) parts.push(turn.model);
  const tokens = turn.usage?.output_tokens;
  if (tokens) parts.push(t("{count} tokens", { count: tokens }));
  const seconds = between(turn.startedAt, turn.endedAt);
  if (seconds >= 0.05) parts.push(span(seconds));
  return parts.join(" · ");
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

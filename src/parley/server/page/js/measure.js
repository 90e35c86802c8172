/** What a reply cost: in a few words, and in full. No DOM. */

/** @typedef {import("./fold.js").Turn} Turn */

/** @param {number} seconds */
const spent = (seconds) => `${seconds.toLocaleString(undefined, { maximumFractionDigits: seconds < 10 ? 1 : 0 })} s`;

/** @param {number} from @param {number} to  unix milliseconds; 0: not known */
const between = (from, to) => (from && to ? Math.max(0, to - from) / 1000 : 0);

/** In a few words. @param {Turn} turn */
export function measure(turn) {
  const parts = [];
  if (turn.model) parts.push(turn.model);
  const tokens = turn.usage?.output_tokens;
  if (tokens) parts.push(`${tokens.toLocaleString()} tokens`);
  const seconds = between(turn.startedAt, turn.endedAt);
  if (seconds >= 0.05) parts.push(spent(seconds));
  return parts.join(" · ");
}

/** All there is to tell, each with its name. @param {Turn} turn @returns {[string, string][]} */
export function figures(turn) {
  /** @type {[string, string][]} */
  const found = [];
  const { usage } = turn;
  const took = between(turn.startedAt, turn.endedAt);
  const waited = between(turn.createdAt, turn.startedAt);
  if (turn.model) found.push(["Model", turn.model]);
  if (usage?.input_tokens) found.push(["Tokens read", counted(usage.input_tokens, usage.cached_tokens, "from its cache")]);
  if (usage?.output_tokens) found.push(["Tokens written", counted(usage.output_tokens, usage.reasoning_tokens, "of them thoughts")]);
  if (turn.createdAt) found.push(["Asked", new Date(turn.createdAt).toLocaleString()]);
  if (waited >= 0.05) found.push(["Waited", spent(waited)]);
  if (took >= 0.05) found.push(["Took", spent(took)]);
  if (took >= 0.05 && usage?.output_tokens) {
    const speed = usage.output_tokens / took;
    found.push(["Speed", `${speed.toLocaleString(undefined, { maximumFractionDigits: speed < 10 ? 1 : 0 })} tokens/s`]);
  }
  if (turn.attempts > 1) found.push(["Attempts", turn.attempts.toLocaleString()]);
  return found;
}

/** @param {number} all @param {number | undefined} some @param {string} what */
const counted = (all, some, what) => all.toLocaleString() + (some ? `, ${some.toLocaleString()} ${what}` : "");

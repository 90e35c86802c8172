/** What happened to a reply, for who asks: the workers it lost, and the request that asks for it again. No DOM. */
import { BASE } from "./address.js";
import { unitsAt } from "./fold.js";
import { language, t } from "./i18n.js";

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

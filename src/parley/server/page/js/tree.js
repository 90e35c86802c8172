/**
 * A conversation is a tree of turns; a reader sees one path of it, from a beginning to a leaf. No DOM.
 *
 * @typedef {import("./fold.js").View} View
 * @typedef {import("./fold.js").Turn} Turn
 * @typedef {{turn: Turn, siblings: string[]}} Step  `siblings`: the turns with the same parent, itself among them
 */
import { withdrawn } from "./fold.js";

/**
 * The path a reader sees: at each fork the child they chose, else the one that leads to the newest turn.
 * @param {View} view @returns {Step[]}
 */
export function path(view) {
  /** @type {Map<string, string[]>} */
  const children = new Map();
  for (const id of view.order) {
    const { parent } = /** @type {Turn} */ (view.turns.get(id));
    const known = children.get(parent);
    if (known) known.push(id);
    else children.set(parent, [id]);
  }
  const newest = reach(view);
  const steps = [];
  let siblings = beginnings(view, children, newest);
  while (siblings?.length) {
    const id = pick(view, siblings, newest);
    const turn = /** @type {Turn} */ (view.turns.get(id));
    const shown = siblings.filter((each) => each === id || !withdrawn(/** @type {Turn} */ (view.turns.get(each))));
    steps.push({ turn, siblings: shown });
    siblings = /** @type {string[]} */ (children.get(id));
  }
  return steps;
}

/** The turn that the next message follows, if it has to be named: the end of a path that is not the newest. @param {View} view */
export function follows(view) {
  const last = path(view).at(-1)?.turn.id;
  return last === view.order.at(-1) ? undefined : last;
}

/** Whether a turn is another one, or leads back to it. @param {View} view @param {Turn} above @param {Turn} turn */
export function below(view, above, turn) {
  for (let at = /** @type {Turn | undefined} */ (turn); at; at = view.turns.get(at.parent)) if (at.id === above.id) return true;
  return false;
}

/** Show another turn of the same parent. @param {View} view @param {Turn} turn @param {string} sibling */
export function choose(view, turn, sibling) {
  view.chosen.set(turn.parent, sibling);
  view.version += 1;
}

/** For each turn, how late the newest turn below it came. @param {View} view */
function reach(view) {
  /** @type {Map<string, number>} */
  const newest = new Map();
  for (let at = view.order.length - 1; at >= 0; at -= 1) {
    const id = view.order[at];
    const own = newest.get(id) ?? at;
    newest.set(id, own);
    const { parent } = /** @type {Turn} */ (view.turns.get(id));
    newest.set(parent, Math.max(newest.get(parent) ?? -1, own));
  }
  return newest;
}

/** The turns that paths begin with: those without a parent here. @param {View} view @param {Map<string, string[]>} children @param {Map<string, number>} newest */
function beginnings(view, children, newest) {
  let best = /** @type {string[] | undefined} */ (undefined);
  let late = -1;
  for (const [parent, ids] of children) {
    if (view.turns.has(parent)) continue;
    const reached = newest.get(parent) ?? -1;
    if (reached > late) [best, late] = [ids, reached];
  }
  return best;
}

/** @param {View} view @param {string[]} siblings @param {Map<string, number>} newest */
function pick(view, siblings, newest) {
  const { parent } = /** @type {Turn} */ (view.turns.get(siblings[0]));
  const chosen = view.chosen.get(parent);
  if (chosen && siblings.includes(chosen)) return chosen;
  return siblings.reduce((best, id) => ((newest.get(id) ?? 0) >= (newest.get(best) ?? 0) ? id : best));
}

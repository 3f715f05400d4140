// What a change of the history did to the recommendations.

/** Where each item of `after` was in `before`: {item: rank, …}, and what went, but for what is in the history now. */
export function compare(before, after, history) {
  const ranks = new Map(before.map((each) => [each.item, each.rank]));
  const kept = new Set([...after.map((each) => each.item), ...history]);
  const moves = new Map(after.map((each) => [each.item, ranks.has(each.item) ? ranks.get(each.item) - each.rank : null]));
  return { moves, gone: before.filter((each) => !kept.has(each.item)) };
}

/** A move in words and its class: null = new, 0 = the same. */
export function moved(by) {
  if (by === null) return ["new", "new"];
  if (by === 0) return ["=", "same"];
  return by > 0 ? [`▲ ${by}`, "up"] : [`▼ ${-by}`, "down"];
}

/** The move as it is read aloud. */
export function spoken(by) {
  if (by === null) return "new";
  if (by === 0) return "same rank as before";
  return by > 0 ? `up by ${by}` : `down by ${-by}`;
}

/** `2 new, 3 moved, 2 gone`. */
export function summary({ moves, gone }) {
  const all = [...moves.values()];
  const fresh = all.filter((by) => by === null).length;
  const shifted = all.filter((by) => by !== null && by !== 0).length;
  return fresh + shifted + gone.length ? `${fresh} new, ${shifted} moved, ${gone.length} gone` : "nothing changed";
}

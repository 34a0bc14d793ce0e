/** What a chart lacks and has yet to ask for: a short list of intervals, ascending and apart. */

/** @typedef {{start: number, end: number}} Hole ms, the end exclusive */

/** More than this many become fewer and longer ones: then some bars are read once more, and none is forgotten. */
export const HOLES_MAX = 16;

/**
 * @param {readonly Hole[]} holes
 * @param {Hole} hole
 * @returns {Hole[]} joined where they touch, and the nearest two where they would be too many
 */
export function withHole(holes, hole) {
  /** @type {Hole[]} */
  const joined = [];
  for (const each of [...holes, hole].sort((a, b) => a.start - b.start)) {
    const last = joined[joined.length - 1];
    if (last && each.start <= last.end) joined[joined.length - 1] = { start: last.start, end: Math.max(last.end, each.end) };
    else if (each.end > each.start) joined.push(each);
  }
  while (joined.length > HOLES_MAX) joinNearest(joined);
  return joined;
}

/**
 * @param {readonly Hole[]} holes
 * @param {Hole} known what is not lacking any more
 * @returns {Hole[]}
 */
export function withoutInterval(holes, known) {
  return holes.flatMap((hole) => {
    if (known.end <= hole.start || known.start >= hole.end) return [hole];
    const rest = [{ start: hole.start, end: known.start }, { start: known.end, end: hole.end }];
    return rest.filter(({ start, end }) => end > start);
  });
}

/** @param {Hole[]} holes more than one */
function joinNearest(holes) {
  let at = 0;
  let least = Infinity;
  for (const [index, { end }] of holes.entries()) {
    const distance = (holes[index + 1]?.start ?? Infinity) - end;
    if (distance < least) [at, least] = [index, distance];
  }
  const [before, after] = /** @type {[Hole, Hole]} */ (holes.slice(at, at + 2));
  holes.splice(at, 2, { start: before.start, end: after.end });
}

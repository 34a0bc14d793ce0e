/** The arithmetic of the coverage strip: what its parts are, what they say, and which window is looked at. */

import { formatDuration } from "./format.js";

/**
 * @import {StripItem, StripResponse} from "../net/protocol.js"
 * @typedef {"have" | "no_trades" | "missing" | "outage"} CoverageKind
 * @typedef {CoverageKind | "none"} RunKind
 * @typedef {{start: number, end: number}} TimeWindow
 * @typedef {TimeWindow & {kind: RunKind, first: number, last: number} & Record<CoverageKind, number>} Run
 *   neighbouring parts of one kind, from part `first` to before part `last`, with the ms of each kind in them
 * @typedef {{from: number, to: number, top: number, bottom: number}} Block parts `from` to before `to`; heights from
 *   the bottom, 0 to 1
 */

/** From the bottom of a column to its top, and in the legend. @type {readonly CoverageKind[]} */
export const KINDS = ["have", "no_trades", "outage", "missing"];

/** @type {Record<RunKind, string>} */
export const KIND_WORDS = {
  have: "Have",
  no_trades: "No trades",
  missing: "Missing",
  outage: "Outage",
  none: "Not expected",
};

/** @type {Record<RunKind, string>} */
export const KIND_HINTS = {
  have: "bars are stored",
  no_trades: "asked for, and nothing was traded",
  missing: "not fetched yet",
  outage: "the venue was down",
  none: "the market was closed, or it lies before the first stored bar or in the future",
};

/** What a part is called that holds several kinds: what needs somebody's attention first. @type {readonly CoverageKind[]} */
const ATTENTION = ["missing", "outage", "have", "no_trades"];

/** So much of a column's height what is lacking gets, however little it is. */
const LEAST_HEIGHT = 0.14;

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
export const SHORTEST_WINDOW_MS = 30 * MINUTE_MS;

/** @param {Pick<StripResponse, "start" | "end" | "buckets">} strip @param {number} index @returns {number} where a part begins */
export function partStart({ start, end, buckets }, index) {
  return start + Math.floor((index * (end - start)) / buckets);
}

/** @param {StripItem} item @param {number} index @returns {RunKind} */
export function kindOf(item, index) {
  return ATTENTION.find((kind) => (item[kind][index] ?? 0) > 0) ?? "none";
}

/**
 * @param {StripResponse} strip
 * @param {StripItem} item one of its rows
 * @returns {Run[]} which together are all of the strip
 */
export function runsOf(strip, item) {
  /** @type {Run[]} */
  const runs = [];
  for (let index = 0; index < strip.buckets; index += 1) {
    const kind = kindOf(item, index);
    let run = runs.at(-1);
    if (run?.kind !== kind) {
      run = { kind, first: index, last: index, start: partStart(strip, index), end: 0, have: 0, no_trades: 0, missing: 0, outage: 0 };
      runs.push(run);
    }
    run.last = index + 1;
    run.end = partStart(strip, index + 1);
    for (const each of KINDS) run[each] += item[each][index] ?? 0;
  }
  return runs;
}

/**
 * How a row is drawn: each part is a column that its kinds fill from the bottom by their shares; what is rare is
 * still tall enough to be seen, and neighbours of one height are one block.
 *
 * @param {StripItem} item
 * @returns {Record<CoverageKind, Block[]>}
 */
export function blocksOf(item) {
  /** @type {Record<CoverageKind, Block[]>} */
  const blocks = { have: [], no_trades: [], missing: [], outage: [] };
  for (let index = 0; index < item.have.length; index += 1) {
    let bottom = 0;
    for (const [kind, share] of sharesOf(item, index)) {
      const top = bottom + share;
      const last = blocks[kind].at(-1);
      if (last && last.to === index && last.bottom === bottom && last.top === top) last.to = index + 1;
      else blocks[kind].push({ from: index, to: index + 1, bottom, top });
      bottom = top;
    }
  }
  return blocks;
}

/** @param {StripItem} item @param {number} index @returns {[CoverageKind, number][]} heights that sum to 1, or none */
function sharesOf(item, index) {
  const present = KINDS.filter((kind) => (item[kind][index] ?? 0) > 0);
  const total = present.reduce((sum, kind) => sum + (item[kind][index] ?? 0), 0);
  const lacking = (/** @type {CoverageKind} */ kind) => kind === "missing" || kind === "outage";
  const heights = present.map((kind) => Math.max(lacking(kind) ? LEAST_HEIGHT : 0, (item[kind][index] ?? 0) / total));
  const whole = heights.reduce((sum, height) => sum + height, 0);
  // Steps of a hundredth, so that columns that look alike are alike.
  return present.map((kind, at) => [kind, present.length === 1 ? 1 : Math.round(((heights[at] ?? 0) / whole) * 100) / 100]);
}

/**
 * @param {Run} run
 * @returns {string} "Missing 2 h 5 min · Have 3 d": every kind in it with its length, the run's own first
 */
export function describeRun(run) {
  if (run.kind === "none") return `${KIND_WORDS.none}: ${KIND_HINTS.none}`;
  const rest = KINDS.filter((kind) => kind !== run.kind && run[kind] > 0);
  const told = [run.kind, ...rest].map((kind) => `${KIND_WORDS[kind]} ${formatDuration(run[kind])}`);
  return rest.length === 0 ? `${told[0]}: ${KIND_HINTS[run.kind]}` : told.join(" · ");
}

/** @param {StripItem} item @returns {Record<CoverageKind, number>} ms of each kind in the whole row */
export function totalsOf(item) {
  const sum = (/** @type {readonly number[]} */ values) => values.reduce((total, value) => total + value, 0);
  return { have: sum(item.have), no_trades: sum(item.no_trades), missing: sum(item.missing), outage: sum(item.outage) };
}

/**
 * @param {number} share 0 to 1
 * @returns {string} "100%" and "0%" only where it is exactly so
 */
export function formatShare(share) {
  if (share > 0 && share < 0.001) return "<0.1%";
  if (share < 1 && share > 0.999) return ">99.9%";
  return `${(share * 100).toFixed(share === 0 || share === 1 ? 0 : 1)}%`;
}

/** @typedef {"year" | "month" | "week" | "day"} WindowName */

/** @type {Record<WindowName, number>} */
const WINDOW_MS = { year: 366 * DAY_MS, month: 31 * DAY_MS, week: 7 * DAY_MS, day: DAY_MS };

/**
 * The window of that length about what is looked at now; its newest part where everything is looked at.
 *
 * @param {WindowName} name
 * @param {TimeWindow} shown
 * @param {TimeWindow} bounds
 */
export function namedWindow(name, shown, bounds) {
  const length = WINDOW_MS[name];
  const everything = shown.start <= bounds.start && shown.end >= bounds.end;
  const middle = everything ? bounds.end - length / 2 : (shown.start + shown.end) / 2;
  return inside({ start: middle - length / 2, end: middle + length / 2 }, bounds);
}

/**
 * @param {TimeWindow} shown
 * @param {number} factor below 1 to look closer
 * @param {TimeWindow} bounds
 * @param {number} [at] the time that stays where it is; the middle if it is left out
 */
export function zoomed(shown, factor, bounds, at = (shown.start + shown.end) / 2) {
  return inside({ start: at - (at - shown.start) * factor, end: at + (shown.end - at) * factor }, bounds);
}

/** @param {TimeWindow} shown @param {number} share of its length, negative to the left @param {TimeWindow} bounds */
export function moved(shown, share, bounds) {
  const by = (shown.end - shown.start) * share;
  return inside({ start: shown.start + by, end: shown.end + by }, bounds);
}

/**
 * The window moved, and shortened if need be, so that it lies in the bounds; whole minutes, and never shorter
 * than half an hour.
 *
 * @param {TimeWindow} wanted
 * @param {TimeWindow} bounds
 * @returns {TimeWindow}
 */
export function inside(wanted, bounds) {
  const longest = Math.max(SHORTEST_WINDOW_MS, bounds.end - bounds.start);
  const length = Math.min(longest, Math.max(SHORTEST_WINDOW_MS, wanted.end - wanted.start));
  const middle = (wanted.start + wanted.end) / 2;
  const start = Math.min(Math.max(middle - length / 2, bounds.start), Math.max(bounds.start, bounds.end - length));
  const first = Math.floor(start / MINUTE_MS) * MINUTE_MS;
  return { start: first, end: first + Math.ceil(length / MINUTE_MS) * MINUTE_MS };
}

/** The list of backfills as the page holds it: by id, newest first, and what may be done with each. */

/**
 * @import {BackfillJob} from "../net/protocol.js"
 * @typedef {{start: number, end: number}} TimeWindow
 * @typedef {"month" | "year" | "all" | "exact"} RangeName
 */

const DAY_MS = 86_400_000;
const KEPT_MAX = 100;
/** Longer than anything was traded at a venue that tells its bars, and as long as the server takes. */
const EVERYTHING_MS = 50 * 365 * DAY_MS;

/** @type {Record<NonNullable<BackfillJob["state"]>, string>} */
export const STATE_WORDS = {
  queued: "Waiting",
  running: "Running",
  done: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};

/** @param {Pick<BackfillJob, "state">} backfill */
export function isActive({ state }) {
  return state === "queued" || state === "running";
}

/**
 * An answer to a command and the stream come by different ways, so that what comes last may be older.
 *
 * @param {BackfillJob} known
 * @param {BackfillJob} news of the same
 */
function later(known, news) {
  return isActive(known) && news.updated_ms >= known.updated_ms ? news : known;
}

/**
 * @param {readonly BackfillJob[]} known newest first
 * @param {BackfillJob} news of one that is known, or a new one, which goes to the front; what is older than what
 *   is known changes nothing
 * @returns {BackfillJob[]} at most 100, the oldest left out
 */
export function withBackfill(known, news) {
  const at = known.findIndex(({ id }) => id === news.id);
  const same = known[at];
  const list = same ? known.with(at, later(same, news)) : [news, ...known];
  return list.slice(0, KEPT_MAX);
}

/**
 * The ids that have ended since: what they brought is worth looking at.
 *
 * @param {readonly BackfillJob[]} before
 * @param {readonly BackfillJob[]} after
 */
export function justEnded(before, after) {
  const active = new Set(before.filter(isActive).map(({ id }) => id));
  return after.filter((one) => active.has(one.id) && !isActive(one));
}

/**
 * @param {RangeName} name any but `exact`
 * @param {number} now
 * @returns {TimeWindow} "all" begins before anything: the server knows when an instrument was listed
 */
export function namedRange(name, now) {
  const end = Math.floor(now / 60_000) * 60_000;
  if (name === "all") return { start: Math.max(0, end - EVERYTHING_MS), end };
  return { start: end - (name === "year" ? 365 : 30) * DAY_MS, end };
}

/** @param {TimeWindow} range @returns {boolean} whether it is what "all" gives */
export function isEverything({ start, end }) {
  return start === 0 || end - start >= EVERYTHING_MS;
}

/** The bars of one chart: ascending and unique by time, whatever order history and live messages come in. */

/**
 * @import {Bar} from "../net/messages.js"
 * @import {Gap} from "../net/protocol.js"
 * @typedef {{kind: "none"}
 *   | {kind: "tail", replaced: number[], appended: number}
 *   | {kind: "prepended", count: number}
 *   | {kind: "rebuilt"}} SeriesChange
 *   `tail`: bars at the indices `replaced` have new values and `appended` new ones follow the old last
 *   one; `prepended`: nothing but new bars before the old first one; `rebuilt`: anything else.
 */

const BARS_MAX = 60_000;

export class BarSeries {
  /** @type {Bar[]} */
  #bars = [];
  /** When each bar's values were known, beside it. @type {Map<number, number>} */
  #knownAt = new Map();
  /** @type {Gap[]} */
  #gaps = [];

  get bars() {
    return /** @type {readonly Bar[]} */ (this.#bars);
  }

  get gaps() {
    return /** @type {readonly Gap[]} */ (this.#gaps);
  }

  get first() {
    return this.#bars[0];
  }

  get last() {
    return this.#bars[this.#bars.length - 1];
  }

  /** Whether no more history may be added: the series is bounded, 60,000 bars. */
  get full() {
    return this.#bars.length >= BARS_MAX;
  }

  /**
   * Takes bars in. A bar that is there already is replaced unless its values were known later than
   * `knownAt`: so an answer over HTTP never undoes what arrived live after the question was sent.
   * Unreadable bars are left out.
   *
   * @param {readonly Bar[]} incoming in any order, repeats allowed
   * @param {number} knownAt ms; for an answer the time of its request, for a live message its arrival
   * @returns {SeriesChange}
   */
  merge(incoming, knownAt) {
    const before = this.#bars.length;
    const firstTime = this.first?.[0] ?? -Infinity;
    const lastTime = this.last?.[0] ?? -Infinity;
    /** @type {Set<number>} */
    const replaced = new Set();
    let early = 0;
    let inside = 0;
    for (const bar of incoming) {
      const place = isSound(bar) ? this.#put(bar, knownAt) : null;
      if (place === null) continue;
      if (!place.fresh) replaced.add(place.index);
      else if (bar[0] < firstTime) early += 1;
      else if (bar[0] < lastTime) inside += 1;
    }
    const appended = this.#bars.length - before - early - inside;
    // A bar that came and was replaced in one go is one of the appended.
    const changed = [...replaced].filter((index) => index < this.#bars.length - appended);
    if (inside > 0 || (early > 0 && appended + changed.length > 0)) return { kind: "rebuilt" };
    if (early > 0) return { kind: "prepended", count: early };
    if (appended === 0 && changed.length === 0) return { kind: "none" };
    return { kind: "tail", replaced: changed.sort((a, b) => a - b), appended };
  }

  /**
   * Replaces what is known about gaps inside an interval that was just answered for.
   *
   * @param {readonly Gap[]} gaps
   * @param {number} start
   * @param {number} end exclusive
   */
  setGaps(gaps, start, end) {
    /** @type {Gap[]} */
    const kept = [];
    for (const gap of this.#gaps) {
      if (gap.end <= start || gap.start >= end) kept.push(gap);
      else {
        if (gap.start < start) kept.push({ ...gap, end: start });
        if (gap.end > end) kept.push({ ...gap, start: end });
      }
    }
    this.#gaps = joinGaps([...kept, ...gaps]);
  }

  /**
   * The gaps without what bars of this series fill: what one source could not get another one may have told.
   *
   * @param {readonly Gap[]} gaps
   * @param {number} timeframeMs
   * @returns {Gap[]}
   */
  lacking(gaps, timeframeMs) {
    return gaps.flatMap((gap) => (gap.reason === "not_fetched" ? this.#around(gap, timeframeMs) : [gap]));
  }

  /** @param {Gap} gap @param {number} timeframeMs @returns {Gap[]} */
  #around(gap, timeframeMs) {
    /** @type {Gap[]} */
    const left = [];
    let { start } = gap;
    for (let index = this.#find(start); (this.#bars[index]?.[0] ?? Infinity) < gap.end; index += 1) {
      const [time] = /** @type {Bar} */ (this.#bars[index]);
      // Less than a bar's length is how months differ, not something that is missing.
      if (time - start >= timeframeMs) left.push({ ...gap, start, end: time });
      start = time + timeframeMs;
    }
    if (start < gap.end) left.push({ ...gap, start });
    return left;
  }

  /**
   * @param {Bar} bar
   * @param {number} knownAt
   * @returns {{index: number, fresh: boolean} | null} null where nothing changed
   */
  #put(bar, knownAt) {
    const index = this.#find(bar[0]);
    const present = this.#bars[index];
    if (present?.[0] !== bar[0]) {
      this.#knownAt.set(bar[0], knownAt);
      this.#bars.splice(index, 0, bar);
      return { index, fresh: true };
    }
    if ((this.#knownAt.get(bar[0]) ?? 0) > knownAt) return null;
    this.#knownAt.set(bar[0], knownAt);
    if (sameBar(present, bar)) return null;
    this.#bars[index] = bar;
    return { index, fresh: false };
  }

  /** Index of the first bar at or after `time`. @param {number} time */
  #find(time) {
    const last = this.last;
    if (!last || time > last[0]) return this.#bars.length;
    let low = 0;
    let high = this.#bars.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (/** @type {Bar} */ (this.#bars[middle])[0] < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** @param {Bar} bar */
function isSound(bar) {
  return Array.isArray(bar) && bar.length >= 5 && bar.slice(0, 5).every((value) => Number.isFinite(value));
}

/** @param {Bar} a @param {Bar} b */
function sameBar(a, b) {
  return a.every((value, index) => value === b[index]);
}

/**
 * Sorts gaps and joins touching ones of one reason.
 *
 * @param {readonly Gap[]} gaps
 * @returns {Gap[]}
 */
export function joinGaps(gaps) {
  /** @type {Gap[]} */
  const joined = [];
  for (const gap of [...gaps].sort((a, b) => a.start - b.start || a.end - b.end)) {
    const last = joined[joined.length - 1];
    if (last && last.reason === gap.reason && gap.start <= last.end) {
      joined[joined.length - 1] = { ...last, end: Math.max(last.end, gap.end) };
    } else if (gap.end > gap.start) joined.push(gap);
  }
  return joined;
}

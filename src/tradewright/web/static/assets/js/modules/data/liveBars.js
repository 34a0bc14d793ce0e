/** One chart's bars: opens the live stream first, then reads history, and merges both by bar time. */

import { asApiError, UNKNOWN_SYMBOL } from "../net/errors.js";
import { BarSeries } from "../state/barSeries.js";
import { answeredFrom, judgeOlder } from "../state/history.js";
import { timeframe } from "../state/timeframes.js";

/**
 * @import {ApiError} from "../net/errors.js"
 * @import {FeedStatus as Feed, OhlcvResponse, Problem, Snapshot, Update} from "../net/protocol.js"
 * @import {StreamHandlers} from "../net/socket.js"
 * @import {SeriesChange} from "../state/barSeries.js"
 * @import {ChartAddress} from "../state/preferences.js"
 *
 * @typedef {"more" | "beginning" | "unreachable" | "full"} HistoryEdge what lies to the left of the first bar
 * @typedef {{
 *   onReady: () => void,
 *   onChange: (change: SeriesChange) => void,
 *   onFeed: (feed: Feed) => void,
 *   onProblems: (problems: Problem[]) => void,
 *   onEdge: (edge: HistoryEdge) => void,
 * }} LiveBarsHandlers
 * @typedef {{
 *   fetch: (range: {start?: number, end?: number, limit: number}, signal: AbortSignal) => Promise<OhlcvResponse>,
 *   subscribe: (history: number, handlers: StreamHandlers) => () => void,
 *   now: () => number,
 * }} BarSources
 */

const HISTORY_LIMIT = 500;
const OLDER_LIMIT = 1_000;
/** Bars in a live snapshot: enough to bridge a short absence without a second question. */
const SNAPSHOT_BARS = 300;
const FILL_LIMIT = 5_000;
const FILL_PAGES_MAX = 6;
const EMPTY_JUMPS_MAX = 4;
const FAILURE_PAUSE_MS = 2_500;

/** The promise: no bar twice, none out of order, none missing that the server has between first and last. */
export class LiveBars {
  series = new BarSeries();
  #handlers;
  #sources;
  #timeframeMs;
  #abort = new AbortController();
  #leave;
  /** @type {HistoryEdge} */
  #edge = "more";
  #nextEnd = Infinity;
  #ready = false;
  #historyProblems = /** @type {Problem[]} */ ([]);
  #liveProblems = /** @type {Problem[]} */ ([]);
  #failedAt = -Infinity;
  /** From when on nothing was found, on the way to bars stored long before; what lies between was not asked. */
  #skippedTo = /** @type {number | null} */ (null);
  /** Where bars that were shown end although later ones are known to follow: filled before all else. */
  #hole = /** @type {{start: number, end: number} | null} */ (null);

  /**
   * @param {ChartAddress} address
   * @param {LiveBarsHandlers} handlers
   * @param {BarSources} sources
   */
  constructor(address, handlers, sources) {
    this.#handlers = handlers;
    this.#sources = sources;
    this.#timeframeMs = timeframe(address.timeframe)?.ms ?? 60_000;
    this.#leave = sources.subscribe(SNAPSHOT_BARS, {
      onSnapshot: (message) => this.#onSnapshot(message),
      onUpdate: (message) => this.#onUpdate(message),
      onFeed: (feed) => this.#onFeed(feed),
      onError: (error) => this.#setLiveProblem(error),
    });
    this.#loadNewest();
  }

  get edge() {
    return this.#edge;
  }

  /**
   * Loads bars before the first one.
   *
   * @returns {Promise<void>} resolved when the series has them, or when there are none to get now
   */
  async loadOlder() {
    if (this.#edge !== "more" && this.#edge !== "unreachable") return;
    const pause = this.#failedAt + FAILURE_PAUSE_MS - this.#sources.now();
    if (pause > 0) {
      await new Promise((resolve) => {
        setTimeout(resolve, pause);
      });
    }
    for (let jump = 0; jump < EMPTY_JUMPS_MAX && !this.#abort.signal.aborted; jump += 1) {
      if (this.series.full) return this.#setEdge("full");
      const end = Math.min(this.#nextEnd, this.series.first?.[0] ?? this.#sources.now());
      const answer = await this.#ask({ end, limit: OLDER_LIMIT });
      if (answer === null) return this.#setEdge("unreachable");
      this.#takeOlder(answer, end, OLDER_LIMIT);
      if (answer.bars.length > 0 || this.#edge !== "more") return undefined;
    }
    return undefined;
  }

  /** Asks again for what could not be had: the newest bars, and the older ones at the next scroll. */
  async retry() {
    this.#failedAt = -Infinity;
    if (this.#edge === "unreachable") this.#setEdge("more");
    await this.#loadNewest();
    if (this.#hole) await this.#fillHole();
  }

  destroy() {
    this.#abort.abort();
    this.#leave();
  }

  async #loadNewest() {
    const answer = await this.#ask({ limit: HISTORY_LIMIT });
    if (this.#abort.signal.aborted) return;
    if (answer !== null && this.#nextEnd === Infinity) {
      this.#takeOlder(answer, this.#sources.now(), HISTORY_LIMIT);
      // Nothing near now, but something long ago: an import, or a market that has ended.
      if (answer.stored && !this.series.last) await this.loadOlder();
    }
    this.#becomeReady();
  }

  /**
   * @param {{start?: number, end?: number, limit: number}} range
   * @returns {Promise<OhlcvResponse | null>} merged already; null when it failed, which is told
   */
  async #ask(range) {
    const askedAt = this.#sources.now();
    try {
      const answer = await this.#sources.fetch(range, this.#abort.signal);
      if (this.#abort.signal.aborted) return null;
      this.#setHistoryProblems(answer.problems ?? []);
      const start = Math.min(answer.bars[0]?.[0] ?? Infinity, ...answer.gaps.map((gap) => gap.start));
      const end = range.end ?? Math.max(askedAt, ...answer.gaps.map((gap) => gap.end));
      this.series.setGaps(answer.gaps, start, end);
      this.#apply(this.series.merge(answer.bars, askedAt));
      return answer;
    } catch (error) {
      if (this.#abort.signal.aborted) return null;
      this.#failedAt = this.#sources.now();
      this.#setHistoryProblems([problemOf("history", asApiError(error))]);
      return null;
    }
  }

  /**
   * @param {OhlcvResponse} answer
   * @param {number} end
   * @param {number} limit
   */
  #takeOlder(answer, end, limit) {
    const asked = { end, limit, timeframeMs: this.#timeframeMs };
    const verdict = judgeOlder(answer, asked);
    const newest = answer.bars[answer.bars.length - 1];
    if (newest) this.#noteSkipped(newest[0] + this.#timeframeMs);
    else if (answer.stored) this.#skippedTo ??= answeredFrom(answer, asked);
    if (verdict.kind === "more") this.#nextEnd = verdict.end;
    if (verdict.kind === "unreachable") this.#failedAt = this.#sources.now();
    this.#setEdge(verdict.kind);
  }

  /** Says that nobody has looked between bars of long ago and where the search began. @param {number} start */
  #noteSkipped(start) {
    const end = this.#skippedTo;
    this.#skippedTo = null;
    if (end !== null && start < end) this.series.setGaps([{ start, end, reason: "not_fetched" }], start, end);
  }

  /** @param {Snapshot} message */
  #onSnapshot(message) {
    const bars = message.bars ?? [];
    const last = this.series.last;
    const first = bars[0];
    if (last && first && first[0] > last[0] + this.#timeframeMs) this.#noteHole(last[0], first[0]);
    if (first) {
      this.series.setGaps(message.gaps ?? [], first[0], this.#sources.now());
      this.#setHistoryProblems(message.problems ?? []);
    }
    this.#apply(this.series.merge(bars, this.#sources.now()));
    if (bars.length > 0) this.#becomeReady();
    if (this.#hole) this.#fillHole();
  }

  /** @param {Update} message */
  #onUpdate(message) {
    this.#apply(this.series.merge(message.bars ?? [], this.#sources.now()));
  }

  /** @param {Feed} feed */
  #onFeed(feed) {
    if (feed.state !== "down") this.#setLiveProblem(null);
    else this.#liveProblems = [{ source: "live", code: "feed_down", detail: feed.detail ?? "The provider's live feed is down." }];
    this.#tellProblems();
    this.#handlers.onFeed(feed);
  }

  /**
   * A hole that a few pages can fill is filled; a longer one, as between an import of long ago and today,
   * is said instead.
   *
   * @param {number} start
   * @param {number} end
   */
  #noteHole(start, end) {
    if ((end - start) / this.#timeframeMs <= FILL_LIMIT * FILL_PAGES_MAX) this.#hole = { start, end };
    else this.series.setGaps([{ start: start + this.#timeframeMs, end, reason: "not_fetched" }], start, end);
  }

  /** Reads what happened while the connection was away for longer than a snapshot reaches. */
  async #fillHole() {
    for (let page = 0; page < FILL_PAGES_MAX && this.#hole; page += 1) {
      const { start, end } = this.#hole;
      const answer = await this.#ask({ start, end, limit: FILL_LIMIT });
      if (answer === null) return;
      const last = answer.bars[answer.bars.length - 1];
      const complete = answer.bars.length < FILL_LIMIT || !last || last[0] + this.#timeframeMs >= end;
      this.#hole = complete ? null : { start: last[0], end };
    }
  }

  #becomeReady() {
    if (this.#ready) return;
    this.#ready = true;
    this.#handlers.onReady();
  }

  /** @param {SeriesChange} change */
  #apply(change) {
    if (this.#ready && change.kind !== "none") this.#handlers.onChange(change);
  }

  /** @param {HistoryEdge} edge */
  #setEdge(edge) {
    this.#edge = edge;
    this.#handlers.onEdge(edge);
  }

  /** @param {Problem[]} problems */
  #setHistoryProblems(problems) {
    this.#historyProblems = problems;
    this.#tellProblems();
  }

  /** @param {ApiError | null} error */
  #setLiveProblem(error) {
    this.#liveProblems = error === null ? [] : [problemOf("live", error)];
    this.#tellProblems();
    // A stream that was refused has no feed that could say so.
    if (error) this.#handlers.onFeed({ type: "feed", topic: "", state: "down", detail: error.message });
  }

  #tellProblems() {
    this.#handlers.onProblems([...this.#historyProblems, ...this.#liveProblems]);
  }
}

/** @param {string} source @param {ApiError} error @returns {Problem} */
function problemOf(source, { code, message, blamesSymbol }) {
  return { source, code: blamesSymbol ? UNKNOWN_SYMBOL : code, detail: message };
}

/** One chart's bars: opens the live stream first, then reads history, and merges both by bar time. */

import { asApiError, UNKNOWN_SYMBOL } from "../net/errors.js";
import { BarSeries } from "../state/barSeries.js";
import { answeredFrom, judgeOlder } from "../state/history.js";
import { timeframe } from "../state/timeframes.js";
import { FILL_LIMIT, FILL_PAGES_MAX, HoleFiller } from "./holeFiller.js";

/**
 * @import {ApiError} from "../net/errors.js"
 * @import {Bar} from "../net/messages.js"
 * @import {FeedStatus as Feed, Gap, OhlcvResponse, Problem, Snapshot, Update} from "../net/protocol.js"
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
 *   watchUp: (work: () => void) => () => void,
 *   now: () => number,
 *   after: (ms: number, work: () => void) => () => void,
 * }} BarSources `watchUp`: told whenever the line to the server is up again
 */

const HISTORY_LIMIT = 500;
const OLDER_LIMIT = 1_000;
/** Bars in a live snapshot: enough to bridge a short absence without a second question. */
const SNAPSHOT_BARS = 300;
const EMPTY_JUMPS_MAX = 4;
const FAILURE_PAUSE_MS = 2_500;

/**
 * The promise: no bar twice, none out of order, none missing that the server has between first and last, or
 * where it can't be had now, a gap that says so until it is filled.
 */
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
  #holeProblems = /** @type {Problem[]} */ ([]);
  #liveProblems = /** @type {Problem[]} */ ([]);
  #failedAt = -Infinity;
  /** From when on nothing was found, on the way to bars stored long before; what lies between was not asked. */
  #skippedTo = /** @type {number | null} */ (null);
  /** What the newest snapshot lacked: the server mends it as long as a later one still reaches there. */
  #owed = /** @type {Gap[]} */ ([]);
  #filler;

  /**
   * @param {ChartAddress} address
   * @param {LiveBarsHandlers} handlers
   * @param {BarSources} sources
   */
  constructor(address, handlers, sources) {
    this.#handlers = handlers;
    this.#sources = sources;
    this.#timeframeMs = timeframe(address.timeframe)?.ms ?? 60_000;
    this.#filler = new HoleFiller({ read: (range) => this.#readHole(range), after: sources.after });
    const leaveStream = sources.subscribe(SNAPSHOT_BARS, {
      onSnapshot: (message) => this.#onSnapshot(message),
      onUpdate: (message) => this.#onUpdate(message),
      onFeed: (feed) => this.#onFeed(feed),
      onError: (error) => this.#setLiveProblem(error),
    });
    const leaveLink = sources.watchUp(() => this.#filler.fill());
    this.#leave = () => {
      leaveStream();
      leaveLink();
    };
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

  /** Asks again for what could not be had: the newest bars, what lies between, the older ones at the next scroll. */
  async retry() {
    this.#failedAt = -Infinity;
    if (this.#edge === "unreachable") this.#setEdge("more");
    await this.#loadNewest();
    await this.#filler.fill();
  }

  destroy() {
    this.#abort.abort();
    this.#filler.destroy();
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
   * @param {(problems: Problem[]) => void} [tell] what went wrong, nothing where all was well
   * @returns {Promise<OhlcvResponse | null>} merged already; null when it failed, which is told
   */
  async #ask(range, tell = (problems) => this.#setHistoryProblems(problems)) {
    const askedAt = this.#sources.now();
    try {
      const answer = await this.#sources.fetch(range, this.#abort.signal);
      if (this.#abort.signal.aborted) return null;
      this.#take(answer, range, askedAt);
      tell(answer.problems ?? []);
      return answer;
    } catch (error) {
      if (this.#abort.signal.aborted) return null;
      this.#failedAt = this.#sources.now();
      tell([problemOf("history", asApiError(error))]);
      return null;
    }
  }

  /**
   * @param {OhlcvResponse} answer
   * @param {{start?: number, end?: number, limit: number}} range
   * @param {number} askedAt
   */
  #take({ bars, gaps, problems = [] }, range, askedAt) {
    const last = bars[bars.length - 1];
    const start = range.start ?? Math.min(bars[0]?.[0] ?? Infinity, ...gaps.map((gap) => gap.start));
    const cutOff = range.start !== undefined && last && bars.length >= range.limit;
    const end = cutOff ? last[0] + this.#timeframeMs : range.end;
    this.#setGaps(gaps, start, end ?? this.#reach(askedAt, bars, gaps));
    // The newest bar of all has not ended.
    if (problems.length === 0) this.#filler.known(start, end ?? last?.[0] ?? start);
    this.#apply(this.series.merge(bars, askedAt));
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
    if (end !== null && start < end) this.#setGaps([{ start, end, reason: "not_fetched" }], start, end);
  }

  /** @param {Snapshot} message */
  #onSnapshot({ bars = [], gaps = [], problems = [] }) {
    const first = bars[0];
    if (first) {
      this.#noteMissed(first[0]);
      this.#owed = problems.length === 0 ? [] : gaps.filter(({ reason }) => reason === "not_fetched");
      this.#setGaps(gaps, first[0], this.#reach(this.#sources.now(), bars, gaps));
      if (problems.length === 0) this.#filler.known(first[0], Infinity);
    }
    if (this.#filler.done) this.#holeProblems = [];
    if (first || problems.length > 0) this.#setHistoryProblems(problems);
    this.#apply(this.series.merge(bars, this.#sources.now()));
    if (first) this.#becomeReady();
    this.#filler.fill();
  }

  /** Notes what is lacking and too old for the snapshot that has come. @param {number} reach its first bar's time */
  #noteMissed(reach) {
    for (const { start, end } of this.#owed) {
      if (start < reach) this.#noteHole(start - this.#timeframeMs, Math.min(end, reach));
    }
    const last = this.series.last;
    // The last bar had not ended when it was told, so that it is part of what is lacking.
    if (last && reach > last[0]) this.#noteHole(last[0], reach);
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
   * A hole is said; one that a few pages can fill is filled, too, and not a longer one, as between an import
   * of long ago and today.
   *
   * @param {number} start
   * @param {number} end
   */
  #noteHole(start, end) {
    const from = start + this.#timeframeMs;
    if (from < end) this.#setGaps([{ start: from, end, reason: "not_fetched" }], from, end);
    if ((end - start) / this.#timeframeMs <= FILL_LIMIT * FILL_PAGES_MAX) this.#filler.note({ start, end });
  }

  /**
   * Reads what happened while the connection was away for longer than a snapshot reaches.
   *
   * @param {{start: number, end: number, limit: number}} range
   */
  async #readHole(range) {
    const answer = await this.#ask(range, (problems) => {
      this.#holeProblems = problems;
      this.#tellProblems();
    });
    return answer !== null && (answer.problems ?? []).length === 0;
  }

  /**
   * Until when a message speaks of what is there; the clock of this computer may be slow.
   *
   * @param {number} now
   * @param {readonly Bar[]} bars
   * @param {readonly Gap[]} gaps
   */
  #reach(now, bars, gaps) {
    return Math.max(now, (bars[bars.length - 1]?.[0] ?? 0) + this.#timeframeMs, ...gaps.map(({ end }) => end));
  }

  /** @param {readonly Gap[]} gaps @param {number} start @param {number} end exclusive */
  #setGaps(gaps, start, end) {
    this.series.setGaps(this.series.lacking(gaps, this.#timeframeMs), start, end);
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
    const told = new Set(this.#historyProblems.map(({ code, detail }) => code + detail));
    const more = this.#holeProblems.filter(({ code, detail }) => !told.has(code + detail));
    this.#handlers.onProblems([...this.#historyProblems, ...more, ...this.#liveProblems]);
  }
}

/** @param {string} source @param {ApiError} error @returns {Problem} */
function problemOf(source, { code, message, blamesSymbol }) {
  return { source, code: blamesSymbol ? UNKNOWN_SYMBOL : code, detail: message };
}

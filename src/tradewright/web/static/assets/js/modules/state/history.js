/** Whether there is more history to the left of what an answer brought, and where to ask next. */

/**
 * @import {Bar} from "../net/messages.js"
 * @import {Gap, StoredRange} from "../net/protocol.js"
 * @typedef {{kind: "more", end: number} | {kind: "beginning"} | {kind: "unreachable"}} OlderVerdict
 */

/** The server looks back at most this many timeframes per asked bar. */
const LOOKBACK_FACTOR = 20;

/**
 * From when on an answer to "the newest `limit` bars before `end`" speaks of what is there.
 *
 * @param {{gaps: readonly Gap[]}} answer without bars
 * @param {{end: number, limit: number, timeframeMs: number}} asked
 */
export function answeredFrom({ gaps }, { end, limit, timeframeMs }) {
  const starts = gaps.map((gap) => gap.start);
  return starts.length > 0 ? Math.min(...starts) : end - LOOKBACK_FACTOR * limit * timeframeMs;
}

/**
 * Reads an answer to "the newest `limit` bars before `end`". Fewer than asked means one of three things:
 * the provider could not be reached for the older part (`not_fetched`), the server's look-back ended in
 * a stretch that it knows to be empty, or the listing begins here. An empty answer may name bars further back in the store; they are next.
 *
 * @param {{bars: readonly Bar[], gaps: readonly Gap[], stored?: StoredRange | null}} answer
 * @param {{end: number, limit: number, timeframeMs: number}} asked
 * @returns {OlderVerdict}
 */
export function judgeOlder({ bars, gaps, stored }, { end, limit, timeframeMs }) {
  const first = bars[0]?.[0];
  if (bars.length >= limit && first !== undefined) return { kind: "more", end: first };
  if (first === undefined && stored && stored.last < end) return { kind: "more", end: stored.last + 1 };
  const oldest = first ?? end;
  if (gaps.some((gap) => gap.reason === "not_fetched" && gap.start < oldest)) return { kind: "unreachable" };
  const lookbackStart = end - LOOKBACK_FACTOR * limit * timeframeMs;
  const exhausted = gaps.some((gap) => gap.start <= lookbackStart + timeframeMs && gap.end > lookbackStart);
  if (exhausted || oldest <= lookbackStart + timeframeMs) return { kind: "more", end: Math.min(oldest, lookbackStart) };
  return { kind: "beginning" };
}

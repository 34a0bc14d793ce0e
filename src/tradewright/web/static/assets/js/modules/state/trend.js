/** The price's way over the 24 hours that a ticker's change is over: same beginning, same end. */

import { DAY_MS } from "./timeframes.js";

/**
 * @import {Bar} from "../net/messages.js"
 * @import {Ticker} from "../net/protocol.js"
 * @typedef {[number, number]} TrendPoint time in epoch ms, price
 */

const HOUR_MS = 3_600_000;

/**
 * @param {readonly Bar[]} bars of an hour each, ascending
 * @param {Pick<Ticker, "t" | "last" | "change_percent">} ticker
 * @returns {TrendPoint[]} ascending; from the price that the change counts from, over the hours' closes, to
 *   the last price; none where there is no last price
 */
export function trendPoints(bars, { t, last, change_percent: change }) {
  if (last === null || last === undefined) return [];
  const start = t - DAY_MS;
  const closes = bars
    .map((bar) => /** @type {TrendPoint} */ ([bar[0] + HOUR_MS, bar[4]]))
    .filter(([time]) => time > start && time < t);
  const known = typeof change === "number" && change > -100;
  const reference = known ? last / (1 + change / 100) : bars.find(([time]) => time >= start)?.[1];
  /** @type {TrendPoint[]} */
  const begin = reference === undefined ? [] : [[start, reference]];
  return [...begin, ...closes, [t, last]];
}

/** The timeframes of the product: their order, nominal length, and how a chart library calls them. */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

/**
 * @typedef {"minute" | "hour" | "day" | "week" | "month"} TimeframeUnit
 * @typedef {{id: string, unit: TimeframeUnit, span: number, ms: number, label: string}} Timeframe
 */

/** @type {Record<string, {unit: TimeframeUnit, ms: number, word: string}>} */
const UNITS = {
  m: { unit: "minute", ms: MINUTE_MS, word: "minute" },
  h: { unit: "hour", ms: HOUR_MS, word: "hour" },
  d: { unit: "day", ms: DAY_MS, word: "day" },
  w: { unit: "week", ms: 7 * DAY_MS, word: "week" },
  M: { unit: "month", ms: 30 * DAY_MS, word: "month" },
};

/** @param {string} id @returns {Timeframe} */
function make(id) {
  const span = Number.parseInt(id, 10);
  const { unit, ms, word } = /** @type {{unit: TimeframeUnit, ms: number, word: string}} */ (UNITS[id.slice(-1)]);
  return { id, unit, span, ms: span * ms, label: `${span} ${word}${span === 1 ? "" : "s"}` };
}

/** Every timeframe, shortest first. */
export const TIMEFRAMES = ["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "1w", "1M"].map(make);

export const FAVOURITES_DEFAULT = ["1m", "5m", "15m", "1h", "4h", "1d"];

/**
 * @param {string} id
 * @returns {Timeframe | undefined}
 */
export function timeframe(id) {
  return TIMEFRAMES.find((item) => item.id === id);
}

/**
 * Reads what a person types: "5" or "5m", "60" or "1h", "4h", "d", "1D", "w", "M".
 *
 * @param {string} text
 * @returns {Timeframe | undefined}
 */
export function parseTimeframe(text) {
  const match = /^\s*(\d{0,4})\s*([mhdwM]|D|W|H)?\s*$/.exec(text);
  if (!match || (match[1] === "" && match[2] === undefined)) return undefined;
  const letter = match[2] === undefined || match[2] === "M" ? (match[2] ?? "m") : match[2].toLowerCase();
  const unit = UNITS[letter];
  const wanted = Number(match[1] || 1) * (unit?.ms ?? 0);
  const exact = TIMEFRAMES.find((item) => item.id === `${Number(match[1] || 1)}${letter}`);
  return exact ?? TIMEFRAMES.find((item) => item.ms === wanted && item.unit !== "month");
}

/**
 * Bars of a day and longer are stamped by their UTC date, so showing them in another zone would move
 * them to another day.
 *
 * @param {Timeframe} item
 */
export function isDateStamped(item) {
  return item.ms >= DAY_MS;
}

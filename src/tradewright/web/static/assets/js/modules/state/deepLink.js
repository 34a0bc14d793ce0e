/** The chart's address in the query of the page: market, provider, symbol, timeframe. */

/** @import {ChartAddress} from "./preferences.js" */

const NAMES = /** @type {const} */ (["market", "provider", "symbol", "timeframe"]);

/**
 * @param {string} search a query string
 * @returns {Partial<ChartAddress>} what it names, nothing invented
 */
export function readAddress(search) {
  const query = new URLSearchParams(search);
  const found = NAMES.map((name) => [name, query.get(name)]).filter(([, value]) => value);
  return Object.fromEntries(found);
}

/** @param {ChartAddress} address */
export function chartUrl(address) {
  // A slash is allowed in a query and keeps the address readable.
  const query = new URLSearchParams(NAMES.map((name) => [name, address[name]]));
  return `/chart?${query.toString().replaceAll("%2F", "/")}`;
}

/** @param {Pick<ChartAddress, "market" | "provider" | "symbol">} address */
export function dataUrl({ market, provider, symbol }) {
  return `/data?${new URLSearchParams({ market, provider, symbol }).toString().replaceAll("%2F", "/")}`;
}

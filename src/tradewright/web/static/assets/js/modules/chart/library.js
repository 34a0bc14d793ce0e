/** The chart library, as its script put it on the page before the modules ran. */

/**
 * @import * as KLineCharts from "klinecharts"
 * @typedef {typeof KLineCharts} Library
 */

/**
 * @returns {Library}
 * @throws {Error} when the script is missing
 */
export function chartLibrary() {
  const found = /** @type {{klinecharts?: Library}} */ (/** @type {unknown} */ (globalThis)).klinecharts;
  if (!found) throw new Error("The chart library did not load.");
  return found;
}

/** The line over the chart: what is shown, and open, high, low, close, volume of the bar under the cursor. */

import { direction, formatAmount, formatBarTime, formatPercent, formatPrice } from "../state/format.js";
import { element, replace } from "./element.js";

/**
 * @import {Bar} from "../net/messages.js"
 * @typedef {{symbol: string, timeframe: string, provider: string, simulated: boolean}} LegendTitle
 * @typedef {{bar: Bar | null, previous: Bar | null, precision: number, zone: string, dateOnly: boolean, underCursor: boolean}} LegendBar
 */

export class Legend {
  #title = element("h1", { class: "legend-title" });
  #values = element("dl", { class: "legend-values" });
  #root = element("div", { class: "legend" }, this.#title, this.#values);

  get node() {
    return this.#root;
  }

  /** @param {LegendTitle} title */
  setTitle({ symbol, timeframe, provider, simulated }) {
    replace(
      this.#title,
      element("span", { class: "legend-symbol", title: symbol }, symbol),
      element("span", { class: "legend-part" }, timeframe),
      element("span", { class: "legend-part" }, provider),
      simulated && element("span", { class: "tag tag-simulated", title: "Prices are made up by the server" }, "Simulated"),
    );
  }

  /** @param {LegendBar} shown */
  setBar({ bar, previous, precision, zone, dateOnly, underCursor }) {
    if (!bar) {
      this.#values.replaceChildren();
      return;
    }
    const [time, open, high, low, close, volume] = bar;
    const base = previous?.[4] ?? open;
    const change = close - base;
    const tone = direction(change);
    const price = (/** @type {number} */ value) => formatPrice(value, precision);
    const percent = formatPercent(base === 0 ? null : (change / base) * 100);
    this.#root.classList.toggle("is-cursor", underCursor);
    replace(
      this.#values,
      pair("Time", formatBarTime(time, zone, dateOnly), "legend-time"),
      pair("O", price(open), tone),
      pair("H", price(high), tone),
      pair("L", price(low), tone),
      pair("C", price(close), tone),
      pair("Change", `${change > 0 ? "+" : ""}${price(change)} (${percent})`, `${tone} legend-change`),
      pair("V", formatAmount(volume), ""),
    );
  }

  destroy() {
    this.#root.remove();
  }
}

/** @param {string} name @param {string} value @param {string} className */
function pair(name, value, className) {
  return element("div", { class: `legend-pair ${className}` }, element("dt", {}, name), element("dd", {}, value));
}

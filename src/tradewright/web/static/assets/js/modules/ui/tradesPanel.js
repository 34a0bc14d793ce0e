/** The tape: the newest trades, newest on top. */

import { formatClock, formatPrice, precisionOfAmounts } from "../state/format.js";
import { element } from "./element.js";
import { Freshness } from "./freshness.js";

/** @import {Trade} from "../net/protocol.js" */

const ROWS = 50;

export class TradesPanel {
  #body = element("div", { class: "tape-body", role: "rowgroup" });
  #table = element(
    "div",
    { class: "tape", role: "table", "aria-label": "Recent trades" },
    line("tape-head", "columnheader", ["Time", "Price", "Amount"]),
    this.#body,
  );
  fresh = new Freshness(this.#table);
  #root = element(
    "section",
    { class: "panel panel-tape" },
    element("h2", { class: "panel-title" }, "Trades", this.fresh.node),
    this.#table,
  );
  #precision = 2;
  #zone = "UTC";
  #frame = 0;
  /** @type {readonly Trade[]} */
  #latest = [];

  get node() {
    return this.#root;
  }

  /** @param {{precision?: number, zone?: string}} settings */
  set({ precision = this.#precision, zone = this.#zone }) {
    this.#precision = precision;
    this.#zone = zone;
    this.update(this.#latest);
  }

  /** @param {string} words why there are none */
  clear(words) {
    this.#latest = [];
    this.fresh.setFeed(null);
    this.explain(words);
  }

  /** Says why nothing comes, unless trades are there. @param {string} words */
  explain(words) {
    if (this.#latest.length === 0) this.#body.replaceChildren(element("p", { class: "hint" }, words));
  }

  /** @param {readonly Trade[]} trades newest last */
  update(trades) {
    this.#latest = trades;
    if (trades.length > 0) this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  destroy() {
    cancelAnimationFrame(this.#frame);
    this.#root.remove();
  }

  #draw() {
    this.#frame = 0;
    if (this.#latest.length === 0) return;
    const newest = this.#latest.slice(-ROWS).reverse();
    const places = precisionOfAmounts(newest.map((trade) => trade[4]));
    this.#body.replaceChildren(...newest.map((trade) => this.#row(trade, places)));
  }

  /** @param {Trade} trade @param {number} places of the amount */
  #row([time, , side, price, amount], places) {
    const tone = side === "buy" ? "up" : side === "sell" ? "down" : "flat";
    const arrow = { up: "▲ ", down: "▼ ", flat: "" }[tone];
    const cells = [formatClock(time, this.#zone), `${arrow}${formatPrice(price, this.#precision)}`, formatPrice(amount, places)];
    return line(`tape-row ${tone}`, "cell", cells);
  }
}

/** @param {string} className @param {string} role @param {string[]} cells */
function line(className, role, cells) {
  return element("div", { class: className, role: "row" }, ...cells.map((text) => element("span", { role }, text)));
}

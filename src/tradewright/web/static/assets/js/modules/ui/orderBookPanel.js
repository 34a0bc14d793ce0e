/** The top of the order book: asks over the spread over bids, with bars of cumulative size. */

import { formatPrice, precisionOfAmounts } from "../state/format.js";
import { element, replace } from "./element.js";
import { Freshness } from "./freshness.js";

/**
 * @import {Level} from "../net/messages.js"
 * @import {OrderBook} from "../net/protocol.js"
 */

/** @typedef {{price: number, amount: number, total: number}} Depth */

const LEVELS = 15;

export class OrderBookPanel {
  #asks = element("div", { class: "book-side book-asks", role: "rowgroup" });
  #bids = element("div", { class: "book-side book-bids", role: "rowgroup" });
  #spread = element("div", { class: "book-spread" });
  #table = element(
    "div",
    { class: "book", role: "table", "aria-label": "Order book" },
    row("book-head", "columnheader", "Price", "Amount", "Total"),
    this.#asks,
    this.#spread,
    this.#bids,
  );
  fresh = new Freshness(this.#table);
  #root = element(
    "section",
    { class: "panel panel-book" },
    element("h2", { class: "panel-title" }, "Order book", this.fresh.node),
    this.#table,
  );
  #precision = 2;
  #frame = 0;
  /** @type {OrderBook | null} */
  #latest = null;

  constructor() {
    this.clear("Waiting for the order book…");
  }

  get node() {
    return this.#root;
  }

  /** @param {number} precision decimal places of prices */
  setPrecision(precision) {
    this.#precision = precision;
  }

  /** @param {string} words why there is none */
  clear(words) {
    this.#latest = null;
    this.fresh.setFeed(null);
    this.#asks.replaceChildren();
    this.#bids.replaceChildren();
    replace(this.#spread, element("span", { class: "muted" }, words));
  }

  /** Says why nothing comes, unless a book is there, which is greyed instead. @param {string} words */
  explain(words) {
    if (!this.#latest) replace(this.#spread, element("span", { class: "muted" }, words));
  }

  /** Draws at most once per frame, the latest book. @param {OrderBook} book */
  update(book) {
    this.#latest = book;
    this.fresh.touch();
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  destroy() {
    cancelAnimationFrame(this.#frame);
    this.#root.remove();
  }

  #draw() {
    this.#frame = 0;
    if (!this.#latest) return;
    const asks = accumulate(this.#latest.asks);
    const bids = accumulate(this.#latest.bids);
    const most = Math.max(asks[asks.length - 1]?.total ?? 0, bids[bids.length - 1]?.total ?? 0, Number.MIN_VALUE);
    const places = precisionOfAmounts([most]);
    const line = (/** @type {Depth} */ level) => this.#level(level, most, places);
    this.#asks.replaceChildren(...asks.map(line).reverse());
    this.#bids.replaceChildren(...bids.map(line));
    this.#drawSpread(this.#latest.asks[0]?.[0], this.#latest.bids[0]?.[0]);
  }

  /** @param {Depth} level @param {number} most @param {number} places */
  #level({ price, amount, total }, most, places) {
    const cells = [formatPrice(price, this.#precision), formatPrice(amount, places), formatPrice(total, places)];
    const node = row("book-row", "cell", ...cells);
    node.style.setProperty("--share", `${((total / most) * 100).toFixed(2)}%`);
    return node;
  }

  /** @param {number | undefined} ask @param {number | undefined} bid */
  #drawSpread(ask, bid) {
    if (ask === undefined || bid === undefined) {
      replace(this.#spread, element("span", { class: "muted" }, "One side is empty"));
      return;
    }
    const share = ((ask - bid) / ((ask + bid) / 2)) * 100;
    replace(
      this.#spread,
      element("span", { class: "book-mid" }, formatPrice((ask + bid) / 2, this.#precision)),
      element("span", { class: "muted" }, `spread ${formatPrice(ask - bid, this.#precision)} · ${share < 0.01 ? share.toPrecision(2) : share.toFixed(2)}%`),
    );
  }
}

/** @param {readonly Level[]} levels @returns {Depth[]} */
function accumulate(levels) {
  let total = 0;
  return levels.slice(0, LEVELS).map(([price, amount]) => {
    total += amount;
    return { price, amount, total };
  });
}

/** @param {string} className @param {string} role @param {...string} cells */
function row(className, role, ...cells) {
  return element("div", { class: className, role: "row" }, ...cells.map((text) => element("span", { role }, text)));
}

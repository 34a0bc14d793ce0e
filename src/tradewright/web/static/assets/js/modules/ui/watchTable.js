/** Live prices of a few symbols in a table, each row a way to its chart. */

import { chartUrl } from "../state/deepLink.js";
import { worstFeed } from "../state/feeds.js";
import { direction, formatAmount, formatPercent, formatPrice, precisionOfPrice } from "../state/format.js";
import { trendPoints } from "../state/trend.js";
import { element, replace } from "./element.js";
import { Freshness } from "./freshness.js";
import { Sparkline } from "./sparkline.js";

/**
 * @import {DataService, SymbolAddress} from "../data/dataService.js"
 * @import {Bar} from "../net/messages.js"
 * @import {FeedStatus as Feed, Ticker} from "../net/protocol.js"
 * @typedef {{address: SymbolAddress, precision: number | null}} WatchItem
 * @typedef {{onTick: () => void, onFeed: (feed: Feed | null) => void}} WatchHandlers
 *   `onTick`: a price has just come; `onFeed`: what the feeds of all rows amount to
 */

/** One more than the hours of the trend, for the first of them has begun before it. */
const TREND_BARS = 25;
const TREND_EVERY_MS = 3_600_000;
const TREND_RETRY_MS = 60_000;
const FLASH_MS = 600;

/** One symbol's row. */
class WatchRow {
  #item;
  #last = element("td", { class: "number price" });
  #change = element("td", { class: "number" });
  #high = element("td", { class: "number wide" });
  #low = element("td", { class: "number wide" });
  #volume = element("td", { class: "number wide" });
  #spark = element("td", { class: "spark" });
  #sparkline = new Sparkline();
  #service;
  /** @type {readonly Bar[]} */
  #hours = [];
  /** When the hours are to be read again. */
  #hoursDueAt = 0;
  /** @type {Ticker | null} */
  #ticker = null;
  #stop;
  #shown = NaN;
  #flashTimer = 0;
  #ended = new AbortController();
  /** @type {Feed | null} */
  #feed = null;
  #onFeed;
  #fresh;
  node;

  /**
   * @param {DataService} service
   * @param {WatchItem} item
   * @param {{onTick: () => void, onFeed: (age: number | null) => void}} handlers
   */
  constructor(service, item, { onTick, onFeed }) {
    this.#service = service;
    this.#item = item;
    this.#onFeed = onFeed;
    const href = chartUrl({ ...item.address, timeframe: "1m" });
    const name = element("th", { scope: "row" }, element("a", { href }, item.address.symbol));
    this.node = element(
      "tr",
      { "data-symbol": item.address.symbol },
      name,
      this.#last,
      this.#change,
      this.#spark,
      this.#high,
      this.#low,
      this.#volume,
    );
    this.#fresh = new Freshness(this.node);
    name.append(" ", this.#fresh.node);
    this.#stop = service.subscribeTicker(item.address, {
      onTicker: (ticker, fresh) => {
        this.#show(ticker);
        if (!fresh) return;
        this.#fresh.touch();
        onTick();
      },
      onFeed: (feed) => this.#setFeed(feed),
      onError: (error) => {
        replace(this.#last, element("span", { class: "muted", title: error.message }, "unavailable"));
        // A stream that was refused has no feed that could say so.
        this.#setFeed({ type: "feed", topic: "", state: "down", detail: error.message });
      },
    });
  }

  destroy() {
    clearTimeout(this.#flashTimer);
    this.#ended.abort();
    this.#stop();
  }

  /** @param {boolean} offline whether the server can't be reached */
  setOffline(offline) {
    this.#fresh.setOffline(offline);
  }

  /** @returns {Feed | null} null until it is known */
  get feed() {
    return this.#feed;
  }

  /** @param {Feed} feed */
  #setFeed(feed) {
    this.#feed = feed;
    this.#fresh.setFeed(feed);
    this.#onFeed(feed.age_ms ?? null);
  }

  /** @param {Ticker} ticker */
  #show(ticker) {
    const { last, high, low, volume, change_percent: change } = ticker;
    const precision = this.#item.precision ?? precisionOfPrice(last);
    this.#last.textContent = formatPrice(last, precision);
    this.#change.textContent = formatPercent(change);
    this.#change.className = `number ${direction(change)}`;
    this.#high.textContent = formatPrice(high, precision);
    this.#low.textContent = formatPrice(low, precision);
    this.#volume.textContent = formatAmount(volume);
    const price = last ?? NaN;
    if (price !== this.#shown && !Number.isNaN(this.#shown)) this.#flash(direction(price - this.#shown));
    this.#shown = price;
    this.node.dataset.last = String(last ?? "");
    this.#ticker = ticker;
    this.#showTrend();
    if (Date.now() >= this.#hoursDueAt) this.#loadHours();
  }

  /** @param {string} tone */
  #flash(tone) {
    clearTimeout(this.#flashTimer);
    this.#last.dataset.flash = tone;
    this.#flashTimer = setTimeout(() => delete this.#last.dataset.flash, FLASH_MS);
  }

  #showTrend() {
    const ticker = this.#ticker;
    if (!ticker || this.#hours.length === 0) return;
    const change = typeof ticker.change_percent === "number" ? `, ${formatPercent(ticker.change_percent)}` : "";
    this.#sparkline.show(trendPoints(this.#hours, ticker), `${this.#item.address.symbol}, last 24 hours${change}`);
    if (!this.#sparkline.node.isConnected) this.#spark.append(this.#sparkline.node);
  }

  /** Reads the hours anew: the live price carries the line on until the next time. */
  async #loadHours() {
    this.#hoursDueAt = Date.now() + TREND_EVERY_MS;
    const query = { ...this.#item.address, timeframe: "1h", limit: TREND_BARS };
    const answer = await this.#service.ohlcv(query, this.#ended.signal).catch(() => null);
    if (answer === null) {
      this.#hoursDueAt = Date.now() + TREND_RETRY_MS;
      return;
    }
    this.#hours = answer.bars;
    this.#showTrend();
  }
}

export class WatchTable {
  #rows;
  #root;

  /**
   * @param {DataService} service
   * @param {readonly WatchItem[]} items
   * @param {WatchHandlers} handlers
   */
  constructor(service, items, { onTick, onFeed }) {
    const tell = (/** @type {number | null} */ age) => {
      const worst = worstFeed(this.#rows.map((row) => row.feed));
      // An age counts from when it was told, so only that of the feed that has just spoken is passed on.
      onFeed(worst && { ...worst, age_ms: age });
    };
    this.#rows = items.map((item) => new WatchRow(service, item, { onTick, onFeed: tell }));
    const head = ["Symbol", "Last", "24 h", "Trend", "High", "Low", "Volume"].map((name, index) =>
      element("th", { scope: "col", class: index === 0 ? "" : index > 3 ? "number wide" : "number" }, name),
    );
    this.#root = element(
      "table",
      { class: "table" },
      element("thead", {}, element("tr", {}, ...head)),
      element("tbody", {}, ...this.#rows.map((row) => row.node)),
    );
  }

  get node() {
    return this.#root;
  }

  /** @param {boolean} offline whether the server can't be reached */
  setOffline(offline) {
    for (const row of this.#rows) row.setOffline(offline);
  }

  destroy() {
    for (const row of this.#rows) row.destroy();
    this.#root.remove();
  }
}

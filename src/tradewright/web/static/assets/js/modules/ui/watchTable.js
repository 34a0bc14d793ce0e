/** Live prices of a few symbols in a table, each row a way to its chart. */

import { chartUrl } from "../state/deepLink.js";
import { worstFeed } from "../state/feeds.js";
import { direction, formatAmount, formatPercent, formatPrice, precisionOfPrice } from "../state/format.js";
import { element, replace } from "./element.js";
import { sparkline } from "./sparkline.js";

/**
 * @import {DataService, SymbolAddress} from "../data/dataService.js"
 * @import {FeedStatus as Feed, Ticker} from "../net/protocol.js"
 * @typedef {{address: SymbolAddress, precision: number | null}} WatchItem
 * @typedef {{onTick: () => void, onFeed: (feed: Feed | null) => void}} WatchHandlers
 *   `onTick`: a price has just come; `onFeed`: what the feeds of all rows amount to
 */

const SPARK_HOURS = 24;
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
  #stop;
  #shown = NaN;
  #flashTimer = 0;
  #ended = new AbortController();
  /** @type {Feed | null} */
  #feed = null;
  #onFeed;
  node;

  /**
   * @param {DataService} service
   * @param {WatchItem} item
   * @param {{onTick: () => void, onFeed: (age: number | null) => void}} handlers
   */
  constructor(service, item, { onTick, onFeed }) {
    this.#item = item;
    this.#onFeed = onFeed;
    const href = chartUrl({ ...item.address, timeframe: "1m" });
    this.node = element(
      "tr",
      { "data-symbol": item.address.symbol },
      element("th", { scope: "row" }, element("a", { href }, item.address.symbol)),
      this.#last,
      this.#change,
      this.#spark,
      this.#high,
      this.#low,
      this.#volume,
    );
    this.#stop = service.subscribeTicker(item.address, {
      onTicker: (ticker, fresh) => {
        this.#show(ticker);
        if (fresh) onTick();
      },
      onFeed: (feed) => this.#setFeed(feed),
      onError: (error) => {
        replace(this.#last, element("span", { class: "muted", title: error.message }, "unavailable"));
        // A stream that was refused has no feed that could say so.
        this.#setFeed({ type: "feed", topic: "", state: "down", detail: error.message });
      },
    });
    this.#drawSpark(service);
  }

  destroy() {
    clearTimeout(this.#flashTimer);
    this.#ended.abort();
    this.#stop();
  }

  /** @returns {Feed | null} null until it is known */
  get feed() {
    return this.#feed;
  }

  /** @param {Feed} feed */
  #setFeed(feed) {
    this.#feed = feed;
    this.node.classList.toggle("is-stale", feed.state === "stale" || feed.state === "down");
    this.#onFeed(feed.age_ms ?? null);
  }

  /** @param {Ticker} ticker */
  #show({ last, high, low, volume, change_percent: change }) {
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
  }

  /** @param {string} tone */
  #flash(tone) {
    clearTimeout(this.#flashTimer);
    this.#last.dataset.flash = tone;
    this.#flashTimer = setTimeout(() => delete this.#last.dataset.flash, FLASH_MS);
  }

  /** @param {DataService} service */
  async #drawSpark(service) {
    const query = { ...this.#item.address, timeframe: "1h", limit: SPARK_HOURS };
    const answer = await service.ohlcv(query, this.#ended.signal).catch(() => null);
    const closes = answer?.bars.map((bar) => bar[4]) ?? [];
    if (closes.length > 1) this.#spark.append(sparkline(closes, `${this.#item.address.symbol}, last ${closes.length} hours`));
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

  destroy() {
    for (const row of this.#rows) row.destroy();
    this.#root.remove();
  }
}

/** What the chart page shows of one session: the chart, its legend, notes, status and side panels. */

import { PriceChart } from "../modules/chart/priceChart.js";
import { UNKNOWN_MARKET, UNKNOWN_PROVIDER, UNKNOWN_SYMBOL } from "../modules/net/errors.js";
import { clip, formatBarTime, precisionOfPrice } from "../modules/state/format.js";
import { DAY_MS, isDateStamped } from "../modules/state/timeframes.js";
import { Banner } from "../modules/ui/banner.js";
import { ConnectionStatus } from "../modules/ui/connectionStatus.js";
import { element, find, replace } from "../modules/ui/element.js";
import { Legend } from "../modules/ui/legend.js";
import { Notice } from "../modules/ui/notice.js";
import { OrderBookPanel } from "../modules/ui/orderBookPanel.js";
import { TradesPanel } from "../modules/ui/tradesPanel.js";

/**
 * @import {ApiError} from "../modules/net/errors.js"
 * @import {HistoryEdge} from "../modules/data/liveBars.js"
 * @import {Problem} from "../modules/net/protocol.js"
 * @import {Bar} from "../modules/net/messages.js"
 * @import {BarSeries} from "../modules/state/barSeries.js"
 * @import {ChartAddress} from "../modules/state/preferences.js"
 * @import {Timeframe} from "../modules/state/timeframes.js"
 * @import {ConnectionState} from "../modules/ui/connectionStatus.js"
 * @typedef {{address: ChartAddress, timeframe: Timeframe, providerName: string, simulated: boolean, notice: string}} ViewTitle
 *   `notice`: what is shown otherwise than asked for, or nothing
 */

const NOTHING_STORED = "Nothing is stored that could be shown meanwhile.";
const NO_SYMBOL = "Which symbols there are could not be found out. Try again, or choose another provider above.";
/** Codes of a server that could not be asked at all. */
const UNANSWERED = new Set(["network", "timeout", "bad_answer"]);
const UNTRUSTED = new Set(["stale", "down", "offline"]);

/** @type {Record<HistoryEdge, string>} */
const EDGE_WORDS = {
  more: "",
  beginning: "The history begins here",
  unreachable: "Older bars cannot be reached now",
  full: "No more bars fit on this chart; choose a longer timeframe",
};

export class ChartView {
  root = find("#main", HTMLElement);
  book = new OrderBookPanel();
  tape = new TradesPanel();
  status;
  chart;
  #legend = new Legend();
  #banner;
  #notice = new Notice();
  #onSearch;
  #note = find("#chart-note", HTMLElement);
  #edge = find("#chart-edge", HTMLElement);
  #latest = find("#to-latest", HTMLButtonElement);
  #side = find("#side", HTMLElement);
  #summary = element("span", { class: "wide" });
  #zoneWords = element("span");
  #zone = "UTC";
  #zoneName = "UTC";
  #precision = 2;
  /** @type {ViewTitle | null} */
  #title = null;
  /** @type {BarSeries | null} */
  #series = null;
  /** @type {Bar | null} */
  #cursor = null;
  #legendSize;
  #atEdge = false;
  /** @type {readonly Problem[]} */
  #problems = [];

  /** @param {{onRetry: () => void, onSearch: () => void}} handlers `onSearch`: another symbol is looked for */
  constructor({ onRetry, onSearch }) {
    this.#onSearch = onSearch;
    this.#banner = new Banner(onRetry);
    this.status = new ConnectionStatus((state) => this.#onConnection(state));
    find("#legend-slot", HTMLElement).append(this.#legend.node);
    find("#banner-slot", HTMLElement).append(this.#banner.node, this.#notice.node);
    find("#statusbar", HTMLElement).append(
      this.status.node,
      element("div", { class: "statusbar-end" }, this.#summary, this.#zoneWords),
    );
    this.#side.append(this.book.node, this.tape.node);
    this.chart = new PriceChart(find("#chart", HTMLElement), {
      onCursor: (bar) => this.#onCursor(bar),
      onScroll: (place) => this.#onScroll(place),
    });
    this.#legendSize = new ResizeObserver(() => this.chart.setLegendHeight(this.#legend.node.offsetHeight));
    this.#legendSize.observe(this.#legend.node);
    this.#latest.addEventListener("click", () => this.chart.scrollToLatest());
    // Lets a test or an outside check read the exact bars without a global: it sends the event and finds
    // a copy of them in its detail.
    this.root.addEventListener("tradewright:inspect", (event) => {
      const { detail } = /** @type {CustomEvent} */ (event);
      detail.bars = (this.#series?.bars ?? []).map((bar) => [...bar]);
      detail.shown = this.chart.shownTimes();
    });
  }

  /** Empties the page for another session. @param {ViewTitle} title */
  begin(title) {
    this.#title = title;
    this.#series = null;
    this.#showZone();
    this.#cursor = null;
    this.chart.clear();
    this.book.clear("Waiting for the order book…");
    this.tape.clear("Waiting for trades…");
    this.status.setFeed(null);
    this.showProblems([]);
    this.#notice.show(title.notice);
    this.showEdge("more");
    this.say("Loading bars…");
    const { market, provider, symbol, timeframe } = title.address;
    Object.assign(this.root.dataset, { market, provider, symbol, timeframe, bars: "0" });
    for (const name of ["lastTime", "lastClose", "firstTime"]) delete this.root.dataset[name];
    this.#legend.setTitle({ symbol, timeframe, provider: title.providerName, simulated: title.simulated });
    this.#showBar();
    document.title = `${symbol} · ${timeframe} · ${title.providerName} · tradewright`;
  }

  /**
   * Shows the first bars of the session.
   *
   * @param {BarSeries} series
   * @param {() => Promise<boolean>} loadOlder
   * @param {number | null} precision decimal places of prices, where the instrument tells
   */
  open(series, loadOlder, precision) {
    const title = this.#title;
    if (!title) return;
    this.#series = series;
    this.#precision = precision ?? precisionOfPrice(series.last?.[4]);
    this.book.setPrecision(this.#precision);
    this.tape.set({ precision: this.#precision });
    this.chart.setSource({
      series,
      ticker: title.address.symbol,
      timeframe: title.timeframe,
      pricePrecision: this.#precision,
      volumePrecision: 3,
      loadOlder,
    });
    this.refresh();
  }

  /** Shows that the series has changed. */
  refresh() {
    const series = this.#series;
    if (!series) return;
    const { first, last } = series;
    this.root.dataset.bars = String(series.bars.length);
    if (first) this.root.dataset.firstTime = String(first[0]);
    if (last) {
      this.root.dataset.lastTime = String(last[0]);
      this.root.dataset.lastClose = String(last[4]);
    }
    this.say(last ? "" : this.#problems.length > 0 ? NOTHING_STORED : "There are no bars of this symbol and timeframe.");
    this.showProblems(this.#problems);
    this.#showBar();
    this.#showSummary(series);
  }

  /**
   * @param {string} words over the empty chart; none hides the note
   * @param {HTMLElement} [action] what a person can do about it
   */
  say(words, action) {
    this.#note.hidden = words === "";
    if (this.#note.dataset.words === words && !action === !this.#note.firstElementChild) return;
    this.#note.dataset.words = words;
    replace(this.#note, words, action);
  }

  /** Shows why there is nothing that a session could be opened for. @param {ApiError} error */
  refuse({ code, message }) {
    for (const panel of [this.book, this.tape]) panel.clear("Nothing to show.");
    if (code === UNKNOWN_MARKET || code === UNKNOWN_PROVIDER) {
      this.status.setFault({ state: "none", words: code === UNKNOWN_MARKET ? "No such market" : "No such provider" });
      this.#banner.show([], "");
      this.say(`${message} Choose another one above.`);
      return;
    }
    this.status.setFault({ state: UNANSWERED.has(code) ? "offline" : "down" });
    this.#banner.show([{ code, detail: message }], "");
    this.say(NO_SYMBOL);
  }

  /** @param {readonly Problem[]} problems none when all is well */
  showProblems(problems) {
    this.#problems = problems;
    const hasBars = this.#series?.last !== undefined;
    const unlisted = problems.some(({ code }) => code === UNKNOWN_SYMBOL);
    this.status.setFault(unlisted && !hasBars ? { state: "none", words: "Not listed" } : null);
    if (unlisted) {
      this.#showUnlisted(hasBars);
      return;
    }
    this.#banner.show(problems, hasBars ? "The bars shown are the stored ones." : "");
    if (problems.length > 0 && !hasBars) this.say(NOTHING_STORED);
  }

  /** @param {boolean} hasBars */
  #showUnlisted(hasBars) {
    const { address, providerName = "" } = this.#title ?? {};
    const detail = `${clip(address?.symbol ?? "")} is not listed at ${providerName}.`;
    this.#banner.show(hasBars ? [{ code: UNKNOWN_SYMBOL, detail }] : [], "The bars shown are the stored ones.");
    if (hasBars) return;
    const search = { type: "button", class: "button", "data-role": "search", onclick: () => this.#onSearch() };
    this.say(detail, element("button", search, "Search symbols"));
  }

  /** @param {HistoryEdge} edge */
  showEdge(edge) {
    this.root.dataset.edge = edge;
    this.#edge.textContent = EDGE_WORDS[edge];
    this.#edge.hidden = !this.#atEdge || EDGE_WORDS[edge] === "" || !this.#series?.last;
  }

  /** @param {string} zone an IANA name @param {string} words */
  setZone(zone, words) {
    this.#zone = zone;
    this.#zoneName = words;
    this.#showZone();
    this.chart.setZone(zone);
    this.tape.set({ zone });
    for (const panel of [this.book, this.tape]) panel.fresh.setZone(zone);
    this.#showBar();
  }

  /** @param {boolean} visible */
  showSide(visible) {
    this.#side.hidden = !visible;
  }

  destroy() {
    this.#legendSize.disconnect();
    this.chart.destroy();
    this.status.destroy();
    this.book.destroy();
    this.tape.destroy();
    this.#legend.destroy();
    this.#banner.destroy();
    this.#notice.destroy();
  }

  /** @param {ConnectionState} state */
  #onConnection(state) {
    this.root.dataset.connection = state;
    this.root.toggleAttribute("data-stale", UNTRUSTED.has(state));
    this.chart?.setStale(UNTRUSTED.has(state));
    for (const panel of [this.book, this.tape]) panel.fresh.setOffline(state === "offline");
  }

  /** @param {Bar | null} bar */
  #onCursor(bar) {
    this.#cursor = bar;
    this.#showBar();
  }

  /** @param {{atLatest: boolean, atFirst: boolean}} place */
  #onScroll({ atLatest, atFirst }) {
    this.#latest.hidden = atLatest || !this.#series?.last;
    this.#atEdge = atFirst;
    this.#edge.hidden = !atFirst || this.#edge.textContent === "" || !this.#series?.last;
  }

  #showBar() {
    const bars = this.#series?.bars ?? [];
    const wanted = this.#cursor?.[0];
    const found = wanted === undefined ? -1 : bars.findLastIndex((bar) => bar[0] === wanted);
    const index = found >= 0 ? found : bars.length - 1;
    const dateOnly = this.#title !== null && isDateStamped(this.#title.timeframe);
    this.#legend.setBar({
      bar: bars[index] ?? null,
      previous: bars[index - 1] ?? null,
      precision: this.#precision,
      zone: dateOnly ? "UTC" : this.#zone,
      dateOnly,
      underCursor: found >= 0,
    });
  }

  #showZone() {
    const dated = this.#title !== null && isDateStamped(this.#title.timeframe);
    this.#zoneWords.textContent = dated ? "UTC dates" : this.#zoneName;
  }

  /** @param {BarSeries} series */
  #showSummary({ bars, first, gaps }) {
    const zone = this.#title && this.#title.timeframe.ms >= DAY_MS ? "UTC" : this.#zone;
    const since = first ? ` since ${formatBarTime(first[0], zone, true)}` : "";
    const holes = gaps.length === 0 ? "" : ` · ${gaps.length} ${gaps.length === 1 ? "gap" : "gaps"}`;
    this.#summary.textContent = `${bars.length.toLocaleString("en-GB")} bars${since}${holes}`;
  }
}

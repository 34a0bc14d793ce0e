/** One address on the chart page, from its choice to the next one: its bars, book and trades. */

import { precisionOfTick } from "../modules/state/format.js";
import { isWithoutVenue } from "../modules/ui/connectionStatus.js";

/**
 * @import {DataService} from "../modules/data/dataService.js"
 * @import {LiveBars} from "../modules/data/liveBars.js"
 * @import {ChartAddress} from "../modules/state/preferences.js"
 * @import {FeedStatus} from "../modules/net/protocol.js"
 * @import {OrderBookPanel} from "../modules/ui/orderBookPanel.js"
 * @import {TradesPanel} from "../modules/ui/tradesPanel.js"
 * @import {ChartView} from "./chartView.js"
 */

const INSTRUMENT_WAIT_MS = 1_500;
/** The reason is in the banner; once is enough. */
const UNAVAILABLE = "Not available.";

export class ChartSession {
  #service;
  #view;
  #address;
  /** @type {LiveBars} */
  #bars;
  /** @type {(() => void)[]} */
  #leaveSide = [];
  #ended = false;
  #opened = false;
  #onShown;
  #instrument;

  /**
   * @param {DataService} service
   * @param {ChartView} view
   * @param {ChartAddress} address
   * @param {() => void} onShown told once, when there are bars to look at
   */
  constructor(service, view, address, onShown) {
    this.#service = service;
    this.#view = view;
    this.#address = address;
    this.#onShown = once(onShown);
    this.#instrument = this.#findPrecision();
    this.#bars = service.subscribeBars(address, {
      onReady: () => this.#open(),
      onChange: (change) => {
        if (!this.#opened) return;
        view.chart.apply(change);
        if (change.kind === "tail") view.status.touch();
        this.#refresh();
      },
      onFeed: (feed) => view.status.setFeed(feed),
      onProblems: (problems) => view.showProblems(problems),
      onEdge: (edge) => view.showEdge(edge),
    });
  }

  /** Opens or closes the order book and the trades. @param {boolean} wanted */
  showSide(wanted) {
    if (!wanted) {
      for (const leave of this.#leaveSide.splice(0)) leave();
      return;
    }
    if (this.#leaveSide.length > 0 || this.#ended) return;
    const { book, tape } = this.#view;
    this.#leaveSide = [
      this.#service.subscribeOrderBook(this.#address, {
        onBook: (latest) => book.update(latest),
        onFeed: (feed) => showFeed(book, feed),
        onError: () => book.clear(UNAVAILABLE),
      }),
      this.#service.subscribeTrades(this.#address, {
        onTrades: (latest) => tape.update(latest),
        onFeed: (feed) => showFeed(tape, feed),
        onError: () => tape.clear(UNAVAILABLE),
      }),
    ];
  }

  retry() {
    this.#service.retryLive();
    this.#bars.retry();
  }

  destroy() {
    this.#ended = true;
    this.showSide(false);
    this.#bars.destroy();
  }

  async #open() {
    const precision = await this.#instrument;
    if (this.#ended) return;
    this.#opened = true;
    const loadOlder = async () => {
      await this.#bars.loadOlder();
      this.#refresh();
      return this.#bars.edge === "more" || this.#bars.edge === "unreachable";
    };
    this.#view.open(this.#bars.series, loadOlder, precision);
    this.#view.showEdge(this.#bars.edge);
    if (this.#bars.series.last) this.#onShown();
  }

  #refresh() {
    this.#view.refresh();
    if (this.#bars.series.last) this.#onShown();
  }

  /** @returns {Promise<number | null>} null where the provider does not tell, or not soon */
  async #findPrecision() {
    const patience = new Promise((resolve) => {
      setTimeout(() => resolve(null), INSTRUMENT_WAIT_MS);
    });
    const asked = this.#service.instrument(this.#address).catch(() => null);
    const instrument = await Promise.race([asked, patience]);
    const tick = instrument?.price_tick;
    return tick === null || tick === undefined ? null : precisionOfTick(tick);
  }
}

/**
 * Says how far a panel can be trusted, and where it has nothing yet, that it will not soon.
 *
 * @param {OrderBookPanel | TradesPanel} panel
 * @param {FeedStatus} feed
 */
function showFeed(panel, feed) {
  panel.fresh.setFeed(feed);
  if (feed.state === "down" || isWithoutVenue(feed)) panel.explain(UNAVAILABLE);
}

/** @param {() => void} tell @returns {() => void} which passes the first call on */
function once(tell) {
  let told = false;
  return () => {
    if (!told) tell();
    told = true;
  };
}

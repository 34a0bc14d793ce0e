/** Everything the pages ask of the server: lists, history and live streams, each stream shared by its readers. */

import { FileSaver } from "./fileSaver.js";
import { LiveBackfills } from "./liveBackfills.js";
import { LiveBars } from "./liveBars.js";
import { apiFetch, authSession, LOGIN_WANTED } from "../net/auth.js";
import { asApiError, LOGIN_REQUIRED } from "../net/errors.js";
import { buildUrl, getJson, sendJson } from "../net/http.js";
import { Socket } from "../net/socket.js";

export { apiFetch, clearToken, getToken, loginUser, logoutUser, refreshToken, registerUser, storeToken } from "../net/auth.js";

/**
 * @import {ApiError} from "../net/errors.js"
 * @import {LinkStatus} from "../net/connection.js"
 * @import {
 *   BackfillJob, FeedStatus as Feed, Health, InstrumentItem, MarketItem, OhlcvResponse, OrderBook, ProviderItem, Readiness, StoredItem,
 *   StripResponse, Ticker, Trade,
 * } from "../net/protocol.js"
 * @import {Page} from "../net/answers.js"
 * @import {LiveBackfillsHandlers} from "./liveBackfills.js"
 * @import {LiveBarsHandlers} from "./liveBars.js"
 * @import {StreamHandlers} from "../net/socket.js"
 * @import {ChartAddress} from "../state/preferences.js"
 * @typedef {{market: string, provider: string, symbol: string}} SymbolAddress
 * @typedef {{onFeed?: (feed: Feed) => void, onError?: (error: ApiError) => void}} FeedHandlers
 */

const API = "/api/v1";
const TRADES_KEPT = 50;
const PAGES_MAX = 50;
const PROBE_MS = 15_000;
/** How long a file that was fetched is kept for the browser to begin saving it. */
const KEPT_MS = 60_000;

export class DataService {
  /** @type {Map<string, Promise<ProviderItem[]>>} */
  #providers = new Map();
  /** @type {Promise<MarketItem[]> | null} */
  #markets = null;
  #socket;

  /** @param {string} origin of the page, as in `location.origin` */
  constructor(origin) {
    this.#socket = new Socket(`${origin.replace(/^http/, "ws")}${API}/ws`, authSession);
  }

  /**
   * @param {(status: LinkStatus) => void} watcher
   * @returns {() => void} stops watching
   */
  watchLink(watcher) {
    return this.#socket.watch(watcher);
  }

  /** Tries the connection and every failed stream again at once. */
  retryLive() {
    this.#socket.retry();
  }

  destroy() {
    this.#socket.destroy();
  }

  /** @returns {Promise<MarketItem[]>} asked once per page */
  markets() {
    this.#markets ??= this.#all(`${API}/market/markets`, {});
    this.#markets.catch((error) => {
      this.#markets = null;
      // A server that keeps even its markets for people has nothing to show to anybody else.
      if (asApiError(error).code === LOGIN_REQUIRED) document.dispatchEvent(new CustomEvent(LOGIN_WANTED));
    });
    return this.#markets;
  }

  /**
   * @param {string} market
   * @returns {Promise<ProviderItem[]>} asked once per page and market
   */
  providers(market) {
    const known = this.#providers.get(market);
    if (known) return known;
    /** @type {Promise<ProviderItem[]>} */
    const asked = this.#all(`${API}/market/providers`, { market });
    this.#providers.set(market, asked);
    asked.catch(() => this.#providers.delete(market));
    return asked;
  }

  /**
   * @param {{market: string, provider: string, search?: string, cursor?: string | null, limit?: number}} query
   * @param {AbortSignal} [signal]
   * @returns {Promise<Page<InstrumentItem>>}
   */
  symbols({ market, provider, search, cursor, limit = 50 }, signal) {
    const query = { market, provider, search: search || null, cursor, limit };
    return getJson(`${API}/market/symbols`, { query, ...(signal && { signal }) });
  }

  /**
   * One instrument by its exact symbol, or null where the provider does not list it.
   *
   * @param {SymbolAddress} address
   * @param {AbortSignal} [signal]
   */
  async instrument({ market, provider, symbol }, signal) {
    const { items } = await this.symbols({ market, provider, search: symbol, limit: 50 }, signal);
    return items.find((item) => item.symbol === symbol) ?? null;
  }

  /**
   * @param {ChartAddress & {start?: number, end?: number, limit?: number}} query
   * @param {AbortSignal} [signal]
   * @returns {Promise<OhlcvResponse>}
   */
  ohlcv({ market, provider, symbol, timeframe, start, end, limit }, signal) {
    const query = { market, provider, symbol, timeframe, start, end, limit };
    return getJson(`${API}/market/ohlcv`, { query, ...(signal && { signal }) });
  }

  /** @param {SymbolAddress} address @param {AbortSignal} [signal] @returns {Promise<Ticker>} */
  ticker({ market, provider, symbol }, signal) {
    return getJson(`${API}/market/ticker`, { query: { market, provider, symbol }, ...(signal && { signal }) });
  }

  /** @param {SymbolAddress & {depth?: number}} address @returns {Promise<OrderBook>} */
  orderBook({ market, provider, symbol, depth }) {
    return getJson(`${API}/market/order_book`, { query: { market, provider, symbol, depth } });
  }

  /** @param {SymbolAddress & {limit?: number}} address @returns {Promise<Page<Trade>>} */
  trades({ market, provider, symbol, limit }) {
    return getJson(`${API}/market/trades`, { query: { market, provider, symbol, limit } });
  }

  /**
   * How much is known of each part of a range; of all that is known where no range is given.
   *
   * @param {SymbolAddress & {start?: number, end?: number, buckets: number}} query
   * @param {AbortSignal} [signal]
   * @returns {Promise<StripResponse>}
   */
  coverageStrip({ market, provider, symbol, start, end, buckets }, signal) {
    const query = { market, provider, symbol, start, end, buckets };
    return getJson(`${API}/market/coverage/strip`, { query, ...(signal && { signal }) });
  }

  /** @param {string | null} cursor @param {AbortSignal} [signal] @returns {Promise<Page<StoredItem>>} what holds anything */
  stored(cursor, signal) {
    return getJson(`${API}/market/stored`, { query: { cursor }, ...(signal && { signal }) });
  }

  /**
   * @param {ChartAddress & {start?: number | null, end?: number | null, format: "csv" | "parquet"}} query
   * @returns {string} where the file is to be had
   */
  exportUrl({ market, provider, symbol, timeframe, start, end, format }) {
    return buildUrl(`${API}/market/export`, { market, provider, symbol, timeframe, start, end, format });
  }

  /** @returns {FileSaver} which the caller destroys */
  fileSaver() {
    return new FileSaver({
      isSomebody: () => authSession.tokenSoon() !== null,
      // Asked as nobody; where that fails, so will the file, and says why.
      isClosed: () => fetch(`${API}/market/markets`, { signal: AbortSignal.timeout(PROBE_MS), credentials: "omit" }).then(({ ok }) => !ok, () => true),
      fetch: apiFetch,
      hand: (url, name) => Object.assign(document.createElement("a"), { href: url, download: name }).click(),
      keep: (blob) => {
        const url = URL.createObjectURL(blob);
        setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
        return url;
      },
    });
  }

  /**
   * @param {SymbolAddress & {start: number, end: number, newest_first: boolean}} range
   * @returns {Promise<BackfillJob>}
   */
  startBackfill({ market, provider, symbol, start, end, newest_first }) {
    return sendJson("POST", `${API}/market/backfills`, { body: { market, provider, symbol, start, end, newest_first } });
  }

  /** @param {string} id @returns {Promise<BackfillJob>} as it stands now */
  cancelBackfill(id) {
    return sendJson("DELETE", `${API}/market/backfills/${encodeURIComponent(id)}`);
  }

  /**
   * The newest backfills, live.
   *
   * @param {LiveBackfillsHandlers} handlers
   * @returns {LiveBackfills} which the caller destroys
   */
  watchBackfills(handlers) {
    const ports = {
      list: (/** @type {AbortSignal} */ signal) => getJson(`${API}/market/backfills`, { query: { limit: 50 }, signal }),
      subscribe: (/** @type {StreamHandlers} */ streamHandlers) => this.#socket.subscribe({ stream: "backfills" }, streamHandlers),
      isLinkUp: () => this.#socket.status.state === "open",
      every: (/** @type {() => void} */ work, /** @type {number} */ ms) => {
        const timer = setInterval(work, ms);
        return () => clearInterval(timer);
      },
    };
    return new LiveBackfills(ports, handlers);
  }

  /** Whether the server can serve, dependency by dependency; "no" is an answer too. @returns {Promise<Readiness>} */
  readiness() {
    return getJson("/readyz", { accept: [503] });
  }

  /** @returns {Promise<Health>} that the server is alive, and to who may know it its version */
  health() {
    return getJson("/healthz");
  }

  /**
   * History and live bars of one chart in one ascending, unique series; see `LiveBars`.
   *
   * @param {ChartAddress} address
   * @param {LiveBarsHandlers} handlers
   * @returns {LiveBars} which the caller destroys
   */
  subscribeBars(address, handlers) {
    return new LiveBars(address, handlers, {
      fetch: (range, signal) => this.ohlcv({ ...address, ...range }, signal),
      subscribe: (history, streamHandlers) =>
        this.#socket.subscribe({ stream: "ohlcv", ...address, history }, streamHandlers),
      watchUp: (work) => this.#socket.watch(({ state }) => state === "open" && work()),
      now: () => Date.now(),
      after: (ms, work) => {
        const timer = setTimeout(work, ms);
        return () => clearTimeout(timer);
      },
    });
  }

  /**
   * @param {SymbolAddress} address
   * @param {FeedHandlers & {onTicker: (ticker: Ticker, fresh: boolean) => void}} handlers `fresh`: it has just
   *   come from the market, as opposed to what was known at the subscription
   * @returns {() => void} stops it
   */
  subscribeTicker(address, { onTicker, ...rest }) {
    return this.#socket.subscribe(
      { stream: "ticker", ...pick(address) },
      {
        onSnapshot: ({ ticker }) => ticker && onTicker(ticker, false),
        onUpdate: ({ ticker }) => ticker && onTicker(ticker, true),
        ...rest,
      },
    );
  }

  /**
   * @param {SymbolAddress} address
   * @param {FeedHandlers & {onBook: (book: OrderBook) => void}} handlers
   * @returns {() => void} stops it
   */
  subscribeOrderBook(address, { onBook, ...rest }) {
    const take = (/** @type {{order_book?: OrderBook | null}} */ message) =>
      message.order_book && onBook(message.order_book);
    const query = /** @type {const} */ ({ stream: "order_book", ...pick(address) });
    return this.#socket.subscribe(query, { onSnapshot: take, onUpdate: take, ...rest });
  }

  /**
   * @param {SymbolAddress} address
   * @param {FeedHandlers & {onTrades: (trades: readonly Trade[]) => void}} handlers told the newest 50, newest last
   * @returns {() => void} stops it
   */
  subscribeTrades(address, { onTrades, ...rest }) {
    /** @type {Trade[]} */
    let kept = [];
    const show = (/** @type {Trade[]} */ trades) => {
      kept = trades.slice(-TRADES_KEPT);
      onTrades(kept);
    };
    return this.#socket.subscribe(
      { stream: "trades", ...pick(address) },
      {
        onSnapshot: (message) => show(message.trades ?? []),
        onUpdate: (message) => show([...kept, ...(message.trades ?? [])]),
        ...rest,
      },
    );
  }

  /**
   * Reads a list to its end, page by page.
   *
   * @template T
   * @param {string} path
   * @param {Record<string, string>} query
   * @returns {Promise<T[]>}
   */
  async #all(path, query) {
    /** @type {T[]} */
    const items = [];
    /** @type {string | null | undefined} */
    let cursor = null;
    for (let page = 0; page < PAGES_MAX; page += 1) {
      /** @type {Page<T>} */
      const answer = await getJson(path, { query: { ...query, cursor } });
      items.push(...answer.items);
      cursor = answer.next_cursor;
      if (!cursor) break;
    }
    return items;
  }
}

/** @param {SymbolAddress} address */
function pick({ market, provider, symbol }) {
  return { market, provider, symbol };
}

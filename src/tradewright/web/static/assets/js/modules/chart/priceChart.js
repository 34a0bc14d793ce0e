/** The one place that talks to the chart library: a price chart over a `BarSeries`. */

import { isDateStamped } from "../state/timeframes.js";
import { gapLayer, GAP_LAYER } from "./gapBands.js";
import { indicatorInfo } from "./indicators.js";
import { listenForKeys } from "./keyboard.js";
import { chartLibrary } from "./library.js";
import { chartStyles, readPalette } from "./theme.js";

/**
 * @import {Chart, Crosshair, DataLoader, KLineData} from "klinecharts"
 * @import {BarSeries, SeriesChange} from "../state/barSeries.js"
 * @import {ChartType, IndicatorChoice} from "../state/preferences.js"
 * @import {Timeframe} from "../state/timeframes.js"
 * @import {Bar} from "../net/messages.js"
 * @import {GapContext} from "./gapBands.js"
 * @import {Palette} from "./theme.js"
 *
 * @typedef {{
 *   series: BarSeries,
 *   ticker: string,
 *   timeframe: Timeframe,
 *   pricePrecision: number,
 *   volumePrecision: number,
 *   loadOlder: () => Promise<boolean>,
 * }} ChartSource `loadOlder` answers whether there may be more to the left
 * @typedef {{onCursor: (bar: Bar | null) => void, onScroll: (place: {atLatest: boolean, atFirst: boolean}) => void}} PriceChartHandlers
 */

const CANDLE_PANE = "candle_pane";
/** How far the newest bar stays from the price axis. */
const OFFSET_RIGHT_PX = 72;
/** What one overlay indicator's line of values takes, and the air between it and the candles. */
const INDICATOR_LINE_PX = 18;
const HEAD_MARGIN_PX = 26;
const FOOT_PX = 24;
/** Room for the line of an indicator's values over its curve. */
const PANE_LEGEND_PX = 24;

export class PriceChart {
  #container;
  #handlers;
  /** @type {Chart} */
  #chart;
  /** @type {Palette} */
  #palette;
  /** @type {ChartSource | null} */
  #source = null;
  /** @type {((bar: KLineData) => void) | null} */
  #push = null;
  #loadingOlder = false;
  #legendPx = 20;
  #overlays = 0;
  #stale = false;
  #zone = "UTC";
  #resize;
  #listening = new AbortController();

  /**
   * @param {HTMLElement} container
   * @param {PriceChartHandlers} handlers
   */
  constructor(container, handlers) {
    this.#container = container;
    this.#handlers = handlers;
    this.#palette = readPalette(container);
    const library = chartLibrary();
    library.registerIndicator(gapLayer(() => this.#gapContext()));
    const chart = library.init(container, {
      styles: chartStyles(this.#palette, false),
      locale: "en-US",
      thousandsSeparator: { sign: "," },
      decimalFold: { threshold: 99 },
      zoomAnchor: { main: "cursor", xAxis: "last_bar" },
      hotkey: { enabled: false },
    });
    if (!chart) throw new Error("The chart could not be drawn.");
    this.#chart = chart;
    chart.setOffsetRightDistance(OFFSET_RIGHT_PX);
    chart.setDataLoader(this.#loader());
    chart.createIndicator({ name: GAP_LAYER, paneId: CANDLE_PANE }, true);
    chart.subscribeAction("onCrosshairChange", (data) => this.#onCrosshair(/** @type {Crosshair | undefined} */ (data)));
    chart.subscribeAction("onVisibleRangeChange", () => this.#onRange());
    this.#resize = new ResizeObserver(() => {
      chart.resize();
      this.#layHead();
    });
    this.#resize.observe(container);
    listenForKeys(container, chart, this.#listening.signal);
    container.addEventListener("pointerleave", () => this.#handlers.onCursor(null), { signal: this.#listening.signal });
  }

  /** Shows another series from its newest bars on. @param {ChartSource} source */
  setSource(source) {
    this.#source = null;
    this.#push = null;
    this.#applyZone(source.timeframe);
    const { ticker, pricePrecision, volumePrecision, timeframe } = source;
    // The library reloads at each of these calls; only the last one finds a source to load from.
    this.#chart.setSymbol({ ticker, pricePrecision, volumePrecision });
    this.#chart.setPeriod({ type: timeframe.unit, span: timeframe.span });
    this.#source = source;
    this.#chart.resetData();
    this.#chart.scrollToRealTime();
  }

  /** Empties the chart while another series is on its way. */
  clear() {
    this.#source = null;
    this.#push = null;
    this.#chart.resetData();
  }

  /** @param {SeriesChange} change of the series that is shown */
  apply(change) {
    const source = this.#source;
    if (!source || change.kind === "none") return;
    if (change.kind === "tail" && this.#push) this.#patch(source.series, change.replaced, change.appended);
    else if (change.kind !== "prepended" || !this.#loadingOlder) this.#rebuild();
  }

  /** Draws again without new bars: after the gaps have changed. */
  redraw() {
    this.#chart.overrideIndicator({ name: GAP_LAYER, paneId: CANDLE_PANE, extendData: {} });
  }

  /** @param {ChartType} type */
  setChartType(type) {
    this.#chart.setStyles({ candle: { type } });
  }

  /** @param {"normal" | "logarithm"} name */
  setAxis(name) {
    this.#chart.overrideYAxis({ paneId: CANDLE_PANE, name });
  }

  /** @param {string} zone an IANA name; bars of a day and longer are always shown by their UTC date */
  setZone(zone) {
    this.#zone = zone;
    if (this.#source) this.#applyZone(this.#source.timeframe);
    else this.#chart.setTimezone(zone);
  }

  /** Greys the last price while it can't be trusted to be current. @param {boolean} stale */
  setStale(stale) {
    if (stale === this.#stale) return;
    this.#stale = stale;
    this.#chart.setStyles(chartStyles(this.#palette, stale));
  }

  /** Reads the design tokens again, after the theme has changed. */
  refreshTheme() {
    this.#palette = readPalette(this.#container);
    this.#chart.setStyles(chartStyles(this.#palette, this.#stale));
  }

  /** Keeps room for the legend that lies over the chart. @param {number} px its height */
  setLegendHeight(px) {
    if (px === this.#legendPx) return;
    this.#legendPx = px;
    this.#layHead();
  }

  /** Makes the indicators on the chart those of the list. @param {readonly IndicatorChoice[]} wanted */
  setIndicators(wanted) {
    const present = this.#chart.getIndicators().filter((one) => one.name !== GAP_LAYER);
    for (const { id, name } of present) {
      if (!wanted.some((one) => one.name === name)) this.#chart.removeIndicator({ id });
    }
    for (const { name, params, visible } of wanted) {
      const info = indicatorInfo(name);
      if (!info) continue;
      const settings = { name, visible, ...(params.length > 0 && { calcParams: params }) };
      if (present.some((one) => one.name === name)) this.#chart.overrideIndicator(settings);
      else if (info.overlay) this.#chart.createIndicator({ ...settings, paneId: CANDLE_PANE }, true);
      else this.#createPane(settings);
    }
    this.#overlays = wanted.filter(({ name }) => indicatorInfo(name)?.overlay).length;
    this.#layHead();
  }

  scrollToLatest() {
    this.#chart.scrollToRealTime(matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 200);
  }

  /** The chart as a PNG in a data address. */
  picture() {
    return this.#chart.getConvertPictureUrl(true, "png", this.#palette.surface);
  }

  /** The times of the bars that the library holds, for checks. */
  shownTimes() {
    return this.#chart.getDataList().map((bar) => bar.timestamp);
  }

  get palette() {
    return this.#palette;
  }

  destroy() {
    this.#resize.disconnect();
    this.#listening.abort();
    this.#source = null;
    chartLibrary().dispose(this.#chart);
  }

  /** @returns {DataLoader} */
  #loader() {
    return {
      getBars: async ({ type, callback }) => {
        const source = this.#source;
        if (!source) {
          if (type === "init") callback([], false);
          return;
        }
        if (type === "init") {
          callback(source.series.bars.map(toLibrary), { forward: true });
          return;
        }
        if (type !== "forward") return;
        await this.#loadOlder(source, callback);
      },
      subscribeBar: ({ callback }) => {
        this.#push = callback;
      },
      unsubscribeBar: () => {
        this.#push = null;
      },
    };
  }

  /**
   * @param {ChartSource} source
   * @param {(data: KLineData[], more: {forward: boolean}) => void} callback
   */
  async #loadOlder(source, callback) {
    this.#loadingOlder = true;
    const more = await source.loadOlder();
    this.#loadingOlder = false;
    if (source !== this.#source) return;
    // What was shown stays the library's; only what lies before it is handed over.
    const shown = this.#chart.getDataList()[0]?.timestamp ?? Infinity;
    const older = source.series.bars.filter((bar) => bar[0] < shown).map(toLibrary);
    callback(older, { forward: more });
  }

  /**
   * The library itself accepts a new value for the last bar only. Its list is live, so an earlier bar is
   * set in it, and handing it the last bar again makes it compute and draw.
   *
   * @param {BarSeries} series
   * @param {readonly number[]} replaced
   * @param {number} appended
   */
  #patch(series, replaced, appended) {
    const shown = this.#chart.getDataList();
    const lastShown = shown[shown.length - 1];
    const offset = series.bars.length - appended - shown.length;
    for (const index of replaced) {
      const bar = /** @type {Bar} */ (series.bars[index]);
      if (shown[index - offset]?.timestamp === bar[0]) shown[index - offset] = toLibrary(bar);
    }
    const current = shown[shown.length - 1];
    if (replaced.length > 0 && current) this.#push?.(current);
    for (const bar of series.bars.slice(series.bars.length - appended)) {
      if (!lastShown || bar[0] > lastShown.timestamp) this.#push?.(toLibrary(bar));
    }
  }

  /** Lays the indicators' values below the legend and the candles below both. */
  #layHead() {
    const head = this.#legendPx + this.#overlays * INDICATOR_LINE_PX + HEAD_MARGIN_PX;
    const height = this.#chart.getSize(CANDLE_PANE, "main")?.height ?? 0;
    if (height < 2 * head) return;
    // The library stretches the price range by gap / height, so that a gap of n takes less than n.
    const top = (head * (height + FOOT_PX)) / (height - head);
    this.#chart.setStyles({ candle: { tooltip: { offsetTop: this.#legendPx + 6 } } });
    this.#chart.overrideYAxis({ paneId: CANDLE_PANE, gap: { top, bottom: FOOT_PX } });
  }

  /** Hands the whole series over again, keeping what the eye rests on in its place. */
  #rebuild() {
    const range = this.#chart.getVisibleRange();
    const shown = this.#chart.getDataList();
    const anchor = range.to < shown.length ? shown[range.to - 1]?.timestamp : undefined;
    this.#chart.resetData();
    if (anchor !== undefined) this.#chart.scrollToTimestamp(anchor);
  }

  /** @param {Timeframe} timeframe */
  #applyZone(timeframe) {
    this.#chart.setTimezone(isDateStamped(timeframe) ? "UTC" : this.#zone);
  }

  /** @param {{name: string, visible: boolean, calcParams?: number[]}} settings */
  #createPane(settings) {
    const paneId = `pane_${settings.name.toLowerCase()}`;
    this.#chart.createIndicator({ ...settings, paneId }, false);
    this.#chart.setPaneOptions({ id: paneId, height: 96, minHeight: 48 });
    this.#chart.overrideYAxis({ paneId, gap: { top: PANE_LEGEND_PX, bottom: 0 } });
  }

  /** The library tells where the crosshair is, not over which bar. @param {Crosshair | undefined} crosshair */
  #onCrosshair(crosshair) {
    if (crosshair?.x === undefined) return;
    const [point] = /** @type {{dataIndex?: number}[]} */ (this.#chart.convertFromPixel([{ x: crosshair.x }]));
    const time = this.#chart.getDataList()[point?.dataIndex ?? -1]?.timestamp;
    const bars = this.#source?.series.bars;
    this.#handlers.onCursor((time !== undefined && bars?.find((one) => one[0] === time)) || null);
  }

  #onRange() {
    const total = this.#chart.getDataList().length;
    const { from, realTo } = this.#chart.getVisibleRange();
    this.#handlers.onScroll({ atLatest: realTo >= total, atFirst: from === 0 });
  }

  /** @returns {GapContext} */
  #gapContext() {
    const gaps = this.#source?.series.gaps ?? [];
    return { gaps, timeframeMs: this.#source?.timeframe.ms ?? 1, palette: this.#palette };
  }
}

/** @param {Bar} bar @returns {KLineData} */
function toLibrary([timestamp, open, high, low, close, volume]) {
  return { timestamp, open, high, low, close, volume };
}

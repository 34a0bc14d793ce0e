/** Draws the intervals without bars as shaded bands between the bars around them, never as candles. */

import { formatDuration } from "../state/format.js";

/**
 * @import {Chart, IndicatorDrawParams, IndicatorTemplate, KLineData} from "klinecharts"
 * @import {Gap} from "../net/protocol.js"
 * @import {Palette} from "./theme.js"
 *
 * @typedef {{gaps: readonly Gap[], timeframeMs: number, palette: Palette}} GapContext
 * @typedef {{left: number, right: number, gap: Gap, whole: boolean}} Band `whole`: no bar's room is left between
 *   the gap and the bars around it, so that its length is that of what is missing there
 */

export const GAP_LAYER = "TRADEWRIGHT_GAPS";

/** A gap takes no room on an axis that counts bars, so its band straddles the seam, this wide. */
const SEAM_MIN_PX = 4;
const LABEL_MIN_PX = 64;
/** Least first. @type {Gap["reason"][]} */
const SEVERITY = ["no_trades", "outage", "not_fetched"];

/** @type {Record<Gap["reason"], string>} */
export const GAP_WORDS = {
  no_trades: "no trades",
  outage: "venue outage",
  not_fetched: "not loaded",
};

/**
 * @param {() => GapContext} context read at every drawing
 * @returns {IndicatorTemplate<unknown, unknown, unknown>}
 */
export function gapLayer(context) {
  return {
    name: GAP_LAYER,
    shortName: "",
    series: "price",
    zLevel: -1,
    calcParams: [],
    figures: [],
    calc: (bars) => bars.map(() => ({})),
    createTooltipDataSource: () => ({ name: "", calcParamsText: "", features: [], legends: [] }),
    draw: (params) => {
      const { gaps, timeframeMs, palette } = context();
      if (gaps.length > 0) drawBands(params, visibleBands(params.chart, gaps, timeframeMs, params.bounding.width), palette);
      return true;
    },
  };
}

/**
 * @param {Chart} chart
 * @param {readonly Gap[]} gaps ascending
 * @param {number} timeframeMs
 * @param {number} width
 * @returns {Band[]}
 */
function visibleBands(chart, gaps, timeframeMs, width) {
  const bars = chart.getDataList();
  const { bar, gapBar } = chart.getBarSpace();
  const first = bars[0];
  const last = bars[bars.length - 1];
  if (!first || !last) return [];
  const range = chart.getVisibleRange();
  const from = bars[Math.max(0, range.from - 1)]?.timestamp ?? first.timestamp;
  const to = bars[range.to]?.timestamp ?? Infinity;
  const at = (/** @type {number} */ index) => /** @type {{x: number}} */ (chart.convertToPixel({ dataIndex: index })).x;
  /** @type {Band[]} */
  const bands = [];
  for (const gap of gaps) {
    if (gap.end < from || gap.start > to) continue;
    const next = indexAtOrAfter(bars, gap.end - 1);
    const lengthPx = ((gap.end - gap.start) / timeframeMs) * bar;
    const whole = touches(gap, bars[next - 1], bars[next], timeframeMs);
    const half = Math.max(SEAM_MIN_PX, bar - gapBar + 2) / 2;
    if (next >= bars.length) {
      const left = at(bars.length - 1) + bar / 2;
      bands.push({ left, right: Math.min(width, left + lengthPx), gap, whole });
    } else if (next === 0) {
      const right = at(0) - bar / 2;
      bands.push({ left: Math.max(0, right - lengthPx), right, gap, whole });
    } else {
      const seam = at(next) - bar / 2;
      bands.push({ left: seam - half, right: seam + half, gap, whole });
    }
  }
  return worstPerPlace(bands.filter((band) => band.right > 0 && band.left < width));
}

/**
 * @param {Gap} gap
 * @param {KLineData | undefined} before the bar before it
 * @param {KLineData | undefined} after the bar after it
 * @param {number} timeframeMs nominal: months differ
 */
export function touches({ start, end }, before, after, timeframeMs) {
  const startsThere = !before || start < before.timestamp + 2 * timeframeMs;
  const endsThere = !after || end > after.timestamp - timeframeMs;
  return startsThere && endsThere;
}

/**
 * Gaps of several reasons in one seam make one band, of the reason that matters most.
 *
 * @param {Band[]} bands
 */
function worstPerPlace(bands) {
  /** @type {Map<number, Band>} */
  const places = new Map();
  for (const band of bands) {
    const known = places.get(band.left);
    if (!known || SEVERITY.indexOf(band.gap.reason) > SEVERITY.indexOf(known.gap.reason)) places.set(band.left, band);
  }
  return [...places.values()];
}

/**
 * @param {IndicatorDrawParams<unknown, unknown, unknown>} params
 * @param {Band[]} bands
 * @param {Palette} palette
 */
function drawBands({ ctx, bounding }, bands, palette) {
  const colors = { no_trades: palette.noTrades, outage: palette.outage, not_fetched: palette.unknown };
  ctx.save();
  ctx.font = "10px Inter, system-ui, sans-serif";
  ctx.textBaseline = "bottom";
  ctx.textAlign = "center";
  for (const { left, right, gap, whole } of bands) {
    ctx.fillStyle = colors[gap.reason] ?? palette.unknown;
    ctx.fillRect(left, 0, right - left, bounding.height);
    if (right - left < LABEL_MIN_PX) continue;
    ctx.fillStyle = palette.muted;
    const middle = (left + right) / 2;
    ctx.fillText(GAP_WORDS[gap.reason] ?? gap.reason, middle, bounding.height - 20);
    if (whole) ctx.fillText(formatDuration(gap.end - gap.start), middle, bounding.height - 7);
  }
  ctx.restore();
}

/** @param {KLineData[]} bars @param {number} time */
function indexAtOrAfter(bars, time) {
  let low = 0;
  let high = bars.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (/** @type {KLineData} */ (bars[middle]).timestamp < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

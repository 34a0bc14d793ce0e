/** The chart's colours and type, read from the design tokens of the page. */

/** @import {DeepPartial, Styles} from "klinecharts" */

const FAMILY = "Inter, system-ui, sans-serif";

/** Resolves tokens through a probe, since a custom property's own value may still be a function. */
class Tokens {
  #probe;

  /** @param {HTMLElement} host */
  constructor(host) {
    this.#probe = document.createElement("span");
    this.#probe.hidden = true;
    host.append(this.#probe);
  }

  /** @param {string} name @returns {string} a colour a canvas understands */
  color(name) {
    this.#probe.style.color = `var(--${name})`;
    return getComputedStyle(this.#probe).color;
  }

  release() {
    this.#probe.remove();
  }
}

/**
 * @typedef {{
 *   up: string, down: string, flat: string, text: string, muted: string, line: string, grid: string,
 *   surface: string, raised: string, accent: string, areaTop: string, areaEnd: string, label: string, markLabel: string,
 *   noTrades: string, outage: string, unknown: string, series: string[],
 * }} Palette
 */

/**
 * @param {HTMLElement} host
 * @returns {Palette}
 */
export function readPalette(host) {
  const tokens = new Tokens(host);
  const palette = {
    up: tokens.color("up"),
    down: tokens.color("down"),
    flat: tokens.color("text-muted"),
    text: tokens.color("text"),
    muted: tokens.color("text-muted"),
    line: tokens.color("border"),
    grid: tokens.color("chart-grid"),
    surface: tokens.color("surface"),
    raised: tokens.color("chart-crosshair"),
    accent: tokens.color("accent"),
    areaTop: tokens.color("chart-area-top"),
    areaEnd: tokens.color("chart-area-end"),
    label: tokens.color("chart-label"),
    markLabel: tokens.color("chart-mark-label"),
    noTrades: tokens.color("gap-no-trades"),
    outage: tokens.color("gap-outage"),
    unknown: tokens.color("gap-not-fetched"),
    series: [1, 2, 3, 4, 5].map((n) => tokens.color(`chart-series-${n}`)),
  };
  tokens.release();
  return palette;
}

/**
 * @param {Palette} palette
 * @param {boolean} stale greys the last price
 * @returns {DeepPartial<Styles>}
 */
export function chartStyles(palette, stale) {
  const text = { color: palette.muted, size: 11, family: FAMILY, weight: "normal" };
  const axis = {
    axisLine: { color: palette.line },
    tickLine: { show: false },
    tickText: { ...text, marginStart: 6, marginEnd: 6 },
  };
  return {
    grid: {
      horizontal: { color: palette.grid, style: "solid" },
      vertical: { color: palette.grid, style: "solid" },
    },
    candle: candleStyles(palette, stale),
    indicator: indicatorStyles(palette),
    xAxis: axis,
    yAxis: axis,
    separator: { color: palette.line, size: 1, activeBackgroundColor: palette.grid },
    crosshair: crosshairStyles(palette),
  };
}

/** @param {Palette} palette @param {boolean} stale @returns {DeepPartial<Styles["candle"]>} */
function candleStyles(palette, stale) {
  const change = { upColor: palette.up, downColor: palette.down, noChangeColor: palette.flat };
  const mark = stale ? { upColor: palette.flat, downColor: palette.flat, noChangeColor: palette.flat } : change;
  const edge = { show: true, color: palette.muted, textSize: 10, textFamily: FAMILY };
  return {
    bar: {
      ...change,
      upBorderColor: palette.up,
      downBorderColor: palette.down,
      noChangeBorderColor: palette.flat,
      upWickColor: palette.up,
      downWickColor: palette.down,
      noChangeWickColor: palette.flat,
    },
    area: {
      lineSize: 1.5,
      lineColor: palette.accent,
      backgroundColor: [
        { offset: 0, color: palette.areaEnd },
        { offset: 1, color: palette.areaTop },
      ],
      point: { color: palette.accent, rippleColor: palette.areaTop, animation: false },
    },
    priceMark: {
      high: edge,
      low: edge,
      last: {
        ...mark,
        line: { style: "dashed", dashedValue: [3, 3], size: 1 },
        text: { family: FAMILY, size: 11, weight: 600, color: palette.markLabel, borderRadius: 2, paddingLeft: 5, paddingRight: 5 },
      },
    },
    // The page has its own legend, in the document, where it can be read and copied.
    tooltip: { showRule: "none" },
  };
}

/** @param {Palette} palette @returns {DeepPartial<Styles["indicator"]>} */
function indicatorStyles(palette) {
  const bar = {
    style: /** @type {const} */ ("fill"),
    upColor: withAlpha(palette.up, 0.7),
    downColor: withAlpha(palette.down, 0.7),
    noChangeColor: withAlpha(palette.flat, 0.7),
  };
  return {
    lines: palette.series.map((color) => ({ color, size: 1.25, style: /** @type {const} */ ("solid"), smooth: false })),
    bars: [bar],
    circles: [{ ...bar, upColor: palette.up, downColor: palette.down, noChangeColor: palette.flat }],
    tooltip: {
      offsetLeft: 8,
      offsetTop: 6,
      title: { color: palette.muted, size: 11, family: FAMILY, weight: 600 },
      legend: { color: palette.muted, size: 11, family: FAMILY, defaultValue: "–" },
    },
  };
}

/** @param {Palette} palette @returns {DeepPartial<Styles["crosshair"]>} */
function crosshairStyles(palette) {
  const text = {
    color: palette.label,
    backgroundColor: palette.raised,
    borderColor: palette.raised,
    borderRadius: 2,
    size: 11,
    family: FAMILY,
  };
  const line = { color: palette.muted, style: /** @type {const} */ ("dashed"), dashedValue: [4, 3] };
  return { horizontal: { line, text }, vertical: { line, text } };
}

/** @param {string} color `rgb(r, g, b)` as computed styles write it @param {number} alpha */
export function withAlpha(color, alpha) {
  const parts = color.match(/[\d.]+/g);
  return parts && color.startsWith("rgb") ? `rgba(${parts[0]}, ${parts[1]}, ${parts[2]}, ${alpha})` : color;
}

/** The indicators that the chart library brings: what they are called, where they go, their parameters. */

/**
 * @typedef {{name: string, title: string, overlay: boolean, params: number[]}} IndicatorInfo
 *   `overlay`: drawn over the candles, else in a pane of its own
 */

/** @type {IndicatorInfo[]} */
export const INDICATORS = [
  { name: "MA", title: "Moving average", overlay: true, params: [5, 10, 30, 60] },
  { name: "EMA", title: "Exponential moving average", overlay: true, params: [6, 12, 20] },
  { name: "SMA", title: "Smoothed moving average", overlay: true, params: [12, 2] },
  { name: "BBI", title: "Bull and bear index", overlay: true, params: [3, 6, 12, 24] },
  { name: "BOLL", title: "Bollinger bands", overlay: true, params: [20, 2] },
  { name: "SAR", title: "Parabolic stop and reverse", overlay: true, params: [2, 2, 20] },
  { name: "AVP", title: "Average price", overlay: true, params: [] },
  { name: "VOL", title: "Volume", overlay: false, params: [5, 10, 20] },
  { name: "MACD", title: "Moving average convergence divergence", overlay: false, params: [12, 26, 9] },
  { name: "RSI", title: "Relative strength index", overlay: false, params: [6, 12, 24] },
  { name: "KDJ", title: "Stochastic oscillator", overlay: false, params: [9, 3, 3] },
  { name: "BIAS", title: "Deviation from the average", overlay: false, params: [6, 12, 24] },
  { name: "BRAR", title: "Sentiment", overlay: false, params: [26] },
  { name: "CCI", title: "Commodity channel index", overlay: false, params: [20] },
  { name: "DMI", title: "Directional movement", overlay: false, params: [14, 6] },
  { name: "CR", title: "Energy", overlay: false, params: [26, 10, 20, 40, 60] },
  { name: "PSY", title: "Psychological line", overlay: false, params: [12, 6] },
  { name: "DMA", title: "Difference of moving averages", overlay: false, params: [10, 50, 10] },
  { name: "TRIX", title: "Triple exponential average", overlay: false, params: [12, 9] },
  { name: "OBV", title: "On-balance volume", overlay: false, params: [30] },
  { name: "VR", title: "Volume ratio", overlay: false, params: [26, 6] },
  { name: "WR", title: "Williams %R", overlay: false, params: [6, 10, 14] },
  { name: "MTM", title: "Momentum", overlay: false, params: [12, 6] },
  { name: "EMV", title: "Ease of movement", overlay: false, params: [14, 9] },
  { name: "ROC", title: "Rate of change", overlay: false, params: [12, 6] },
  { name: "PVT", title: "Price and volume trend", overlay: false, params: [] },
  { name: "AO", title: "Awesome oscillator", overlay: false, params: [5, 34] },
];

/** @param {string} name */
export function indicatorInfo(name) {
  return INDICATORS.find((item) => item.name === name);
}

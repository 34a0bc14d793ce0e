/** A small line of closing prices, without axes. */

import { svg } from "./element.js";

const WIDTH = 96;
const HEIGHT = 24;
const MARGIN = 2;

/**
 * @param {readonly number[]} values
 * @param {string} label what it shows, in words
 */
export function sparkline(values, label) {
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const step = (WIDTH - 2 * MARGIN) / Math.max(1, values.length - 1);
  const points = values.map((value, index) => {
    const x = MARGIN + index * step;
    const y = HEIGHT - MARGIN - ((value - low) / span) * (HEIGHT - 2 * MARGIN);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  const rising = (values[values.length - 1] ?? 0) >= (values[0] ?? 0);
  return svg(
    "svg",
    { class: `sparkline ${rising ? "up" : "down"}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
    svg("polyline", { points: points.join(" "), fill: "none", stroke: "currentColor", "stroke-width": 1.25 }),
  );
}

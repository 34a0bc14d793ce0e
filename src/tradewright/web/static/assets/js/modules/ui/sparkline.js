/** A small line of prices over time, without axes. */

import { direction } from "../state/format.js";
import { svg } from "./element.js";

/** @import {TrendPoint} from "../state/trend.js" */

const WIDTH = 96;
const HEIGHT = 24;
const MARGIN = 2;

export class Sparkline {
  #line = svg("polyline", { fill: "none", stroke: "currentColor", "stroke-width": 1.25 });
  #root = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" }, this.#line);

  get node() {
    return this.#root;
  }

  /**
   * @param {readonly TrendPoint[]} points ascending; its colour is that of the way from the first to the last
   * @param {string} label what it shows, in words
   */
  show(points, label) {
    const first = points[0];
    const last = points[points.length - 1];
    if (!first || !last) return;
    const prices = points.map(([, price]) => price);
    const low = Math.min(...prices);
    const height = (HEIGHT - 2 * MARGIN) / (Math.max(...prices) - low || 1);
    const width = (WIDTH - 2 * MARGIN) / (last[0] - first[0] || 1);
    const places = points.map(([time, price]) => {
      const x = MARGIN + (time - first[0]) * width;
      const y = HEIGHT - MARGIN - (price - low) * height;
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    });
    this.#line.setAttribute("points", places.join(" "));
    this.#root.setAttribute("class", `sparkline ${direction(last[1] - first[1])}`);
    this.#root.setAttribute("aria-label", label);
  }
}

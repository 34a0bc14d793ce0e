/** The four states of coverage, each a colour and a pattern: the patterns themselves, and the legend. */

import { KIND_HINTS, KIND_WORDS, KINDS } from "../state/coverage.js";
import { element, svg } from "./element.js";

/** @import {CoverageKind} from "../state/coverage.js" */

const SIZE = 6;

/** What is drawn over the colour, so that nobody has to tell them by colour alone. @type {Record<CoverageKind, () => Node[]>} */
const INKS = {
  have: () => [],
  no_trades: () => [svg("circle", { cx: 3, cy: 3, r: 1, class: "cov-ink-fill", "fill-opacity": 0.45 })],
  missing: () => [svg("path", { d: "M-1 7 7 -1M-1 1 1 -1M5 7 7 5", class: "cov-ink", "stroke-width": 1.4, "stroke-opacity": 0.6 })],
  outage: () => [svg("path", { d: "M0 0 6 6M6 0 0 6", class: "cov-ink", "stroke-width": 1.2, "stroke-opacity": 0.75 })],
};

/** @param {CoverageKind} kind @returns {string} what an SVG shape is filled with */
export function fillOf(kind) {
  return `url(#coverage-${kind})`;
}

/** The definitions that `fillOf` refers to; they have to be in the document once. */
export function patterns() {
  const made = KINDS.map((kind) => {
    const base = svg("rect", { width: SIZE, height: SIZE, class: `cov-base-${kind}` });
    const settings = { id: `coverage-${kind}`, width: SIZE, height: SIZE, patternUnits: "userSpaceOnUse" };
    return svg("pattern", settings, base, ...INKS[kind]());
  });
  return svg("svg", { class: "strip-patterns", width: 0, height: 0, "aria-hidden": "true", focusable: "false" }, svg("defs", {}, ...made));
}

export function legend() {
  const items = [...KINDS, /** @type {const} */ ("none")].map((kind) => {
    const paint = kind === "none" ? { class: "cov-base-none" } : { fill: fillOf(kind) };
    const swatch = svg("svg", { "aria-hidden": "true", focusable: "false" }, svg("rect", { width: 18, height: 12, ...paint }));
    return element("li", { title: KIND_HINTS[kind] }, swatch, KIND_WORDS[kind]);
  });
  return element("ul", { class: "strip-legend", "aria-label": "Legend" }, ...items);
}

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const CSS = readFileSync(new URL("../../src/tradewright/web/static/assets/css/tokens.css", import.meta.url), "utf8");
const AA = 4.5;

/** The tokens that are plain colours, as [light, dark]. */
const tokens = new Map();
for (const [, name, value] of CSS.matchAll(/--([\w-]+): (.*?);/g)) {
  const pair = /^light-dark\((#\w{6}), (#\w{6})\)$/.exec(value);
  if (pair) tokens.set(name, [pair[1], pair[2]]);
  else if (/^#\w{6}$/.test(value)) tokens.set(name, [value, value]);
}

const channels = (color) => [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16) / 255);
const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
const luminance = (parts) => 0.2126 * linear(parts[0]) + 0.7152 * linear(parts[1]) + 0.0722 * linear(parts[2]);
const over = (top, bottom, share) => top.map((part, at) => part * share + bottom[at] * (1 - share));

function contrast(first, second) {
  const [high, low] = [luminance(first), luminance(second)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}

const PAIRS = [
  ...["surface", "surface-2", "surface-3", "canvas", "warn-soft"].flatMap((ground) => [["text", ground], ["text-muted", ground]]),
  ...["surface", "surface-3", "accent-soft", "canvas"].map((ground) => ["accent", ground]),
  ...["up", "down", "warn", "bad", "simulated", ...[1, 2, 3, 4, 5].map((n) => `chart-series-${n}`)].map((ink) => [ink, "surface"]),
  ...["up", "down", "text-muted"].map((ground) => ["chart-mark-label", ground]),
  ["on-accent", "accent"],
  ["warn", "warn-soft"],
  ["simulated", "simulated-soft"],
  ["chart-label", "chart-crosshair"],
];

for (const [index, theme] of ["light", "dark"].entries()) {
  const color = (name) => channels(tokens.get(name)[index]);

  test(`text can be read in the ${theme} theme`, () => {
    for (const [ink, ground] of PAIRS) {
      const ratio = contrast(color(ink), color(ground));
      assert.ok(ratio >= AA, `${ink} on ${ground}: ${ratio.toFixed(2)}`);
    }
  });

  test(`prices can be read over the bars of the order book in the ${theme} theme`, () => {
    for (const side of ["up", "down"]) {
      const alpha = new RegExp(`--${side}-soft: light-dark\\(rgb\\([\\d ]+/ (\\d+)%\\), rgb\\([\\d ]+/ (\\d+)%\\)\\)`).exec(CSS);
      const ground = over(color(side), color("surface"), Number(alpha[index + 1]) / 100);
      for (const ink of [side, "text", "text-muted"]) {
        const ratio = contrast(color(ink), ground);
        assert.ok(ratio >= AA, `${ink} over ${side}: ${ratio.toFixed(2)}`);
      }
    }
  });
}

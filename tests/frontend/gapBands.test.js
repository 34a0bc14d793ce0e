import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./modules.js";

const { touches } = await load("chart/gapBands.js");

const MINUTE = 60_000;
const at = (minute) => ({ timestamp: minute * MINUTE });
const gap = (start, end) => ({ start: start * MINUTE, end: end * MINUTE, reason: "not_fetched" });

test("a gap has a length where it reaches from bar to bar", () => {
  assert.equal(touches(gap(11, 20), at(10), at(20), MINUTE), true);
  assert.equal(touches(gap(11, 20), at(10), undefined, MINUTE), true);
  assert.equal(touches(gap(11, 20), undefined, at(20), MINUTE), true);
});

test("a gap that leaves room for a bar has none", () => {
  assert.equal(touches(gap(13, 20), at(10), at(20), MINUTE), false);
  assert.equal(touches(gap(11, 18), at(10), at(20), MINUTE), false);
  assert.equal(touches(gap(500, 600), at(10), undefined, MINUTE), false);
});

test("months differ, and their gaps touch all the same", () => {
  const [january, march] = [Date.UTC(2024, 0), Date.UTC(2024, 2)];
  const february = { start: Date.UTC(2024, 1), end: march, reason: "outage" };
  assert.equal(touches(february, { timestamp: january }, { timestamp: march }, 30 * 24 * 60 * MINUTE), true);
});

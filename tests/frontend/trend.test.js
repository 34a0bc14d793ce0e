import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./modules.js";

const { trendPoints } = await load("state/trend.js");

const HOUR = 3_600_000;
const T = 1_000 * HOUR + HOUR / 2;
const hours = Array.from({ length: 25 }, (_, index) => [976 * HOUR + index * HOUR, 50, 50, 50, 50 + index, 1]);

test("the trend begins where the change counts from and ends at the last price", () => {
  const points = trendPoints(hours, { t: T, last: 96, change_percent: -4 });
  assert.deepEqual(points[0], [T - 24 * HOUR, 100]);
  assert.deepEqual(points.at(-1), [T, 96]);
  const times = points.map(([time]) => time);
  assert.deepEqual(times, [...times].sort((a, b) => a - b));
  assert.equal(points.length, 26, "the closes of 24 ended hours between both");
});

test("the hour that has not ended counts by the live price alone", () => {
  const points = trendPoints(hours, { t: T, last: 7, change_percent: 1 });
  assert.equal(points.some(([, price]) => price === 74), false);
});

test("without a change it begins with the first bar inside", () => {
  const points = trendPoints(hours, { t: T, last: 7, change_percent: null });
  assert.deepEqual(points[0], [T - 24 * HOUR, 50]);
});

test("without a last price there is no trend", () => {
  assert.deepEqual(trendPoints(hours, { t: T, last: null, change_percent: 1 }), []);
});

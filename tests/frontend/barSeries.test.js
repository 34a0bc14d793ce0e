import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./modules.js";

const { BarSeries, joinGaps } = await load("state/barSeries.js");

const bar = (time, close = 1) => [time, 1, Math.max(1, close), Math.min(1, close), close, 5];
const times = (series) => series.bars.map(([time]) => time);

test("an empty series takes bars in any order and keeps them ascending and unique", () => {
  const series = new BarSeries();
  assert.deepEqual(series.merge([bar(300), bar(100), bar(200), bar(100)], 1), { kind: "tail", replaced: [], appended: 3 });
  assert.deepEqual(times(series), [100, 200, 300]);
  assert.equal(series.first[0], 100);
  assert.equal(series.last[0], 300);
});

test("a new value of the last bar is a replacement, a later bar an addition", () => {
  const series = new BarSeries();
  series.merge([bar(100), bar(200)], 1);
  assert.deepEqual(series.merge([bar(200, 3), bar(300)], 2), { kind: "tail", replaced: [1], appended: 1 });
  assert.equal(series.bars[1][4], 3);
});

test("an equal bar changes nothing", () => {
  const series = new BarSeries();
  series.merge([bar(100), bar(200)], 1);
  assert.deepEqual(series.merge([bar(200)], 2), { kind: "none" });
});

test("a final bar that comes after its successor is set in place", () => {
  const series = new BarSeries();
  series.merge([bar(100), bar(200), bar(300)], 1);
  assert.deepEqual(series.merge([bar(200, 9)], 2), { kind: "tail", replaced: [1], appended: 0 });
  assert.deepEqual(times(series), [100, 200, 300]);
});

test("history before the first bar is told as such", () => {
  const series = new BarSeries();
  series.merge([bar(300), bar(400)], 1);
  assert.deepEqual(series.merge([bar(100), bar(200)], 2), { kind: "prepended", count: 2 });
});

test("a bar in the middle, or history together with news, moves the indices", () => {
  const series = new BarSeries();
  series.merge([bar(100), bar(300)], 1);
  assert.deepEqual(series.merge([bar(200)], 2), { kind: "rebuilt" });
  assert.deepEqual(series.merge([bar(50), bar(400)], 3), { kind: "rebuilt" });
  assert.deepEqual(times(series), [50, 100, 200, 300, 400]);
});

test("an answer never undoes what came live after its question", () => {
  const series = new BarSeries();
  const asked = 10;
  series.merge([bar(100, 5)], asked + 1);
  assert.deepEqual(series.merge([bar(100, 2)], asked), { kind: "none" });
  assert.equal(series.last[4], 5);
  series.merge([bar(100, 7)], asked + 2);
  assert.equal(series.last[4], 7);
});

test("bars with values that are no numbers are left out", () => {
  const series = new BarSeries();
  series.merge([bar(100), [200, null, 1, 1, 1, 1], [NaN, 1, 1, 1, 1, 1], "bar"], 1);
  assert.deepEqual(times(series), [100]);
});

test("whatever the order of arrival, the series ends the same", () => {
  const all = Array.from({ length: 200 }, (_, index) => bar(index * 60));
  let seed = 7;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let round = 0; round < 20; round += 1) {
    const series = new BarSeries();
    const shuffled = [...all, ...all].sort(() => random() - 0.5);
    while (shuffled.length > 0) series.merge(shuffled.splice(0, 1 + Math.floor(random() * 40)), round);
    assert.deepEqual(times(series), times({ bars: all }));
  }
});

test("an answer replaces what was known about gaps in its interval, and no more", () => {
  const series = new BarSeries();
  series.setGaps([{ start: 100, end: 400, reason: "not_fetched" }], 0, 1000);
  series.setGaps([{ start: 250, end: 260, reason: "no_trades" }], 200, 300);
  assert.deepEqual(series.gaps, [
    { start: 100, end: 200, reason: "not_fetched" },
    { start: 250, end: 260, reason: "no_trades" },
    { start: 300, end: 400, reason: "not_fetched" },
  ]);
});

test("touching gaps of one reason are one", () => {
  const gap = (start, end, reason) => ({ start, end, reason });
  const joined = joinGaps([gap(200, 300, "outage"), gap(100, 200, "outage"), gap(300, 400, "no_trades"), gap(5, 5, "outage")]);
  assert.deepEqual(joined, [gap(100, 300, "outage"), gap(300, 400, "no_trades")]);
});

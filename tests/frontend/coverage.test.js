import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./modules.js";

const { blocksOf, describeRun, formatShare, inside, kindOf, moved, namedWindow, partStart, runsOf, totalsOf, zoomed } = await load("state/coverage.js");

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A row from one letter a part: have, no trades, missing, outage, nothing; "x" is half had and half missing. */
function rowOf(letters) {
  const item = { timeframe: "1m", resolution: "1m", since: 0, have: [], no_trades: [], missing: [], outage: [] };
  for (const letter of letters) {
    item.have.push(letter === "h" ? HOUR : letter === "x" ? HOUR / 2 : 0);
    item.no_trades.push(letter === "n" ? HOUR : 0);
    item.missing.push(letter === "m" ? HOUR : letter === "x" ? HOUR / 2 : 0);
    item.outage.push(letter === "o" ? HOUR : 0);
  }
  return item;
}

function stripOf(letters) {
  return { market: "crypto", provider: "p", symbol: "S", start: 0, end: letters.length * HOUR, buckets: letters.length, items: [rowOf(letters)] };
}

test("neighbouring parts of one kind are one stretch, and the stretches are all of the strip", () => {
  const strip = stripOf("  hhhnmmxo h");
  const runs = runsOf(strip, strip.items[0]);
  assert.deepEqual(runs.map(({ kind, first, last }) => [kind, first, last]), [
    ["none", 0, 2], ["have", 2, 5], ["no_trades", 5, 6], ["missing", 6, 9], ["outage", 9, 10], ["none", 10, 11], ["have", 11, 12],
  ]);
  assert.equal(runs[0].start, strip.start);
  assert.equal(runs.at(-1).end, strip.end);
  runs.slice(1).forEach((run, at) => assert.equal(run.start, runs[at].end));
  assert.deepEqual([runs[3].missing, runs[3].have], [2.5 * HOUR, 0.5 * HOUR]);
  assert.match(describeRun(runs[3]), /^Missing 2 h 30 min · Have 30 min$/);
  assert.match(describeRun(runs[0]), /^Not expected/);
});

test("what is missing is never hidden by what is there", () => {
  const item = rowOf("h");
  item.missing[0] = 1;
  assert.equal(kindOf(item, 0), "missing");
  const { have, missing } = blocksOf(item);
  assert.ok(missing[0].top - missing[0].bottom >= 0.1);
  assert.equal(missing[0].bottom, have[0].top);
  assert.ok(Math.abs(missing[0].top - 1) < 0.02);
});

test("columns that look alike are one block", () => {
  const blocks = blocksOf(rowOf("hhhhxxhh nn"));
  assert.deepEqual(blocks.have.map(({ from, to, top }) => [from, to, top]), [[0, 4, 1], [4, 6, 0.5], [6, 8, 1]]);
  assert.deepEqual(blocks.missing.map(({ from, to, bottom, top }) => [from, to, bottom, top]), [[4, 6, 0.5, 1]]);
  assert.deepEqual(blocks.no_trades.map(({ from, to }) => [from, to]), [[9, 11]]);
  assert.deepEqual(totalsOf(rowOf("hhx n")), { have: 2.5 * HOUR, no_trades: HOUR, missing: HOUR / 2, outage: 0 });
});

test("parts begin where the server's do", () => {
  const strip = { start: 1_700_000_000_001, end: 1_700_000_000_001 + 10 * 365 * DAY, buckets: 1_999 };
  for (const index of [0, 1, 7, 1_000, 1_998, 1_999]) {
    const exact = BigInt(strip.start) + (BigInt(index) * BigInt(strip.end - strip.start)) / BigInt(strip.buckets);
    assert.equal(partStart(strip, index), Number(exact));
  }
});

test("a window stays in its bounds and never becomes shorter than half an hour", () => {
  const bounds = { start: 0, end: 1000 * DAY };
  assert.deepEqual(namedWindow("day", bounds, bounds), { start: 999 * DAY, end: 1000 * DAY });
  const week = namedWindow("week", { start: 99 * DAY, end: 101 * DAY }, bounds);
  assert.deepEqual(week, { start: 96.5 * DAY, end: 103.5 * DAY });
  assert.deepEqual(moved(week, -0.5, bounds), { start: 93 * DAY, end: 100 * DAY });
  assert.deepEqual(moved({ start: DAY, end: 3 * DAY }, -5, bounds), { start: 0, end: 2 * DAY });
  assert.deepEqual(zoomed({ start: 0, end: 900 * DAY }, 2, bounds), bounds);
  const near = zoomed(week, 0.5, bounds, week.start);
  assert.deepEqual([near.start, near.end - near.start], [week.start, 3.5 * DAY]);
  const least = inside({ start: 5 * DAY, end: 5 * DAY + 1 }, bounds);
  assert.equal(least.end - least.start, 30 * MINUTE);
  assert.equal(least.start % MINUTE, 0);
  assert.deepEqual(inside({ start: -5, end: 2000 * DAY }, bounds), bounds);
});

test("a share is whole only where it is", () => {
  assert.deepEqual([0, 1, 0.5, 0.0001, 0.99999].map(formatShare), ["0%", "100%", "50.0%", "<0.1%", ">99.9%"]);
});

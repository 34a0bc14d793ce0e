import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./modules.js";

const { LiveBars } = await load("data/liveBars.js");
const { ApiError } = await load("net/errors.js");

const MINUTE = 60_000;
const NOW = 10_000_000 * MINUTE;
const ADDRESS = { market: "crypto", provider: "simulated", symbol: "BTC/USDT", timeframe: "1m" };
const bar = (index, close = 1) => [NOW + index * MINUTE, 1, Math.max(1, close), Math.min(1, close), close, 5];
const range = (from, to) => Array.from({ length: to - from }, (_, index) => bar(from + index));

/** A server that answers from a list of bars, slowly when told to, and a stream that the test drives. */
function server(stored, fail = null, empty = {}) {
  const state = { stored, asked: [], fail, handlers: null, left: false, now: NOW, hold: null, empty, says: {}, timers: new Set(), up: null };
  const sources = {
    now: () => (state.now += 1),
    after: (ms, work) => {
      const timer = { ms, work };
      state.timers.add(timer);
      return () => state.timers.delete(timer);
    },
    watchUp: (work) => {
      state.up = work;
      return () => (state.up = null);
    },
    subscribe: (_history, handlers) => {
      state.handlers = handlers;
      return () => (state.left = true);
    },
    fetch: async ({ start, end, limit }) => {
      state.asked.push({ start, end, limit });
      if (state.hold) await state.hold;
      if (state.fail) throw state.fail;
      // What is stored long ago is out of reach of a question about now.
      const inside = (state.empty.stored && end === undefined ? [] : state.stored).filter(([time]) => (start === undefined || time >= start) && (end === undefined || time < end));
      const bars = start === undefined ? inside.slice(-limit) : inside.slice(0, limit);
      return { ...ADDRESS, bars, forming: true, sources: [], gaps: [], problems: [], ...(bars.length === 0 && state.empty), ...state.says };
    },
  };
  const seen = { ready: 0, changes: [], problems: [], edges: [] };
  const live = new LiveBars(ADDRESS, {
    onReady: () => (seen.ready += 1),
    onChange: (change) => seen.changes.push(change.kind),
    onFeed: () => undefined,
    onProblems: (problems) => seen.problems.push(problems.map(({ code }) => code)),
    onEdge: (edge) => seen.edges.push(edge),
  }, sources);
  return { state, live, seen };
}

/** Lets the waits end that are under way; how long they were. */
async function elapse(state) {
  const due = [...state.timers];
  state.timers.clear();
  for (const { work } of due) work();
  await settle();
  return due.map(({ ms }) => ms);
}

/** A page that was away for 700 minutes, and whose questions fail; by then there are bars up to `until`. */
async function cutOff(until) {
  const page = server(range(-500, 1));
  await settle();
  page.state.stored = range(-500, until);
  page.state.fail = down;
  page.state.handlers.onSnapshot(snapshot(range(701, 1_001)));
  await settle();
  return page;
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 0));
const snapshot = (bars, more = {}) => ({ type: "snapshot", topic: "t", epoch: "e", seq: 1, bars, ...more });
const gap = (from, to) => ({ start: NOW + from * MINUTE, end: NOW + to * MINUTE, reason: "not_fetched" });
const down = new ApiError("network", "The server cannot be reached.");
const unreachable = { source: "plugin", code: "provider_unavailable", detail: "The provider cannot be reached." };
const update = (...bars) => ({ type: "update", topic: "t", epoch: "e", seq: 2, bars });
const whole = (live, from, to) => assert.deepEqual(live.series.bars.map(([time]) => time), range(from, to).map(([time]) => time));

test("history and live bars become one series whichever comes first", async () => {
  for (const liveFirst of [true, false]) {
    const { state, live, seen } = server(range(-499, 1));
    if (!liveFirst) await settle();
    state.handlers.onSnapshot(snapshot(range(-300, 1)));
    state.handlers.onUpdate(update(bar(0, 4), bar(1)));
    await settle();
    whole(live, -499, 2);
    assert.equal(live.series.bars.at(-2)[4], 4, "the answer of an earlier question does not undo the update");
    assert.equal(seen.ready, 1);
  }
});

test("scrolling to the left reads older bars until the beginning", async () => {
  const { live, state } = server(range(-2_200, 1));
  await settle();
  whole(live, -499, 1);
  await live.loadOlder();
  whole(live, -1_499, 1);
  await live.loadOlder();
  whole(live, -2_200, 1);
  assert.equal(live.edge, "beginning");
  const asked = state.asked.length;
  await live.loadOlder();
  assert.equal(state.asked.length, asked);
});

test("an absence longer than a snapshot leaves no hole", async () => {
  const { state, live } = server(range(-500, 1));
  await settle();
  state.handlers.onSnapshot(snapshot(range(-300, 1)));
  state.stored = range(-500, 2_001);
  state.handlers.onSnapshot(snapshot(range(1_701, 2_001)));
  await settle();
  whole(live, -500 + 1, 2_001);
});

test("a hole longer than a page is filled page by page", async () => {
  const { state, live } = server(range(-500, 1));
  await settle();
  state.stored = range(-500, 12_001);
  state.handlers.onSnapshot(snapshot(range(11_701, 12_001)));
  for (let turn = 0; turn < 8; turn += 1) await settle();
  whole(live, -499, 12_001);
});

test("years between an import and today are a gap, not thousands of questions", async () => {
  const { state, live } = server(range(-500, 1));
  await settle();
  const asked = state.asked.length;
  state.handlers.onSnapshot(snapshot(range(3_000_000, 3_000_300)));
  await settle();
  assert.equal(state.asked.length, asked);
  assert.deepEqual(live.series.gaps, [{ start: NOW + MINUTE, end: NOW + 3_000_000 * MINUTE, reason: "not_fetched" }]);
  assert.equal(live.series.bars.length, 800);
});

test("what lies between bars of long ago and now is one gap of its whole length", async () => {
  const old = range(-3_600_100, -3_600_000);
  const gaps = [{ start: NOW - 10_000 * MINUTE, end: NOW, reason: "not_fetched" }];
  const { live } = server(old, null, { gaps, stored: { first: old[0][0], last: old.at(-1)[0] } });
  await settle();
  assert.equal(live.series.bars.length, 100);
  assert.deepEqual(live.series.gaps, [{ start: old.at(-1)[0] + MINUTE, end: NOW, reason: "not_fetched" }]);
});

test("a failed question is told, and asked again on retry", async () => {
  const unavailable = new ApiError("provider_unavailable", "The provider cannot be reached.", { status: 503 });
  const { state, live, seen } = server(range(-10, 1), unavailable);
  await settle();
  assert.deepEqual(seen.problems.at(-1), ["provider_unavailable"]);
  assert.equal(seen.ready, 1, "the page is told that it can show what there is");
  state.fail = null;
  await live.retry();
  whole(live, -10, 1);
  assert.deepEqual(seen.problems.at(-1), []);
});

test("what the live feed says is wrong is shown until it is well", async () => {
  const { state, seen } = server(range(-10, 1));
  await settle();
  state.handlers.onFeed({ type: "feed", topic: "t", state: "down", detail: "refused" });
  assert.deepEqual(seen.problems.at(-1), ["feed_down"]);
  state.handlers.onFeed({ type: "feed", topic: "t", state: "live" });
  assert.deepEqual(seen.problems.at(-1), []);
});

test("nothing is told after the end", async () => {
  let release;
  const { state, live, seen } = server(range(-10, 1));
  state.hold = new Promise((resolve) => (release = resolve));
  live.retry();
  await settle();
  const told = seen.changes.length + seen.problems.length;
  live.destroy();
  release();
  await settle();
  assert.equal(seen.changes.length + seen.problems.length, told);
  assert.equal(state.left, true);
});

test("an absence that could not be read is a gap, and is asked for again by itself until it is filled", async () => {
  const { state, live, seen } = await cutOff(1_001);
  const asked = state.asked.length;
  const waits = [];
  for (let turn = 0; turn < 12; turn += 1) waits.push(...(await elapse(state)));
  assert.equal(state.asked.length, asked + 12);
  assert.ok(waits.length === 12 && waits.at(-1) > waits[0] && waits.every((ms) => ms >= 250 && ms <= 20_000), String(waits));
  assert.deepEqual(live.series.gaps, [gap(1, 701)]);
  assert.deepEqual(seen.problems.at(-1), ["network"]);
  state.fail = null;
  await elapse(state);
  whole(live, -499, 1_001);
  assert.deepEqual(live.series.gaps, []);
  assert.deepEqual(seen.problems.at(-1), []);
  assert.equal(state.timers.size, 0);
});

test("a second absence does not make it forget the first", async () => {
  const { state, live } = await cutOff(2_001);
  state.handlers.onSnapshot(snapshot(range(1_701, 2_001)));
  await settle();
  assert.deepEqual(live.series.gaps, [gap(1, 701), gap(1_001, 1_701)]);
  state.fail = null;
  await live.retry();
  whole(live, -499, 2_001);
  assert.deepEqual(live.series.gaps, []);
});

test("a line that is up again is reason enough to ask at once, and the end of the chart none", async () => {
  const { state, live } = await cutOff(1_001);
  const asked = state.asked.length;
  state.up();
  await settle();
  assert.equal(state.asked.length, asked + 1);
  assert.equal(state.timers.size, 1, "one wait at a time");
  live.destroy();
  assert.equal(state.timers.size, 0);
  assert.equal(state.up, null);
});

test("an answer with problems does not fill a hole", async () => {
  const { state, live, seen } = server(range(-500, 1));
  await settle();
  state.stored = [...range(-500, 401), ...range(701, 1_001)];
  state.says = { gaps: [gap(401, 701)], problems: [unreachable] };
  state.handlers.onSnapshot(snapshot(range(701, 1_001)));
  await settle();
  assert.deepEqual(live.series.gaps, [gap(401, 701)]);
  assert.deepEqual(seen.problems.at(-1), ["provider_unavailable"]);
  state.stored = range(-500, 1_001);
  state.says = {};
  await elapse(state);
  whole(live, -499, 1_001);
  assert.deepEqual(live.series.gaps, []);
  assert.deepEqual(seen.problems.at(-1), []);
});

test("the last bar before an absence is read again however short that was", async () => {
  const { state, live } = server(range(-500, 1));
  await settle();
  state.handlers.onUpdate(update(bar(0, 2)));
  state.stored = [...range(-500, 0), bar(0, 9), ...range(1, 301)];
  state.handlers.onSnapshot(snapshot(range(1, 301)));
  await settle();
  whole(live, -499, 301);
  assert.equal(live.series.bars[499][4], 9);
});

test("a whole snapshot after a resync takes no bar away, ends the problem, and is all that is asked of anybody", async () => {
  const { state, live, seen } = server(range(-500, 1));
  await settle();
  state.fail = down;
  state.handlers.onSnapshot(snapshot(range(200, 202), { problems: [unreachable] }));
  await settle();
  assert.deepEqual(live.series.gaps, [gap(1, 200)]);
  assert.deepEqual(seen.problems.at(-1), ["provider_unavailable", "network"]);
  const asked = state.asked.length;
  state.handlers.onSnapshot(snapshot(range(-97, 203)));
  await settle();
  whole(live, -499, 203);
  assert.deepEqual(live.series.gaps, []);
  assert.deepEqual(seen.problems.at(-1), []);
  await elapse(state);
  assert.equal(state.asked.length, asked);
});

test("what a snapshot lacks that the page has already stays and is no gap", async () => {
  const { state, live } = server(range(-500, 1));
  await settle();
  const bars = [...range(-299, -100), ...range(0, 2)];
  state.handlers.onSnapshot(snapshot(bars, { gaps: [gap(-100, 0)], problems: [unreachable] }));
  await settle();
  whole(live, -499, 2);
  assert.deepEqual(live.series.gaps, []);
});

test("what a snapshot lacked is read where the next one does not reach it any more", async () => {
  const { state, live } = server(range(-500, 1));
  await settle();
  const lacking = [...range(-140, 1), ...range(100, 160)];
  state.handlers.onSnapshot(snapshot(lacking, { gaps: [gap(1, 100)], problems: [unreachable] }));
  await settle();
  assert.deepEqual(live.series.gaps, [gap(1, 100)]);
  state.stored = range(-500, 360);
  state.handlers.onSnapshot(snapshot(range(60, 360)));
  await settle();
  whole(live, -499, 360);
  assert.deepEqual(live.series.gaps, []);
});

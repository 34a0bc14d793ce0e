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
  const state = { stored, asked: [], fail, handlers: null, left: false, now: NOW, hold: null, empty };
  const sources = {
    now: () => (state.now += 1),
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
      return { ...ADDRESS, bars, forming: true, sources: [], gaps: [], problems: [], ...(bars.length === 0 && state.empty) };
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

const settle = () => new Promise((resolve) => setTimeout(resolve, 0));
const snapshot = (bars) => ({ type: "snapshot", topic: "t", epoch: "e", seq: 1, bars });
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

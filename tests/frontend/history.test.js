import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./modules.js";

const { judgeOlder } = await load("state/history.js");

const MINUTE = 60_000;
const END = 1_000_000 * MINUTE;
const ASKED = { end: END, limit: 10, timeframeMs: MINUTE };
const LOOKBACK = END - 200 * MINUTE;
const bars = (count) => Array.from({ length: count }, (_, index) => [END - (count - index) * MINUTE, 1, 1, 1, 1, 1]);

test("as many bars as asked: there is more before the first", () => {
  assert.deepEqual(judgeOlder({ bars: bars(10), gaps: [] }, ASKED), { kind: "more", end: END - 10 * MINUTE });
});

test("fewer bars and nothing unknown: the history begins here", () => {
  assert.deepEqual(judgeOlder({ bars: bars(4), gaps: [] }, ASKED), { kind: "beginning" });
  assert.deepEqual(judgeOlder({ bars: [], gaps: [] }, ASKED), { kind: "beginning" });
});

test("fewer bars because the provider was not reached is no beginning", () => {
  const gaps = [{ start: END - 100 * MINUTE, end: END - 4 * MINUTE, reason: "not_fetched" }];
  assert.deepEqual(judgeOlder({ bars: bars(4), gaps }, ASKED), { kind: "unreachable" });
});

test("an unreached part that is newer than the bars does not stop the way back", () => {
  const gaps = [{ start: END - MINUTE, end: END, reason: "not_fetched" }];
  assert.equal(judgeOlder({ bars: bars(10), gaps }, ASKED).kind, "more");
});

test("a known silence as long as the look-back is stepped over", () => {
  const gaps = [{ start: LOOKBACK, end: END, reason: "outage" }];
  assert.deepEqual(judgeOlder({ bars: [], gaps }, ASKED), { kind: "more", end: LOOKBACK });
});

test("bars that are stored long before are next", () => {
  const stored = { first: 5 * MINUTE, last: 900 * MINUTE };
  assert.deepEqual(judgeOlder({ bars: [], gaps: [], stored }, ASKED), { kind: "more", end: 900 * MINUTE + 1 });
});

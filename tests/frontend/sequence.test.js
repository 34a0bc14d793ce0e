import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./modules.js";

const { SequenceTracker } = await load("net/sequence.js");
const { backoffMs } = await load("net/backoff.js");

const opened = () => {
  const tracker = new SequenceTracker();
  tracker.snapshot({ epoch: "a", seq: 41 });
  return tracker;
};

test("nothing is applied and nothing can be resumed before a snapshot", () => {
  const tracker = new SequenceTracker();
  assert.equal(tracker.position, null);
  assert.equal(tracker.update({ epoch: "a", seq: 1 }), "ignore");
});

test("updates that follow one another are applied and move the position", () => {
  const tracker = opened();
  assert.equal(tracker.update({ epoch: "a", seq: 42 }), "apply");
  assert.equal(tracker.update({ epoch: "a", seq: 43 }), "apply");
  assert.deepEqual(tracker.position, { epoch: "a", seq: 43 });
});

test("a repeated update is ignored", () => {
  const tracker = opened();
  assert.equal(tracker.update({ epoch: "a", seq: 41 }), "ignore");
  assert.equal(tracker.update({ epoch: "a", seq: 12 }), "ignore");
  assert.deepEqual(tracker.position, { epoch: "a", seq: 41 });
});

test("a jump is right only when the message says how many were left out", () => {
  assert.equal(opened().update({ epoch: "a", seq: 45, conflated: 3 }), "apply");
  assert.equal(opened().update({ epoch: "a", seq: 45, conflated: 2 }), "gap");
  assert.equal(opened().update({ epoch: "a", seq: 44, conflated: 3 }), "gap");
  assert.equal(opened().update({ epoch: "a", seq: 43 }), "gap");
});

test("after a gap nothing is applied until a snapshot, and nothing is resumed", () => {
  const tracker = opened();
  tracker.update({ epoch: "a", seq: 50 });
  assert.equal(tracker.position, null);
  assert.equal(tracker.update({ epoch: "a", seq: 51 }), "ignore");
  tracker.snapshot({ epoch: "a", seq: 60 });
  assert.equal(tracker.update({ epoch: "a", seq: 61 }), "apply");
});

test("a snapshot that lacks something is followed, and never resumed from until a whole one came", () => {
  for (const lacking of [{ seq: 41, bars: [], problems: [{ source: "history", code: "timeout", detail: "" }] }, { seq: 0, trades: [] }]) {
    const tracker = opened();
    tracker.snapshot({ epoch: "b", ...lacking });
    assert.equal(tracker.update({ epoch: "b", seq: lacking.seq + 1 }), "apply");
    assert.equal(tracker.position, null);
    tracker.snapshot({ epoch: "b", seq: 60, problems: [], ...(lacking.trades && { trades: [] }) });
    assert.deepEqual(tracker.position, { epoch: "b", seq: 60 });
  }
});

test("a topic that has told nothing yet is resumed from its beginning", () => {
  const tracker = new SequenceTracker();
  tracker.snapshot({ epoch: "a", seq: 0, bars: [], problems: [] });
  assert.deepEqual(tracker.position, { epoch: "a", seq: 0 });
});

test("another epoch is a gap whatever its number", () => {
  assert.equal(opened().update({ epoch: "b", seq: 42 }), "gap");
});

test("the wait grows, has jitter, and is bounded", () => {
  const least = (attempt) => backoffMs(attempt, () => 0);
  const most = (attempt) => backoffMs(attempt, () => 1);
  assert.equal(least(0), 250);
  assert.equal(most(0), 500);
  for (let attempt = 1; attempt < 40; attempt += 1) {
    assert.ok(least(attempt) >= least(attempt - 1));
    assert.ok(most(attempt) <= 20_000);
  }
  assert.equal(most(40), 20_000);
});

import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./modules.js";

const { HOLES_MAX, withHole, withoutInterval } = await load("state/holes.js");

const hole = (start, end) => ({ start, end });

test("holes that touch are one", () => {
  const holes = [hole(9, 12), hole(0, 5), hole(5, 7), hole(10, 11)].reduce(withHole, []);
  assert.deepEqual(holes, [hole(0, 7), hole(9, 12)]);
  assert.deepEqual(withHole(holes, hole(3, 3)), holes, "nothing is no hole");
});

test("what is known is taken out", () => {
  const holes = [hole(0, 10), hole(20, 30)];
  assert.deepEqual(withoutInterval(holes, hole(4, 25)), [hole(0, 4), hole(25, 30)]);
  assert.deepEqual(withoutInterval(holes, hole(22, 24)), [hole(0, 10), hole(20, 22), hole(24, 30)]);
  assert.deepEqual(withoutInterval(holes, hole(0, Infinity)), []);
  assert.deepEqual(withoutInterval(holes, hole(10, 20)), holes);
});

test("there are never many, and none is forgotten", () => {
  let holes = [];
  for (let at = 0; at < 100; at += 1) {
    holes = withHole(holes, hole(at * at, at * at + 1));
    assert.ok(holes.length <= HOLES_MAX);
    for (let each = 0; each <= at; each += 1) {
      assert.ok(holes.some(({ start, end }) => start <= each * each && end > each * each));
    }
  }
  assert.equal(holes.length, HOLES_MAX);
});

import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./modules.js";

const { PagedList } = await load("state/pagedList.js");

/** A list of the numbers below `count`, two a page, whose answers come when they are let go. */
function held(count) {
  const waiting = [];
  const asked = [];
  const list = new PagedList(async (cursor) => {
    asked.push(cursor);
    await new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    const start = cursor === null ? 0 : Number(cursor);
    const items = [start, start + 1].filter((number) => number < count);
    return { items, next_cursor: start + 2 < count ? String(start + 2) : null };
  });
  const answered = async (loading, index = 0) => {
    waiting.splice(index, 1)[0].resolve();
    return loading;
  };
  return { list, asked, waiting, answered };
}

test("page after page is put behind what is there", async () => {
  const { list, asked, answered } = held(5);
  assert.deepEqual([list.items, list.hasMore, list.count], [[], false, "0"]);
  assert.equal(await answered(list.load()), true);
  assert.deepEqual([list.items, list.count], [[0, 1], "2+"]);
  await answered(list.load(true));
  await answered(list.load(true));
  assert.deepEqual([list.items, list.hasMore, list.count], [[0, 1, 2, 3, 4], false, "5"]);
  assert.deepEqual(asked, [null, "2", "4"]);
  await answered(list.load());
  assert.deepEqual([list.items, list.hasMore], [[0, 1], true]);
});

test("asked twice for the next page it adds one", async () => {
  const { list, answered } = held(6);
  await answered(list.load());
  const [first, second] = [list.load(true), list.load(true)];
  assert.deepEqual([await answered(first), await answered(second)], [false, true]);
  assert.deepEqual(list.items, [0, 1, 2, 3]);
});

test("what is loaded anew gets no page of before behind it", async () => {
  const { list, answered } = held(6);
  await answered(list.load());
  const [further, anew] = [list.load(true), list.load()];
  assert.equal(await answered(anew, 1), true);
  assert.equal(await answered(further), false);
  assert.deepEqual(list.items, [0, 1]);
});

test("a failure is told, and what is there stays, unless another load has begun", async () => {
  const { list, waiting, answered } = held(4);
  await answered(list.load());
  const failing = list.load(true);
  waiting.pop().reject(new Error("no answer"));
  await assert.rejects(failing, /no answer/);
  assert.deepEqual([list.items, list.hasMore], [[0, 1], true]);
  const [outdated, last] = [list.load(true), list.load(true)];
  waiting.shift().reject(new Error("no answer"));
  assert.equal(await outdated, false);
  await answered(last);
  assert.deepEqual(list.items, [0, 1, 2, 3]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./modules.js";

const { isEverything, justEnded, namedRange, withBackfill } = await load("state/backfills.js");
const { LiveBackfills } = await load("data/liveBackfills.js");

const job = (id, state = "running", updated_ms = 5) => ({ id, state, progress: 0.5, updated_ms, created_ms: 1, market: "crypto", provider: "p", symbol: "S", start: 0, end: 1, newest_first: true, bars: 1, error: null });

/** A server that answers what it is told to, a socket, and a clock that is pushed. */
function rig(list = []) {
  const made = { list, asked: 0, fails: null, up: true, tick: () => undefined, handlers: null, left: 0, shown: [], errors: [] };
  const ports = {
    list: async () => {
      made.asked += 1;
      if (made.fails) throw made.fails;
      return { items: made.list };
    },
    subscribe: (handlers) => {
      made.handlers = handlers;
      return () => (made.left += 1);
    },
    isLinkUp: () => made.up,
    every: (work) => {
      made.tick = work;
      return () => (made.left += 1);
    },
  };
  made.live = new LiveBackfills(ports, { onList: (list) => made.shown.push(list), onError: (error) => made.errors.push(error.code) });
  made.settle = () => new Promise((resolve) => setTimeout(resolve, 0));
  made.ids = () => made.shown.at(-1).map(({ id, state }) => `${id} ${state}`);
  return made;
}

test("a job that is known is replaced where it stands, a new one goes to the front", () => {
  const list = [job("b"), job("a")];
  assert.deepEqual(withBackfill(list, job("a", "done")).map(({ id, state }) => [id, state]), [["b", "running"], ["a", "done"]]);
  assert.deepEqual(withBackfill(list, job("c")).map(({ id }) => id), ["c", "b", "a"]);
  assert.equal(withBackfill([job("a", "done", 7)], job("a", "queued", 5))[0].state, "done");
  assert.equal(withBackfill([job("a", "done")], job("a", "queued"))[0].state, "done");
  assert.equal(withBackfill([job("a", "running", 7)], job("a", "queued", 5))[0].state, "running");
  const many = Array.from({ length: 100 }, (_, at) => job(String(at)));
  assert.equal(withBackfill(many, job("new")).length, 100);
  assert.deepEqual(justEnded(list, [job("c", "done"), job("b", "failed"), job("a")]).map(({ id }) => id), ["b"]);
});

test("ranges end with the last whole minute, and all is what the server takes at most", () => {
  const now = Date.UTC(2024, 5, 1, 12, 0, 30);
  const all = namedRange("all", now);
  assert.ok(all.end === now - 30_000 && all.end - all.start <= 18_300 * 86_400_000 && all.start < Date.UTC(1980, 0, 1));
  assert.deepEqual(["all", "year"].map((name) => isEverything(namedRange(name, now))), [true, false]);
  const month = namedRange("month", now);
  assert.equal(month.end - month.start, 30 * 86_400_000);
});

test("it asks from time to time until the socket tells, and again when it no longer does", async () => {
  const made = rig([job("a")]);
  await made.settle();
  assert.deepEqual(made.ids(), ["a running"]);
  made.tick();
  await made.settle();
  assert.equal(made.asked, 2);
  made.handlers.onSnapshot({ type: "snapshot", backfills: [job("b"), job("a")] });
  made.handlers.onUpdate({ type: "update", backfill: job("a", "done") });
  assert.deepEqual(made.ids(), ["b running", "a done"]);
  made.tick();
  assert.equal(made.asked, 2);
  made.up = false;
  made.tick();
  await made.settle();
  assert.equal(made.asked, 3);
  made.up = true;
  made.handlers.onError();
  made.tick();
  await made.settle();
  assert.equal(made.asked, 4);
});

test("an answer that is older than what the socket has told is not shown", async () => {
  const made = rig([job("a")]);
  made.handlers.onSnapshot({ type: "snapshot", backfills: [job("a", "done")] });
  await made.settle();
  assert.deepEqual(made.ids(), ["a done"]);
});

test("an answer to a command is shown at once, a failure is told, and nothing comes after the end", async () => {
  const made = rig();
  await made.settle();
  made.live.note(job("n", "queued"));
  assert.deepEqual(made.ids(), ["n queued"]);
  made.fails = new Error("cut");
  await made.live.ask();
  assert.deepEqual(made.errors, ["network"]);
  const before = made.shown.length;
  const asking = made.live.ask();
  made.live.destroy();
  await asking;
  assert.equal(made.left, 2);
  assert.equal(made.errors.length, 1);
  assert.equal(made.shown.length, before);
});

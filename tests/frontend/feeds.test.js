import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./modules.js";

const { worstFeed } = await load("state/feeds.js");

const feed = (state, detail = null) => ({ type: "feed", topic: "t", state, detail });

test("the worst feed speaks for all", () => {
  assert.equal(worstFeed([feed("live"), feed("polling"), feed("live")]).state, "polling");
  assert.equal(worstFeed([feed("live"), feed("stale"), feed("polling")]).state, "stale");
  assert.equal(worstFeed([feed("stale"), feed("down"), feed("live")]).state, "down");
});

test("how many are in trouble is said, unless it is all of them", () => {
  const worst = worstFeed([feed("live"), feed("down", "Gone."), feed("down", "Gone.")]);
  assert.equal(worst.detail, "2 of 3 feeds: down. Gone.");
  assert.equal(worstFeed([feed("down", "Gone."), feed("down", "Gone.")]).detail, "Gone.");
});

test("it is closed only where every market is", () => {
  assert.equal(worstFeed([feed("closed"), feed("closed")]).state, "closed");
  assert.equal(worstFeed([feed("closed"), feed("live")]).state, "live");
});

test("nothing is invented of feeds that have not been heard of", () => {
  assert.equal(worstFeed([]), null);
  assert.equal(worstFeed([null, null]), null);
  assert.equal(worstFeed([feed("live"), null]), null);
  assert.equal(worstFeed([feed("down"), null]).state, "down");
});

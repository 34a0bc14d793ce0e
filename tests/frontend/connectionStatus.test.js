import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./modules.js";

const { connectionState, isWithoutVenue } = await load("ui/connectionStatus.js");

const link = (state) => ({ state, retryAt: null, code: null });
const feed = (state) => ({ type: "feed", topic: "t", state });

test("a broken line comes before everything", () => {
  assert.equal(connectionState(link("waiting"), feed("live"), null), "offline");
  assert.equal(connectionState(link("refused"), feed("live"), { state: "none" }), "offline");
});

test("a line that nobody has needed yet is not offline", () => {
  assert.equal(connectionState(link("closed"), null, null), "connecting");
  assert.equal(connectionState(link("closed"), null, { state: "none" }), "none");
  assert.equal(connectionState(link("closed"), null, { state: "down" }), "down");
});

test("an open line is as good as its feed", () => {
  assert.equal(connectionState(link("open"), null, null), "connecting");
  assert.equal(connectionState(link("open"), feed("polling"), null), "polling");
  assert.equal(connectionState(link("draining"), feed("stale"), null), "stale");
});

test("a feed that is closed for good and says why has no venue", () => {
  assert.equal(isWithoutVenue({ ...feed("closed"), detail: "This is imported history." }), true);
  assert.equal(isWithoutVenue({ ...feed("closed"), opens_at: "2026-11-25T14:30:00Z", detail: "Closed." }), false);
  assert.equal(isWithoutVenue(feed("closed")), false);
  assert.equal(isWithoutVenue({ ...feed("down"), detail: "The venue is gone." }), false);
  assert.equal(isWithoutVenue(null), false);
});

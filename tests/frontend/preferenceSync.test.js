import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { load } from "./modules.js";

const { PreferenceSync } = await load("data/preferenceSync.js");
const { ApiError } = await load("net/errors.js");
const { readPreferences, readTheme, savePreferences, saveTheme } = await load("state/preferences.js");

const CHART = { market: "crypto", provider: "kraken", symbol: "BTC/USD", timeframe: "1h" };

beforeEach(() => {
  const kept = new Map();
  globalThis.localStorage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
  globalThis.document = { documentElement: { dataset: {} } };
});

/** A server's store of one person's choices, and a timer that is run by hand. */
function place(kept = {}) {
  const writes = [];
  const faults = [];
  let due = null;
  const sync = new PreferenceSync({
    read: async () => structuredClone(kept),
    write: async (changes) => {
      const fault = faults.shift();
      if (fault) throw fault;
      writes.push(changes);
    },
    after: (_ms, work) => {
      due = work;
      return () => (due = null);
    },
  });
  return { sync, writes, faults, run: () => due?.() };
}

test("what was chosen elsewhere holds here, and is not written back", async () => {
  const chart = { type: "ohlc", axis: "logarithm", favourites: ["1m"], indicators: [], side_panel: false };
  const { sync, writes, run } = place({ theme: "light", timezone: "utc", default_market: "crypto", default_provider: "kraken", chart, recent: [CHART] });
  await sync.pull();
  const { zone, home, chartType, axis, sidePanel, recent } = readPreferences();
  assert.deepEqual({ zone, home, chartType, axis, sidePanel, recent }, { zone: "utc", home: { market: "crypto", provider: "kraken" }, chartType: "ohlc", axis: "logarithm", sidePanel: false, recent: [CHART] });
  assert.equal(readTheme(), "light");
  assert.equal(document.documentElement.dataset.theme, "light");
  await run();
  assert.deepEqual(writes, []);
  sync.stop();
});

test("what makes no sense here is left where it is", async () => {
  savePreferences({ zone: "utc" });
  const { sync } = place({ timezone: "Asia/Tokyo", theme: "pink", recent: "all", chart: { type: 7 } });
  await sync.pull();
  assert.equal(readPreferences().zone, "utc");
  assert.equal(readTheme(), "system");
  assert.deepEqual(readPreferences().recent, []);
  sync.stop();
});

test("the first browser tells what was chosen in it", async () => {
  saveTheme("dark");
  savePreferences({ zone: "utc", recent: [{ ...CHART, extra: 1 }] });
  const { sync, writes, run } = place();
  await sync.pull();
  await run();
  assert.equal(writes.length, 1);
  assert.equal(writes[0].theme, "dark");
  assert.equal(writes[0].timezone, "utc");
  assert.deepEqual(writes[0].recent, [CHART]);
  assert.equal(writes[0].default_market, null);
  sync.stop();
});

test("choices are written together, once, under the names of the server", async () => {
  const { sync, writes, run } = place({ theme: "dark" });
  saveTheme("light");
  savePreferences({ axis: "logarithm" });
  savePreferences({ zone: "utc" });
  await run();
  assert.deepEqual(Object.keys(writes[0]).sort(), ["chart", "theme", "timezone"]);
  assert.equal(writes[0].chart.axis, "logarithm");
  assert.equal(writes.length, 1);
  sync.stop();
});

test("what the server did not get is told again, what it refused is not", async () => {
  const { sync, writes, faults, run } = place({ theme: "dark" });
  faults.push(new ApiError("network", ""), null, new ApiError("invalid_value", "", { status: 422 }));
  savePreferences({ zone: "utc" });
  await run();
  saveTheme("light");
  await run();
  assert.deepEqual(Object.keys(writes[0]).sort(), ["theme", "timezone"]);
  savePreferences({ zone: "browser" });
  await run();
  saveTheme("dark");
  await run();
  assert.deepEqual(Object.keys(writes[1]), ["theme"]);
  sync.stop();
});

test("a choice made while the server was asked is the newer one", async () => {
  const { sync } = place({ theme: "dark", timezone: "browser" });
  const pulled = sync.pull();
  savePreferences({ zone: "utc" });
  await pulled;
  assert.equal(readPreferences().zone, "utc");
  assert.equal(readTheme(), "dark");
  sync.stop();
});

test("after a logout nothing is written any more", async () => {
  const { sync, writes, run } = place({ theme: "dark" });
  sync.stop();
  savePreferences({ zone: "utc" });
  await run();
  assert.deepEqual(writes, []);
});

import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./modules.js";

const format = await load("state/format.js");
const { isDateStamped, parseTimeframe, TIMEFRAMES, timeframe } = await load("state/timeframes.js");
const { chartUrl, readAddress } = await load("state/deepLink.js");
const { buildUrl } = await load("net/http.js");

test("the places of a price come from its tick", () => {
  const cases = [["0.01", 2], [1e-8, 8], [0.5, 1], [25, 0], ["1", 0], [0.00025, 5], [0, 2], ["", 2], [null, 2]];
  for (const [tick, places] of cases) assert.equal(format.precisionOfTick(tick), places, String(tick));
});

test("without a tick a price shows five significant digits", () => {
  const cases = [[64735.24, 2], [152.27, 2], [3.1234, 4], [0.52785, 5], [0.000012345, 9], [0, 2], [undefined, 2]];
  for (const [price, places] of cases) assert.equal(format.precisionOfPrice(price), places, String(price));
});

test("numbers are grouped, signed with a minus sign, and absent ones are a dash", () => {
  assert.equal(format.formatPrice(64735.2, 2), "64,735.20");
  assert.equal(format.formatPrice(-1.5, 1), "\u22121.5");
  assert.equal(format.formatPrice(null, 2), "\u2013");
  assert.equal(format.formatPrice(NaN, 2), "\u2013");
  assert.equal(format.formatAmount(0.00012), "0.00012");
  assert.equal(format.formatAmount(1_234_567), "1.23M");
});

test("a change says its direction without colour", () => {
  assert.equal(format.formatPercent(2.5), "+2.50%");
  assert.equal(format.formatPercent(-0.333), "\u22120.33%");
  assert.equal(format.formatPercent(0.0001), "0.00%");
  assert.equal(format.formatPercent(-1234.5), "\u22121,234.50%");
  assert.equal(format.formatPercent(null), "\u2013");
});

test("amounts of one column share their places", () => {
  assert.equal(format.precisionOfAmounts([0.5, 123, 2]), 2);
  assert.equal(format.precisionOfAmounts([0.0001]), 8);
  assert.equal(format.precisionOfAmounts([]), 8);
});

test("lengths are said in their largest units", () => {
  const cases = [[0, "0 s"], [59_400, "59 s"], [60_000, "1 min"], [3_600_000, "1 h"], [7_500_000, "2 h 5 min"], [90_000_000, "1 d 1 h"]];
  for (const [ms, words] of cases) assert.equal(format.formatDuration(ms), words);
});

test("times are written in the zone that is asked for", () => {
  const time = Date.UTC(2024, 7, 8, 23, 5);
  assert.equal(format.formatBarTime(time, "UTC", false), "Thu 8 Aug 2024 23:05");
  assert.equal(format.formatBarTime(time, "Asia/Tokyo", false), "Fri 9 Aug 2024 08:05");
  assert.equal(format.formatBarTime(Date.UTC(2024, 0, 1), "UTC", true), "Mon 1 Jan 2024");
  assert.equal(format.formatClock(time, "UTC"), "23:05:00");
});

test("a typed timeframe is understood as traders write it", () => {
  const cases = [["5", "5m"], ["60", "1h"], ["240", "4h"], ["4h", "4h"], ["4H", "4h"], ["d", "1d"], ["1D", "1d"], ["w", "1w"], ["M", "1M"], ["1440", "1d"]];
  for (const [text, id] of cases) assert.equal(parseTimeframe(text)?.id, id, text);
  for (const text of ["", "7", "0", "x", "5 5", "-5", "99999"]) assert.equal(parseTimeframe(text), undefined, text);
});

test("a minute and a month are not taken for one another", () => {
  assert.notEqual(timeframe("1m").ms, timeframe("1M").ms);
  assert.equal(timeframe("1M").unit, "month");
  assert.deepEqual(TIMEFRAMES.filter(isDateStamped).map(({ id }) => id), ["1d", "1w", "1M"]);
  assert.equal(timeframe("2m"), undefined);
});

test("an address survives its way through the query", () => {
  const address = { market: "crypto", provider: "binance", symbol: "BTC/USDT:USDT", timeframe: "1M" };
  const url = chartUrl(address);
  assert.ok(url.startsWith("/chart?"));
  assert.deepEqual(readAddress(url.slice(url.indexOf("?"))), address);
  assert.deepEqual(readAddress("?symbol=&market=crypto&other=1"), { market: "crypto" });
});

test("a query leaves out what is not said and escapes the rest", () => {
  assert.equal(buildUrl("/a", { one: 1, none: null, missing: undefined }), "/a?one=1");
  assert.equal(buildUrl("/a", { q: "a&b=c" }), "/a?q=a%26b%3Dc");
  assert.equal(buildUrl("/a", {}), "/a");
});

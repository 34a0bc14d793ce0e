import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./modules.js";

const { fromFieldValue, timeTicks, toFieldValue } = await load("state/timeAxis.js");

const DAY = 86_400_000;

test("there are as many marks as there is room for, inside the range, ascending, on round times", () => {
  const start = Date.UTC(2024, 1, 27, 5, 7);
  for (const days of [0.03, 0.2, 1, 3, 20, 100, 400, 4_000]) {
    for (const most of [3, 8, 20]) {
      const ticks = timeTicks(start, start + days * DAY, most, "utc");
      assert.ok(ticks.length >= 1 && ticks.length <= most + 4, `${days} days, ${most}: ${ticks.length}`);
      ticks.forEach(({ time }, at) => assert.ok(time >= start && time < start + days * DAY && (at === 0 || time > ticks[at - 1].time)));
      assert.ok(ticks.every(({ time }) => time % 60_000 === 0));
    }
  }
  const months = timeTicks(Date.UTC(2023, 10, 15), Date.UTC(2024, 3, 2), 6, "utc");
  assert.deepEqual(months.map(({ label }) => label), ["Dec", "2024", "Feb", "Mar", "Apr"]);
  const days = timeTicks(Date.UTC(2024, 1, 27), Date.UTC(2024, 2, 3), 6, "utc");
  assert.deepEqual(days.map(({ label }) => label), ["27 Feb", "28 Feb", "29 Feb", "1 Mar", "2 Mar"]);
  const weeks = timeTicks(Date.UTC(2026, 9, 25), Date.UTC(2026, 10, 24), 5, "utc");
  assert.deepEqual(weeks.map(({ label }) => label), ["1 Nov", "8 Nov", "15 Nov", "22 Nov"]);
  const phone = timeTicks(Date.UTC(2026, 9, 25), Date.UTC(2026, 10, 24), 3, "utc");
  assert.deepEqual(phone.map(({ label }) => label), ["1 Nov", "15 Nov"]);
  const hours = timeTicks(Date.UTC(2024, 1, 27, 18), Date.UTC(2024, 1, 28, 8), 5, "utc");
  assert.deepEqual(hours.map(({ label }) => label), ["18:00", "21:00", "28 Feb", "03:00", "06:00"]);
});

test("what a field shows is what is read from it, to the minute", () => {
  for (const zone of ["utc", "browser"]) {
    const time = Date.UTC(2024, 6, 9, 3, 4);
    assert.equal(fromFieldValue(toFieldValue(time, zone), zone), time);
  }
  assert.equal(toFieldValue(0, "utc"), "1970-01-01T00:00");
  assert.equal(fromFieldValue("", "utc"), null);
  assert.equal(fromFieldValue("2024-02-30", "utc"), null);
});

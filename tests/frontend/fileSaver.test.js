import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./modules.js";

const { FileSaver } = await load("data/fileSaver.js");

const PATH = "/api/v1/market/export?format=csv";

/** A saver on a page, and what the browser was handed. */
function page({ closed = true, somebody = true, answer = () => new Response("") } = {}, maxBytes = 10) {
  const seen = { handed: [], probes: 0, told: [] };
  const saver = new FileSaver({
    isSomebody: () => somebody,
    isClosed: async () => ((seen.probes += 1), closed),
    fetch: async () => answer(),
    hand: (url, name) => seen.handed.push([url, name]),
    keep: (blob) => blob,
  }, maxBytes);
  return { seen, saver, save: () => saver.save(PATH, (bytes) => seen.told.push(bytes)) };
}

const file = (text) => new Response(text, { headers: { "Content-Type": "text/csv", "Content-Disposition": 'attachment; filename="bars.csv"' } });

test("where everybody may have it, the browser is left to fetch it", async () => {
  assert.equal(page({ somebody: false }).saver.needed, false);
  const { seen, saver, save } = page({ closed: false, answer: () => assert.fail("the page fetches nothing") });
  assert.equal(saver.needed, true);
  await save();
  assert.deepEqual(seen.handed, [[PATH, ""]]);
  assert.equal(saver.needed, false, "known from then on");
});

test("where a login is needed, the page fetches it under its name", async () => {
  const { seen, save } = page({ answer: () => file("0123456789") });
  await save();
  const [[blob, name]] = seen.handed;
  assert.equal(await blob.text(), "0123456789");
  assert.equal(blob.type, "text/csv");
  assert.equal(name, "bars.csv");
  assert.equal(seen.told.at(-1), 10);
});

test("what is too large, refused or breaks off is told, and not saved in part", async () => {
  const refusal = { status: 401, headers: { "Content-Type": "application/problem+json" } };
  const broken = new ReadableStream({ pull: (controller) => controller.error(new TypeError("gone")) });
  for (const [answer, code] of [
    [() => file("0123456789a"), "too_large"],
    [() => new Response(JSON.stringify({ code: "unauthorized", detail: "Log in." }), refusal), "unauthorized"],
    [() => file(broken), "network"],
    [() => Promise.reject(new TypeError("Failed to fetch")), "network"],
  ]) {
    const { seen, save } = page({ answer });
    await assert.rejects(save(), { code });
    assert.deepEqual(seen.handed, []);
  }
});

test("nothing is handed over after the end", async () => {
  let release = () => undefined;
  const { seen, saver, save } = page({ answer: () => new Promise((resolve) => (release = () => resolve(file("1")))) });
  const saving = save().catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, 0));
  saver.destroy();
  release();
  await saving;
  assert.deepEqual(seen.handed, []);
});

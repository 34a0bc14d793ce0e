import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./modules.js";

const { returnPath, withReturn } = await load("net/returnPath.js");

const ORIGIN = "https://trade.example.com";
const back = (wanted) => returnPath(`?${new URLSearchParams({ next: wanted })}`, ORIGIN);

test("a login leads back to the page that asked for it", () => {
  assert.equal(back("/chart?symbol=BTC/USDT"), "/chart?symbol=BTC/USDT");
  assert.equal(back("/profile#tokens"), "/profile#tokens");
  assert.equal(returnPath("", ORIGIN), "/");
});

test("it never leads to another site", () => {
  const elsewhere = [
    "https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "///evil.example", "/\t/evil.example",
    "/\n/evil.example", "javascript:alert(1)", "data:text/html,x", "evil", "", " //evil.example", "/\u2028", "http:evil.example", "/..//evil.example", "/.//evil.example", "/a/..//evil.example",
  ];
  for (const wanted of elsewhere) assert.equal(back(wanted), "/", JSON.stringify(wanted));
});

test("it leads to no login page, which would lead nowhere", () => {
  assert.equal(back("/login?next=/login"), "/");
  assert.equal(back("/register"), "/");
});

test("where one comes from is kept readable", () => {
  assert.equal(withReturn("/login", "/chart?symbol=BTC/USDT"), "/login?next=/chart%3Fsymbol%3DBTC/USDT");
  assert.equal(withReturn("/login", "/"), "/login");
  assert.equal(withReturn("/register", "/login?next=/data"), "/register");
});

import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./modules.js";

const { AuthSession } = await load("net/authSession.js");

const MINUTE = 60_000;
const ANNA = { id: "u1", username: "anna", role: "admin" };

/** A server of one session whose refresh token lies in the cookie jar that all tabs share. */
class Server {
  calls = [];
  alive = false;
  tokens = 0;
  lifetime = 600;
  /** What the next calls answer in place of what is true. */
  faults = [];
  /** Set, calls wait until it settles. */
  gate = null;

  async fetch(path, { method = "GET", headers } = {}) {
    const given = new Headers(headers);
    this.calls.push({ path, method, token: given.get("Authorization")?.replace("Bearer ", "") ?? null, own: given.get("X-Requested-With") });
    await this.gate;
    const fault = this.faults.shift();
    if (fault) return fault();
    if (path.endsWith("/auth/login")) this.alive = true;
    if (path.endsWith("/auth/logout")) this.alive = false;
    if (path.endsWith("/auth/login") || (path.endsWith("/auth/refresh") && this.alive)) return this.grant();
    if (path.startsWith("/api/v1/auth/")) return new Response(null, { status: 204 });
    const token = this.calls.at(-1).token;
    if (token === `t${this.tokens}`) return Response.json({ fine: true });
    return problem(401, token === null ? "unauthorized" : "invalid_token");
  }

  grant() {
    this.tokens += 1;
    return Response.json({ access_token: `t${this.tokens}`, token_type: "Bearer", expires_in: this.lifetime, user: ANNA });
  }

  count(name) {
    return this.calls.filter(({ path }) => path.endsWith(name)).length;
  }
}

function problem(status, code, headers = {}) {
  return Response.json({ code, detail: code }, { status, headers: { "Content-Type": "application/problem+json", ...headers } });
}

/** Time that moves only when told to. */
class Time {
  now = 1_000_000;
  #due = [];

  after(ms, work) {
    const entry = { at: this.now + ms, work };
    this.#due.push(entry);
    return () => (this.#due = this.#due.filter((one) => one !== entry));
  }

  get next() {
    return Math.min(...this.#due.map(({ at }) => at)) - this.now;
  }

  async advance(ms) {
    this.now += ms;
    const ready = this.#due.filter(({ at }) => at <= this.now);
    this.#due = this.#due.filter(({ at }) => at > this.now);
    for (const { work } of ready) work();
    await settle();
  }
}

/** The tabs of one browser. Without locks they see each other's messages only. */
class Browser {
  state = "out";
  locks = true;
  #tabs = [];
  #lock = Promise.resolve();

  tab() {
    const own = { onMessage: () => undefined };
    this.#tabs.push(own);
    return {
      exclusively: (work) => {
        if (!this.locks) return work();
        const done = this.#lock.then(work);
        this.#lock = done.catch(() => undefined);
        return done;
      },
      tell: (message) => this.#tabs.filter((one) => one !== own).forEach(({ onMessage }) => queueMicrotask(() => onMessage(structuredClone(message)))),
      watch: (onMessage) => (own.onMessage = onMessage),
      remember: (state) => (this.state = state),
      remembered: () => this.state,
    };
  }
}

async function settle() {
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
}

function place() {
  const server = new Server();
  const time = new Time();
  const browser = new Browser();
  const open = () =>
    new AuthSession({
      fetch: (path, init) => server.fetch(path, init),
      now: () => time.now,
      after: (ms, work) => time.after(ms, work),
      random: () => 0.5,
      tabs: browser.tab(),
    });
  return { server, time, browser, open };
}

const LOGIN = { login: "anna", password: "correct horse battery" };

test("a call carries the token, and only to this server", async () => {
  const { server, open } = place();
  const session = open();
  await session.login(LOGIN);
  await session.fetch("/api/v1/orders");
  assert.equal(server.calls.at(-1).token, "t1");
  for (const path of ["https://evil.example/", "//evil.example/", "/\\evil.example", "/\t/evil.example", "/\n/evil.example", "/\r\\evil.example", "api"]) {
    await assert.rejects(() => session.fetch(path));
  }
  assert.equal(server.calls.length, 2);
});

test("a page that nobody is logged in on asks once and stays anonymous", async () => {
  const { server, open } = place();
  const session = open();
  await Promise.all([session.restore(), session.restore()]);
  assert.equal(session.user, null);
  assert.equal(server.count("/refresh"), 1);
  assert.equal(server.calls[0].own, "tradewright");
  assert.equal(session.tokenSoon(), null);
});

test("a reload is still in, and calls wait until that is known", async () => {
  const { server, browser, open } = place();
  server.alive = true;
  browser.state = "in";
  const session = open();
  const response = await session.fetch("/api/v1/orders");
  assert.equal(response.status, 200);
  assert.equal(session.user.username, "anna");
  assert.deepEqual(server.calls.map(({ token }) => token), [null, "t1"]);
});

test("a server that wants a login is asked again once it is known who is here", async () => {
  const { server, open } = place();
  server.alive = true; // the cookie is there, the hint is not
  const response = await open().fetch("/api/v1/market/markets");
  assert.equal(response.status, 200);
  assert.equal(server.count("/refresh"), 1);
});

test("the token is renewed at four fifths of its life, give or take", async () => {
  const { server, time, open } = place();
  const session = open();
  await session.login(LOGIN);
  assert.equal(time.next, 8 * MINUTE);
  await time.advance(8 * MINUTE - 1);
  assert.equal(server.count("/refresh"), 0);
  await time.advance(1);
  assert.equal(server.count("/refresh"), 1);
  assert.equal(session.token, "t2");
});

test("parallel calls with a token that has ended share one renewal and are made once more", async () => {
  const { server, open } = place();
  const session = open();
  await session.login(LOGIN);
  server.tokens = 7; // the server no longer takes t1
  const answers = await Promise.all(Array.from({ length: 20 }, () => session.fetch("/api/v1/orders")));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.equal(server.count("/refresh"), 1);
  assert.equal(server.count("/orders"), 40);
});

test("a second refusal is the answer: nothing goes round in circles", async () => {
  const { server, open } = place();
  const session = open();
  await session.login(LOGIN);
  server.faults = [() => problem(401, "invalid_token"), null, () => problem(401, "invalid_token")];
  const response = await session.fetch("/api/v1/orders");
  assert.equal(response.status, 401);
  assert.equal((await response.json()).code, "invalid_token");
  assert.equal(server.count("/refresh"), 1);
});

test("what is not allowed is no reason to renew", async () => {
  const { server, open } = place();
  const session = open();
  await session.login(LOGIN);
  server.faults = [() => problem(401, "invalid_login"), () => problem(403, "step_up_required")];
  assert.equal((await session.fetch("/api/v1/auth/step_up")).status, 401);
  assert.equal((await session.fetch("/api/v1/auth/tokens")).status, 403);
  assert.equal(server.count("/refresh"), 0);
});

test("a token about to end is renewed before it is used", async () => {
  const { server, time, open } = place();
  const session = open();
  await session.login(LOGIN);
  time.now += 10 * MINUTE - 4_000; // asleep: no timer has run
  await session.fetch("/api/v1/orders");
  assert.equal(server.calls.at(-1).token, "t2");
  assert.equal(server.count("/orders"), 1);
});

test("two tabs share one renewal", async () => {
  const { server, time, open } = place();
  const [first, second] = [open(), open()];
  await first.login(LOGIN);
  await settle();
  assert.equal(second.token, "t1");
  await time.advance(8 * MINUTE);
  assert.deepEqual([first.token, second.token], ["t2", "t2"]);
  assert.equal(server.count("/refresh"), 1);
});

test("without locks two tabs may both ask, and both stay in", async () => {
  const { server, time, browser, open } = place();
  browser.locks = false;
  const [first, second] = [open(), open()];
  await first.login(LOGIN);
  await settle();
  await time.advance(8 * MINUTE);
  assert.ok(server.count("/refresh") <= 2);
  assert.ok(first.token !== "t1" && second.token !== "t1");
  await time.advance(8 * MINUTE);
  assert.ok(first.user && second.user);
});

test("a logout in one tab logs the others out, whatever they were waiting for", async () => {
  const { server, time, browser, open } = place();
  const [first, second] = [open(), open()];
  await first.login(LOGIN);
  await settle();
  browser.locks = false;
  const seen = [];
  second.watch((user) => seen.push(user));
  let opened = () => undefined;
  server.gate = new Promise((resolve) => (opened = resolve));
  const late = second.renew();
  await settle();
  const left = first.logout();
  await settle();
  opened();
  await Promise.all([late, left]);
  await settle();
  assert.deepEqual([first.token, second.token], [null, null]);
  assert.equal(seen.at(-1), null);
  assert.equal(browser.state, "out");
  await time.advance(60 * MINUTE);
  assert.equal(server.count("/refresh"), 1);
});

test("a logout that the server could not be told of is told when a page is next opened", async () => {
  const { server, browser, open } = place();
  const session = open();
  await session.login(LOGIN);
  server.faults = [() => { throw new TypeError("no network"); }];
  await assert.rejects(() => session.logout(), { code: "network" });
  assert.equal(session.token, null);
  const next = open();
  await next.restore();
  assert.equal(next.user, null);
  assert.equal(server.alive, false);
  assert.equal(server.count("/refresh"), 0);
  assert.equal(browser.state, "out");
});

test("a session that has ended ends here, and for good", async () => {
  const { server, time, open } = place();
  const session = open();
  await session.login(LOGIN);
  server.alive = false;
  server.tokens = 9;
  assert.equal((await session.fetch("/api/v1/orders")).status, 401);
  assert.equal(session.user, null);
  await time.advance(60 * MINUTE);
  assert.equal(server.count("/refresh"), 1);
});

test("a server that can't be reached costs no login, and is asked again later and later", async () => {
  const { server, time, open } = place();
  const session = open();
  await session.login(LOGIN);
  server.faults = Array.from({ length: 3 }, () => () => { throw new TypeError("no network"); });
  await time.advance(8 * MINUTE);
  assert.equal(session.token, "t1");
  const waits = [];
  for (let tries = 0; tries < 3; tries += 1) {
    waits.push(time.next);
    await time.advance(time.next);
  }
  assert.deepEqual(waits, [2_000, 4_000, 8_000]);
  assert.equal(session.token, "t2");
});

test("wrong names and waiting times come through as they are", async () => {
  const { server, open } = place();
  const session = open();
  server.faults = [() => problem(429, "too_many_logins", { "Retry-After": "7" }), () => problem(401, "totp_required")];
  await assert.rejects(() => session.login(LOGIN), { code: "too_many_logins", retryAfterMs: 7_000 });
  await assert.rejects(() => session.login(LOGIN), { code: "totp_required" });
  assert.equal(session.user, null);
});

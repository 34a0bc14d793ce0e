/**
 * Who is logged in on this page. The access token is kept in memory alone; it is renewed, by a cookie that no
 * script can read, before it ends, once however many calls and tabs wait for it.
 */

import { ApiError, LOGIN_REQUIRED } from "./errors.js";
import { readProblem } from "./problems.js";
import { OWN_PATH } from "./returnPath.js";

/**
 * @import {TokenAnswer, UserItem} from "./protocol.js"
 * @typedef {{token: string, issuedAt: number, expiresAt: number, user: UserItem}} Held times in epoch ms
 * @typedef {{type: "token", held: Held} | {type: "logout"}} TabMessage
 * @typedef {"in" | "out" | "leaving"} Remembered
 * @typedef {{
 *   exclusively: <T>(work: () => Promise<T>) => Promise<T>,
 *   tell: (message: TabMessage) => void,
 *   watch: (onMessage: (message: TabMessage) => void) => void,
 *   remember: (state: Remembered) => void,
 *   remembered: () => Remembered,
 * }} Tabs the other tabs of this browser; `remember` keeps whether somebody is logged in, never a token
 * @typedef {{
 *   fetch: (path: string, init: RequestInit) => Promise<Response>,
 *   now: () => number,
 *   after: (ms: number, work: () => void) => () => void,
 *   random: () => number,
 *   tabs: Tabs,
 * }} AuthPorts
 * @typedef {{login: string, password: string, totp?: string}} LoginForm
 * @typedef {{email: string, username: string, password: string, invite?: string, setup_token?: string}} RegisterForm
 */

const AUTH = "/api/v1/auth";
/** Of a token's life; the jitter keeps tabs and browsers out of step. */
const RENEW_AT = 0.75;
const RENEW_JITTER = 0.1;
/** A token that ends this soon is renewed before it is used. */
const MARGIN_MS = 5_000;
const RETRY_FIRST_MS = 2_000;
const RETRY_MAX_MS = 60_000;
/** What tells the server that no other site's form made the request. */
const OWN_HEADERS = { Accept: "application/json", "Content-Type": "application/json", "X-Requested-With": "tradewright" };

export class AuthSession {
  #ports;
  /** @type {Held | null} */
  #held = null;
  /** Rises whenever somebody comes or goes, so that what was asked for before is told apart. */
  #generation = 0;
  /** @type {Promise<string | null> | null} */
  #renewal = null;
  /** @type {Promise<void> | null} */
  #restoring = null;
  #restored = false;
  #retryMs = RETRY_FIRST_MS;
  /** @type {() => void} */
  #cancelTimer = () => undefined;
  /** @type {Set<(user: UserItem | null) => void>} */
  #watchers = new Set();

  /** @param {AuthPorts} ports */
  constructor(ports) {
    this.#ports = ports;
    ports.tabs.watch((message) => this.#onTab(message));
  }

  /** @returns {UserItem | null} */
  get user() {
    return this.#held?.user ?? null;
  }

  /** The access token as it is, which may have ended. @returns {string | null} */
  get token() {
    return this.#held?.token ?? null;
  }

  /** Whether it is known by now if somebody is logged in. */
  get restored() {
    return this.#restored;
  }

  /** Whether this browser was logged in when it was last here. */
  get hinted() {
    return this.#ports.tabs.remembered() === "in";
  }

  /**
   * @param {(user: UserItem | null) => void} watcher told after each change: login, logout, a new token
   * @returns {() => void} stops watching
   */
  watch(watcher) {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Finds out, once per page, whether the browser is still logged in. Never rejects. */
  restore() {
    this.#restoring ??= this.#restore();
    return this.#restoring;
  }

  /**
   * The token to use now: waits for a renewal where it is about to end; null without a login. Where nobody
   * was logged in lately it does not wait for the page to find that out.
   *
   * @returns {Promise<string | null>}
   */
  async freshToken() {
    if (this.#held === null) {
      if (!this.#restored && this.hinted) await this.restore();
      return this.token;
    }
    if (this.#renewal === null && this.#held.expiresAt - this.#ports.now() > MARGIN_MS) return this.#held.token;
    return this.renew().catch(() => this.token);
  }

  /** Like `freshToken`, but null where there is nothing to wait for and no token. @returns {Promise<string | null> | null} */
  tokenSoon() {
    if (this.#held === null && (this.#restored || !this.hinted)) return null;
    return this.freshToken();
  }

  /** @param {TokenAnswer} answer of a login; the other tabs are told @param {number} [askedAt] epoch ms */
  store(answer, askedAt = this.#ports.now()) {
    this.#generation += 1;
    this.#take(answer, askedAt);
  }

  /** Forgets the token, in the other tabs as well; the server is not told. */
  clear() {
    this.#end();
    this.#ports.tabs.tell({ type: "logout" });
  }

  /** @param {LoginForm} form @returns {Promise<UserItem>} @throws {ApiError} */
  login(form) {
    return this.#ports.tabs.exclusively(async () => {
      const askedAt = this.#ports.now();
      const response = await this.#post("login", form);
      if (!response.ok) throw await readProblem(response);
      /** @type {TokenAnswer} */
      const answer = await response.json();
      this.store(answer, askedAt);
      return answer.user;
    });
  }

  /** @param {RegisterForm} form @returns {Promise<UserItem>} who is not logged in yet @throws {ApiError} */
  async register(form) {
    const response = await this.#post("register", form);
    if (!response.ok) throw await readProblem(response);
    return (await response.json()).user;
  }

  /**
   * Logs out, here and in the other tabs at once. Where the server can't be told it is told when a page is
   * next opened.
   *
   * @throws {ApiError} the server could not be told
   */
  async logout() {
    const { token } = this;
    this.#end("leaving");
    this.#ports.tabs.tell({ type: "logout" });
    await this.#leave(token);
  }

  /**
   * The next access token; null where the session has ended. Everybody who asks meanwhile waits for the same.
   *
   * @param {string | null} [spent] the token that is no good any more; another one that came since is taken
   * @returns {Promise<string | null>}
   * @throws {ApiError} the server did not say; what there is stays
   */
  renew(spent = this.token) {
    if (this.#held && this.#held.token !== spent) return Promise.resolve(this.#held.token);
    this.#renewal ??= this.#renewOnce(spent).finally(() => (this.#renewal = null));
    return this.#renewal;
  }

  /**
   * `fetch` for this server with the token, where there is one; a token that turns out to have ended is
   * renewed and the call made once more.
   *
   * @param {string} path begins with one slash @param {RequestInit} [init]
   */
  async fetch(path, init = {}) {
    if (!OWN_PATH.test(path)) throw new Error("A token is sent to this server alone.");
    const token = await this.freshToken();
    const response = await this.#send(path, init, token);
    if (response.status !== 401) return response;
    const renewed = await this.#afterRefusal(response.clone(), token);
    return renewed === null ? response : this.#send(path, init, renewed);
  }

  /** @param {Response} response @param {string | null} token that was sent */
  async #afterRefusal(response, token) {
    const { code } = await readProblem(response);
    if (token === null) {
      if (code !== LOGIN_REQUIRED) return null;
      await this.restore();
      return this.token;
    }
    if (code !== "invalid_token") return null;
    return this.renew(token).catch(() => null);
  }

  /** @param {string} path @param {RequestInit} init @param {string | null} token */
  #send(path, init, token) {
    const headers = new Headers(init.headers);
    if (token !== null) headers.set("Authorization", `Bearer ${token}`);
    return this.#ports.fetch(path, { ...init, headers });
  }

  async #restore() {
    try {
      if (this.#ports.tabs.remembered() === "leaving") await this.#leave(null);
      else await this.renew();
    } catch {
      if (this.hinted) this.#retryLater();
    }
    this.#restored = true;
    this.#notify();
  }

  /** @param {string | null} token */
  async #leave(token) {
    const response = await this.#post("logout", {}, token);
    if (!response.ok && response.status !== 401) throw await readProblem(response);
    if (this.#ports.tabs.remembered() === "leaving") this.#ports.tabs.remember("out");
  }

  /** @param {string | null} spent */
  #renewOnce(spent) {
    const generation = this.#generation;
    return this.#ports.tabs.exclusively(async () => {
      // Whoever waited for another tab has what that one got.
      if (generation !== this.#generation || this.token !== spent) return this.token;
      const askedAt = this.#ports.now();
      const response = await this.#post("refresh", {});
      if (generation !== this.#generation) return this.token;
      if (response.status === 204 || response.status === 401) {
        if (this.hinted) this.clear();
        else this.#end();
        return null;
      }
      if (!response.ok) throw await readProblem(response);
      this.#take(await response.json(), askedAt);
      return this.token;
    });
  }

  /** @param {"login" | "refresh" | "logout" | "register"} name @param {object} body @param {string | null} [token] */
  #post(name, body, token = null) {
    const init = { method: "POST", headers: OWN_HEADERS, body: JSON.stringify(body) };
    return this.#send(`${AUTH}/${name}`, init, token).catch((error) => {
      throw error instanceof ApiError ? error : new ApiError("network", "The server cannot be reached.");
    });
  }

  /** @param {TokenAnswer} answer @param {number} askedAt */
  #take({ access_token: token, expires_in: seconds, user }, askedAt) {
    const held = { token, issuedAt: askedAt, expiresAt: askedAt + seconds * 1000, user };
    this.#hold(held);
    this.#ports.tabs.tell({ type: "token", held });
  }

  /** @param {Held} held */
  #hold(held) {
    this.#held = held;
    this.#restored = true;
    this.#retryMs = RETRY_FIRST_MS;
    this.#ports.tabs.remember("in");
    const dueAt = held.issuedAt + (held.expiresAt - held.issuedAt) * (RENEW_AT + RENEW_JITTER * this.#ports.random());
    this.#renewIn(Math.max(0, dueAt - this.#ports.now()));
    this.#notify();
  }

  /** @param {number} ms */
  #renewIn(ms) {
    this.#cancelTimer();
    this.#cancelTimer = this.#ports.after(ms, () => this.renew().catch(() => this.#retryLater()));
  }

  #retryLater() {
    this.#renewIn(this.#retryMs);
    this.#retryMs = Math.min(RETRY_MAX_MS, this.#retryMs * 2);
  }

  /** @param {Remembered} [state] */
  #end(state = "out") {
    this.#generation += 1;
    this.#cancelTimer();
    this.#held = null;
    this.#restored = true;
    if (state !== "out" || this.hinted) this.#ports.tabs.remember(state);
    this.#notify();
  }

  /** @param {TabMessage} message */
  #onTab(message) {
    if (message.type === "logout") {
      this.#generation += 1;
      if (this.#held === null) return;
      this.#cancelTimer();
      this.#held = null;
      this.#notify();
    } else if (this.#held === null || this.#held.issuedAt < message.held.issuedAt) {
      this.#generation += 1;
      this.#hold(message.held);
    }
  }

  #notify() {
    for (const watcher of [...this.#watchers]) watcher(this.user);
  }
}

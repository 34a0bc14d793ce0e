/** One WebSocket that stays up: it reconnects with backoff, notices a dead peer, and matches answers to ids. */

import { backoffMs } from "./backoff.js";
import { ApiError } from "./errors.js";

/**
 * @import {ServerMessage} from "./protocol.js"
 * @typedef {"connecting" | "open" | "waiting" | "draining" | "refused" | "closed"} LinkState
 * @typedef {{state: LinkState, retryAt: number | null, code: number | null}} LinkStatus
 * @typedef {{
 *   onMessage: (message: ServerMessage) => void,
 *   onOpen: () => void,
 *   onStatus: (status: LinkStatus) => void,
 *   onTokenExpiring?: () => void,
 *   onTokenExpired?: (token: string) => void,
 *   token?: () => Promise<string | null> | null,
 * }} ConnectionHandlers
 * @typedef {{resolve: (message: ServerMessage) => void, reject: (error: ApiError) => void, timer: number}} Pending
 */

const SUBPROTOCOL = "tradewright.v1";
/** Before the token, among the subprotocols: an address would end up in logs. */
const BEARER = "bearer.";
const PING_EVERY_MS = 15_000;
const SILENCE_MAX_MS = 25_000;
/** How long a peer may take to show itself when the line is said to be gone. */
const PROBE_DEADLINE_MS = 4_000;
const OPEN_DEADLINE_MS = 10_000;
const ANSWER_DEADLINE_MS = 15_000;
const STABLE_AFTER_MS = 10_000;
const PENDING_MAX = 256;

const CLOSE_POLICY = 1008;
const CLOSE_RESTART = 1012;
const CLOSE_SLOW_CLIENT = 1013;
const CLOSE_TOKEN_EXPIRED = 4401;

/** Attempts that a close code stands for, when it says more than "the line broke". */
const ATTEMPT_AFTER_CLOSE = new Map([
  [CLOSE_RESTART, 0],
  [CLOSE_TOKEN_EXPIRED, 0],
  [CLOSE_SLOW_CLIENT, 3],
  [CLOSE_POLICY, 6],
]);

export class Connection {
  #url;
  #handlers;
  /** @type {WebSocket | null} */
  #socket = null;
  /** The token that the socket was last given. @type {string | null} */
  #token = null;
  #dialling = false;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  #nextId = 1;
  #attempt = 0;
  #openedAt = 0;
  #heardAt = 0;
  #retryTimer = 0;
  #openTimer = 0;
  #pingTimer = 0;
  #probeTimer = 0;
  /** @type {LinkStatus} */
  #status = { state: "closed", retryAt: null, code: null };
  #listening = new AbortController();

  /**
   * @param {string} url
   * @param {ConnectionHandlers} handlers
   */
  constructor(url, handlers) {
    this.#url = url;
    this.#handlers = handlers;
    const { signal } = this.#listening;
    // The browser knows of the computer's way out, not of the way to the server, which may be this very
    // computer: what it says is a reason to look, never one not to dial.
    globalThis.addEventListener("online", () => this.#reconnectNow(), { signal });
    globalThis.addEventListener("offline", () => this.#probe(), { signal });
    document.addEventListener("visibilitychange", () => this.#checkAfterSleep(), { signal });
  }

  get status() {
    return this.#status;
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** The token that the server was given on this line; null where it knows us as nobody. */
  get token() {
    return this.#token;
  }

  open() {
    if (this.#socket || this.#dialling || this.#listening.signal.aborted) return;
    this.#setStatus("connecting");
    const soon = this.#handlers.token?.() ?? null;
    if (soon === null) {
      this.#dial(null);
      return;
    }
    this.#dialling = true;
    soon
      .catch(() => null)
      .then((token) => {
        this.#dialling = false;
        if (!this.#listening.signal.aborted) this.#dial(token);
      });
  }

  /** Shows the server another token on this line; what it answers is of no consequence here. @param {string} token */
  authenticate(token) {
    if (!this.isOpen || token === this.#token) return;
    this.#token = token;
    this.request({ type: "authenticate", token }).catch(() => undefined);
  }

  /** Begins anew, as whoever is there now. */
  restart() {
    const socket = this.#socket;
    this.#forget("The live connection begins anew.");
    socket?.close(1000);
    this.#attempt = 0;
    if (socket) this.open();
  }

  /** @param {string | null} token */
  #dial(token) {
    this.#token = token;
    const socket = new WebSocket(this.#url, token === null ? [SUBPROTOCOL] : [SUBPROTOCOL, BEARER + token]);
    this.#socket = socket;
    this.#openTimer = setTimeout(() => this.#drop(socket, 0), OPEN_DEADLINE_MS);
    socket.addEventListener("open", () => this.#onOpen(socket));
    socket.addEventListener("message", (event) => this.#onMessage(socket, event.data));
    socket.addEventListener("close", (event) => this.#drop(socket, event.code));
  }

  /**
   * Sends a command and waits for its `ok`, `pong` or `error`.
   *
   * @param {Record<string, unknown>} command without an id
   * @returns {Promise<ServerMessage>}
   * @throws {ApiError}
   */
  request(command) {
    const socket = this.#socket;
    if (!socket || socket.readyState !== WebSocket.OPEN) {
      return Promise.reject(new ApiError("network", "The live connection is down."));
    }
    if (this.#pending.size >= PENDING_MAX) {
      return Promise.reject(new ApiError("too_many_requests", "Too many commands wait for an answer."));
    }
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new ApiError("timeout", "The server did not answer in time."));
      }, ANSWER_DEADLINE_MS);
      this.#pending.set(id, { resolve, reject, timer });
      socket.send(JSON.stringify({ ...command, id }));
    });
  }

  /** Tries at once instead of waiting for the backoff to end. */
  retry() {
    this.#reconnectNow();
  }

  destroy() {
    this.#listening.abort();
    const socket = this.#socket;
    this.#forget("The page is closing.");
    socket?.close(1000);
    this.#setStatus("closed");
  }

  /** @param {WebSocket} socket */
  #onOpen(socket) {
    if (socket !== this.#socket) return;
    clearTimeout(this.#openTimer);
    this.#openedAt = this.#heardAt = Date.now();
    this.#pingTimer = setInterval(() => this.#ping(), PING_EVERY_MS);
    this.#setStatus("open");
    this.#handlers.onOpen();
  }

  /**
   * @param {WebSocket} socket
   * @param {unknown} data
   */
  #onMessage(socket, data) {
    if (socket !== this.#socket || typeof data !== "string") return;
    this.#heardAt = Date.now();
    const message = parse(data);
    if (message === null) return;
    if ("id" in message && message.id !== null && this.#settle(message.id, message)) return;
    if (message.type === "draining") this.#setStatus("draining");
    if (message.type === "token_expiring") this.#handlers.onTokenExpiring?.();
    this.#handlers.onMessage(message);
  }

  /**
   * @param {number} id
   * @param {ServerMessage} message
   */
  #settle(id, message) {
    const pending = this.#pending.get(id);
    if (!pending) return false;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    if (message.type === "error") pending.reject(new ApiError(message.code, message.message));
    else pending.resolve(message);
    return true;
  }

  #ping() {
    const socket = this.#socket;
    if (!socket) return;
    if (Date.now() - this.#heardAt > SILENCE_MAX_MS) {
      this.#drop(socket, 0);
      return;
    }
    // Only that something is heard counts; a lost answer shows as silence.
    this.request({ type: "ping" }).catch(() => undefined);
  }

  #checkAfterSleep() {
    if (document.visibilityState !== "visible") return;
    if (this.isOpen) this.#ping();
    else this.#reconnectNow();
  }

  #reconnectNow() {
    if (this.#socket || this.#listening.signal.aborted) return;
    clearTimeout(this.#retryTimer);
    this.#attempt = 0;
    this.open();
  }

  /** Asks whether the peer is still there, and gives the socket up when nothing is heard. */
  #probe() {
    const socket = this.#socket;
    if (!socket || !this.isOpen) return;
    const heardBefore = this.#heardAt;
    this.#ping();
    clearTimeout(this.#probeTimer);
    this.#probeTimer = setTimeout(() => {
      if (this.#heardAt === heardBefore) this.#drop(socket, 0);
    }, PROBE_DEADLINE_MS);
  }

  /**
   * @param {WebSocket} socket
   * @param {number} code
   */
  #drop(socket, code) {
    if (socket !== this.#socket) return;
    const stable = this.#openedAt > 0 && Date.now() - this.#openedAt > STABLE_AFTER_MS;
    this.#forget("The live connection broke.");
    socket.close();
    if (stable) this.#attempt = 0;
    if (code === CLOSE_TOKEN_EXPIRED && this.#token !== null) this.#handlers.onTokenExpired?.(this.#token);
    this.#attempt = Math.max(this.#attempt, ATTEMPT_AFTER_CLOSE.get(code) ?? 0);
    const delay = backoffMs(this.#attempt++);
    this.#setStatus(code === CLOSE_POLICY ? "refused" : "waiting", Date.now() + delay, code);
    this.#retryTimer = setTimeout(() => this.open(), delay);
  }

  /** @param {string} reason */
  #forget(reason) {
    clearTimeout(this.#openTimer);
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#probeTimer);
    clearInterval(this.#pingTimer);
    this.#socket = null;
    this.#openedAt = 0;
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject, timer } of waiting) {
      clearTimeout(timer);
      reject(new ApiError("network", reason));
    }
  }

  /**
   * @param {LinkState} state
   * @param {number | null} [retryAt]
   * @param {number | null} [code]
   */
  #setStatus(state, retryAt = null, code = null) {
    this.#status = { state, retryAt, code };
    this.#handlers.onStatus(this.#status);
  }
}

/**
 * @param {string} text
 * @returns {ServerMessage | null}
 */
function parse(text) {
  try {
    const message = JSON.parse(text);
    return typeof message === "object" && message !== null && typeof message.type === "string" ? message : null;
  } catch {
    return null;
  }
}

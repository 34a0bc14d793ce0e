/** Subscriptions over one connection: shared per stream, resumed after a break, resynchronised after a gap. */

import { Connection } from "./connection.js";
import { asApiError } from "./errors.js";
import { streamKey } from "./messages.js";
import { SequenceTracker } from "./sequence.js";

/**
 * @import {AuthSession} from "./authSession.js"
 * @import {ApiError} from "./errors.js"
 * @import {LinkStatus} from "./connection.js"
 * @import {StreamQuery} from "./messages.js"
 * @import {FeedStatus as Feed, ServerMessage, Snapshot, Update} from "./protocol.js"
 * @typedef {Pick<AuthSession, "tokenSoon" | "renew" | "token" | "watch">} Speaker
 * @typedef {{
 *   onSnapshot: (message: Snapshot) => void,
 *   onUpdate: (message: Update) => void,
 *   onFeed?: (message: Feed) => void,
 *   onError?: (error: ApiError) => void,
 * }} StreamHandlers
 */

const RETRY_FIRST_MS = 5_000;
const RETRY_MAX_MS = 60_000;
const STRAY_MAX = 64;

/** @type {Speaker} */
const NOBODY = { token: null, tokenSoon: () => null, renew: async () => null, watch: () => () => true };

/** One stream that this page looks at, with everybody who listens to it. */
class Subscription {
  tracker = new SequenceTracker();
  /** @type {Set<StreamHandlers>} */
  listeners = new Set();
  /** @type {string | null} */
  topic = null;
  /** @type {Feed | null} */
  feed = null;
  /** Rises with each command, so that the answer to a superseded one is recognised. */
  generation = 0;
  retryTimer = 0;
  retryMs = RETRY_FIRST_MS;

  /** @param {StreamQuery} query */
  constructor(query) {
    this.query = query;
  }

  /** @param {(listener: StreamHandlers) => void} tell */
  each(tell) {
    for (const listener of [...this.listeners]) tell(listener);
  }
}

export class Socket {
  #connection;
  /** @type {Map<string, Subscription>} */
  #subscriptions = new Map();
  /** @type {Map<string, Subscription>} */
  #byTopic = new Map();
  /** @type {Set<(status: LinkStatus) => void>} */
  #watchers = new Set();
  /** Messages of a topic whose `ok` has not been read yet. @type {ServerMessage[]} */
  #stray = [];
  /** @type {() => void} */
  #stopAuth;

  /** @param {string} url @param {Speaker} [auth] whom it speaks for */
  constructor(url, auth = NOBODY) {
    this.#connection = new Connection(url, {
      onMessage: (message) => this.#dispatch(message),
      onOpen: () => this.#onOpen(auth.token),
      onStatus: (status) => this.#onStatus(status),
      token: () => auth.tokenSoon(),
      // Should it fail, the session tries again by itself, and the server closes the line in the end.
      onTokenExpiring: () => auth.renew().catch(() => undefined),
      onTokenExpired: (token) => auth.renew(token).catch(() => undefined),
    });
    this.#stopAuth = auth.watch(() => this.#showToken(auth.token));
  }

  /** @returns {LinkStatus} */
  get status() {
    return this.#connection.status;
  }

  /**
   * @param {(status: LinkStatus) => void} watcher told at once and at every change
   * @returns {() => void} stops watching
   */
  watch(watcher) {
    this.#watchers.add(watcher);
    watcher(this.status);
    return () => this.#watchers.delete(watcher);
  }

  /**
   * Listens to a stream. The first listener opens it at the server and the last one to leave closes it;
   * one that joins later gets its own fresh snapshot, which every listener must accept at any time.
   *
   * @param {StreamQuery} query
   * @param {StreamHandlers} handlers
   * @returns {() => void} stops listening
   */
  subscribe(query, handlers) {
    const key = streamKey(query);
    const existing = this.#subscriptions.get(key);
    const subscription = existing ?? new Subscription(query);
    this.#subscriptions.set(key, subscription);
    subscription.listeners.add(handlers);
    if (existing?.feed) handlers.onFeed?.(existing.feed);
    if (existing) subscription.tracker.reset();
    this.#connection.open();
    this.#send(subscription);
    return () => this.#leave(key, subscription, handlers);
  }

  /** Tries again at once: the connection if it is down, and every stream whose subscription failed. */
  retry() {
    this.#connection.retry();
    for (const subscription of this.#subscriptions.values()) {
      if (subscription.topic === null) this.#send(subscription);
    }
  }

  destroy() {
    for (const { retryTimer } of this.#subscriptions.values()) clearTimeout(retryTimer);
    this.#subscriptions.clear();
    this.#byTopic.clear();
    this.#watchers.clear();
    this.#stopAuth();
    this.#connection.destroy();
  }

  /** @param {string | null} token */
  #onOpen(token) {
    this.#showToken(token);
    this.#resubscribeAll();
  }

  /** @param {string | null} token */
  #showToken(token) {
    if (token !== null) this.#connection.authenticate(token);
    else if (this.#connection.token !== null) this.#connection.restart();
  }

  /**
   * @param {string} key
   * @param {Subscription} subscription
   * @param {StreamHandlers} handlers
   */
  #leave(key, subscription, handlers) {
    if (!subscription.listeners.delete(handlers) || subscription.listeners.size > 0) return;
    clearTimeout(subscription.retryTimer);
    subscription.generation += 1;
    if (this.#subscriptions.get(key) === subscription) this.#subscriptions.delete(key);
    if (subscription.topic !== null) this.#unsubscribe(subscription.topic);
  }

  /** @param {string} topic */
  #unsubscribe(topic) {
    this.#byTopic.delete(topic);
    // Whoever reconnects does not subscribe again, so a failure here leaves nothing behind.
    this.#connection.request({ type: "unsubscribe", topic }).catch(() => undefined);
  }

  /** @param {Subscription} subscription */
  async #send(subscription) {
    if (!this.#connection.isOpen) return;
    clearTimeout(subscription.retryTimer);
    const generation = ++subscription.generation;
    const resume = subscription.tracker.position;
    const command = { type: "subscribe", ...subscription.query, ...(resume && { resume }) };
    try {
      const answer = await this.#connection.request(command);
      const topic = answer.type === "ok" ? (answer.topic ?? null) : null;
      this.#confirm(subscription, generation, topic);
    } catch (error) {
      this.#fail(subscription, generation, asApiError(error));
    }
  }

  /**
   * @param {Subscription} subscription
   * @param {number} generation
   * @param {string | null} topic
   */
  #confirm(subscription, generation, topic) {
    if (topic === null) return;
    if (subscription.listeners.size === 0) {
      // Everybody left meanwhile; unless somebody came back, nobody wants this topic.
      if (!this.#subscriptions.has(streamKey(subscription.query))) this.#unsubscribe(topic);
      return;
    }
    if (generation !== subscription.generation) return;
    subscription.topic = topic;
    subscription.retryMs = RETRY_FIRST_MS;
    this.#byTopic.set(topic, subscription);
    const waiting = this.#stray.filter((message) => "topic" in message && message.topic === topic);
    this.#stray = this.#stray.filter((message) => !waiting.includes(message));
    for (const message of waiting) this.#dispatch(message);
  }

  /**
   * @param {Subscription} subscription
   * @param {number} generation
   * @param {ApiError} error
   */
  #fail(subscription, generation, error) {
    if (generation !== subscription.generation || subscription.listeners.size === 0) return;
    if (!this.#connection.isOpen) return; // the reconnect subscribes again
    subscription.each((listener) => listener.onError?.(error));
    if (!error.transient) return;
    subscription.retryTimer = setTimeout(() => this.#send(subscription), subscription.retryMs);
    subscription.retryMs = Math.min(RETRY_MAX_MS, subscription.retryMs * 2);
  }

  #resubscribeAll() {
    this.#stray = [];
    this.#byTopic.clear();
    for (const subscription of this.#subscriptions.values()) {
      subscription.topic = null;
      this.#send(subscription);
    }
  }

  /** @param {LinkStatus} status */
  #onStatus(status) {
    for (const watcher of [...this.#watchers]) watcher(status);
  }

  /** @param {ServerMessage} message */
  #dispatch(message) {
    if (!("topic" in message) || typeof message.topic !== "string") return;
    const subscription = this.#byTopic.get(message.topic);
    if (!subscription) {
      if (this.#stray.push(message) > STRAY_MAX) this.#stray.shift();
      return;
    }
    switch (message.type) {
      case "snapshot":
        subscription.tracker.snapshot(message);
        subscription.each((listener) => listener.onSnapshot(message));
        break;
      case "update":
        this.#onUpdate(subscription, message);
        break;
      case "feed":
        subscription.feed = message;
        subscription.each((listener) => listener.onFeed?.(message));
        break;
      case "resync":
        subscription.tracker.reset();
        break;
    }
  }

  /**
   * @param {Subscription} subscription
   * @param {Update} message
   */
  #onUpdate(subscription, message) {
    const verdict = subscription.tracker.update(message);
    if (verdict === "apply") subscription.each((listener) => listener.onUpdate(message));
    else if (verdict === "gap") this.#send(subscription);
  }
}

/** Says in a dot and in words whether the prices on the page are live, and how old the newest one is. */

import { formatDuration } from "../state/format.js";
import { element } from "./element.js";

/**
 * @import {LinkStatus} from "../net/connection.js"
 * @import {FeedStatus as Feed} from "../net/protocol.js"
 * @typedef {"live" | "polling" | "stale" | "down" | "closed" | "offline" | "connecting" | "none"} ConnectionState
 *   `none`: there is nothing that could have a feed
 * @typedef {{state: ConnectionState, words?: string}} Fault
 */

const TICK_MS = 1_000;

/** @type {Record<ConnectionState, string>} */
const WORDS = {
  live: "Live",
  polling: "Polling",
  stale: "Stale",
  down: "Feed down",
  closed: "Market closed",
  offline: "Offline",
  connecting: "Connecting",
  none: "Nothing to show",
};

/** A feed without a venue: bars that were imported, and no more to come. */
const IMPORTED = "Imported history";

/** Whether nothing will ever come, and nothing is wrong. @param {Feed | null} feed */
export function isWithoutVenue(feed) {
  return feed?.state === "closed" && !feed.opens_at && Boolean(feed.detail);
}

/**
 * @param {LinkStatus} link
 * @param {Feed | null} feed of the stream that the page shows
 * @param {Fault | null} fault that kept the page from having a stream at all
 * @returns {ConnectionState}
 */
export function connectionState(link, feed, fault) {
  if (link.state === "waiting" || link.state === "refused") return "offline";
  if (fault) return fault.state;
  // A link that is closed has not been needed yet.
  if (link.state === "connecting" || link.state === "closed") return "connecting";
  return feed?.state ?? "connecting";
}

export class ConnectionStatus {
  #dot = element("span", { class: "dot", "aria-hidden": "true" });
  #words = element("span", { class: "status-words", role: "status", "aria-live": "polite" });
  #age = element("span", { class: "status-age muted" });
  #root = element("div", { class: "status", "data-state": "connecting" }, this.#dot, this.#words, this.#age);
  /** @type {LinkStatus} */
  #link = { state: "connecting", retryAt: null, code: null };
  /** @type {Feed | null} */
  #feed = null;
  /** @type {Fault | null} */
  #fault = null;
  #feedAt = 0;
  #heardAt = 0;
  #onState;
  #timer;

  /** @param {(state: ConnectionState) => void} onState */
  constructor(onState) {
    this.#onState = onState;
    this.#timer = setInterval(() => this.#showAge(), TICK_MS);
    this.#show();
  }

  get node() {
    return this.#root;
  }

  /** @returns {ConnectionState} */
  get state() {
    return connectionState(this.#link, this.#feed, this.#fault);
  }

  /** @param {LinkStatus} link */
  setLink(link) {
    this.#link = link;
    this.#show();
  }

  /** @param {Feed | null} feed null while another stream is being opened */
  setFeed(feed) {
    this.#feed = feed;
    this.#feedAt = Date.now();
    if (feed === null) this.#heardAt = 0;
    else if (typeof feed.age_ms === "number") this.#heardAt = Math.max(this.#heardAt, this.#feedAt - feed.age_ms);
    this.#show();
  }

  /** @param {Fault | null} fault what is wrong apart from the connection and the feed; null when it is over */
  setFault(fault) {
    this.#fault = fault;
    this.#show();
  }

  /** A price has just come. */
  touch() {
    this.#heardAt = Date.now();
    this.#showAge();
  }

  destroy() {
    clearInterval(this.#timer);
    this.#root.remove();
  }

  #show() {
    const state = this.state;
    this.#root.dataset.state = state;
    const words = this.#wordsFor(state);
    if (this.#words.textContent !== words) this.#words.textContent = words;
    this.#root.title = this.#feed?.detail ?? words;
    this.#showAge();
    this.#onState(state);
  }

  /** @param {ConnectionState} state */
  #wordsFor(state) {
    if (this.#link.state === "refused") return "Refused by the server";
    if (state === this.#fault?.state && this.#fault.words) return this.#fault.words;
    return state === "closed" && isWithoutVenue(this.#feed) ? IMPORTED : WORDS[state];
  }

  #showAge() {
    const text = this.#ageText();
    if (this.#age.textContent !== text) this.#age.textContent = text;
  }

  #ageText() {
    const { retryAt, state } = this.#link;
    if (this.state === "none") return "";
    if (state === "draining") return "the server restarts";
    if (retryAt !== null) return `trying again in ${formatDuration(Math.max(0, retryAt - Date.now()))}`;
    if (isWithoutVenue(this.#feed)) return "no live feed";
    if (this.#feed?.state === "closed" && this.#feed.opens_at) return `opens ${openingTime(this.#feed.opens_at)}`;
    return this.#heardAt === 0 ? "" : `${formatDuration(Date.now() - this.#heardAt)} ago`;
  }
}

/** @param {string | number} at */
function openingTime(at) {
  const options = /** @type {const} */ ({ weekday: "short", hour: "2-digit", minute: "2-digit" });
  return new Date(at).toLocaleString("en-GB", options);
}

/** Whether the prices in one part of a page can be trusted, and since when not. */

import { formatClock, localZone } from "../state/format.js";
import { isWithoutVenue } from "./connectionStatus.js";
import { element } from "./element.js";

/** @import {FeedStatus as Feed} from "../net/protocol.js" */

/** @type {Partial<Record<Feed["state"] | "offline", string>>} */
const UNTRUSTED = { stale: "stale", down: "down", offline: "offline" };

/**
 * Greys a part of the page while its own feed, or the way to the server, can't be trusted, and says since
 * when the numbers in it are what they are.
 */
export class Freshness {
  #part;
  #note = element("span", { class: "freshness" });
  /** @type {Feed | null} */
  #feed = null;
  #offline = false;
  #heardAt = 0;
  #zone = localZone();

  /** @param {HTMLElement} part what is greyed */
  constructor(part) {
    this.#part = part;
    this.#show();
  }

  /** The words, for a place near the numbers. */
  get node() {
    return this.#note;
  }

  /** Whether the numbers may be taken for those of now. */
  get isTrusted() {
    return this.#trouble === undefined;
  }

  /** @param {Feed | null} feed null while another one is being opened */
  setFeed(feed) {
    this.#feed = feed;
    if (feed === null) this.#heardAt = 0;
    else if (typeof feed.age_ms === "number") this.#heardAt = Math.max(this.#heardAt, Date.now() - feed.age_ms);
    this.#show();
  }

  /** @param {boolean} offline whether the server can't be reached */
  setOffline(offline) {
    this.#offline = offline;
    this.#show();
  }

  /** @param {string} zone in which times are said */
  setZone(zone) {
    this.#zone = zone;
    this.#show();
  }

  /** Something has just come from the market. */
  touch() {
    this.#heardAt = Date.now();
  }

  get #trouble() {
    if (this.#offline) return UNTRUSTED.offline;
    return this.#feed ? UNTRUSTED[this.#feed.state] : undefined;
  }

  #show() {
    this.#part.classList.toggle("is-stale", !this.isTrusted);
    this.#note.classList.toggle("is-trouble", !this.isTrusted);
    const words = this.#words();
    if (this.#note.textContent !== words) this.#note.textContent = words;
    this.#note.title = this.#feed?.detail ?? "";
  }

  #words() {
    const trouble = this.#trouble;
    if (trouble === undefined) return this.#feed?.state === "polling" ? "polling" : "";
    if (this.#heardAt === 0 || isWithoutVenue(this.#feed)) return trouble;
    return `${trouble} since ${formatClock(this.#heardAt, this.#zone)}`;
  }
}

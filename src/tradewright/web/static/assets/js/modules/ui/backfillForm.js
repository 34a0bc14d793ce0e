/** Asks for a range to fetch, and in which order. */

import { isEverything, namedRange } from "../state/backfills.js";
import { formatBarTime, localZone } from "../state/format.js";
import { fromFieldValue, toFieldValue } from "../state/timeAxis.js";
import { choices, choose } from "./choices.js";
import { element, replace } from "./element.js";
import { failure } from "./failure.js";

/**
 * @import {ApiError} from "../net/errors.js"
 * @import {RangeName} from "../state/backfills.js"
 * @import {TimeWindow} from "../state/coverage.js"
 * @import {Zone} from "../state/timeAxis.js"
 * @typedef {TimeWindow & {newest_first: boolean}} WantedRange
 */

/** @type {[RangeName, string][]} */
const RANGES = [
  ["month", "Last month"],
  ["year", "Last year"],
  ["all", "All since listing"],
  ["exact", "Exact dates"],
];

export class BackfillForm {
  #onStart;
  #start = element("input", { class: "field", type: "datetime-local", name: "start", onchange: () => this.#edited() });
  #end = element("input", { class: "field", type: "datetime-local", name: "end", onchange: () => this.#edited() });
  #zoneWords = element("span", { class: "hint" });
  #said = element("div", { role: "status" });
  #submit = element("button", { type: "submit", class: "button button-primary" }, "Fetch");
  #dates;
  #root;
  /** @type {RangeName} */
  #range = "month";
  /** To the millisecond, while the fields show what they can. @type {TimeWindow} */
  #exact = { start: 0, end: 0 };
  #newestFirst = true;
  /** @type {string | null} */
  #forbidden = null;
  /** @type {Zone} */
  #zone = "browser";
  #now;

  /**
   * @param {{onStart: (range: WantedRange) => Promise<void>, now: () => number}} settings `onStart` rejects with an ApiError
   */
  constructor({ onStart, now }) {
    this.#onStart = onStart;
    this.#now = now;
    this.#dates = element(
      "div",
      { class: "form-row" },
      element("label", { class: "form-field" }, element("span", {}, "From"), this.#start),
      element("label", { class: "form-field" }, element("span", {}, "To"), this.#end),
    );
    this.#root = element(
      "form",
      { class: "form", novalidate: true, onsubmit: (/** @type {Event} */ event) => this.#send(event) },
      choices({ label: "Range", name: "range", choices: RANGES, chosen: this.#range, onChoose: (name) => this.#pick(name) }),
      this.#dates,
      choices({
        label: "Order",
        name: "order",
        choices: [
          ["newest", "Newest first"],
          ["oldest", "Oldest first"],
        ],
        chosen: "newest",
        onChoose: (order) => (this.#newestFirst = order === "newest"),
      }),
      element("div", { class: "form-actions" }, this.#submit, this.#zoneWords),
      this.#said,
    );
    this.#pick("month");
  }

  get node() {
    return this.#root;
  }

  /** @param {Zone} zone in which times are written and read */
  setZone(zone) {
    this.#zone = zone;
    this.#showDates();
  }

  /** Takes over a range, and says so. @param {TimeWindow} range */
  fill(range) {
    if (this.#forbidden !== null) return;
    this.#range = "exact";
    this.#exact = { ...range };
    choose(this.#root, "range", "exact");
    this.#showDates();
    replace(this.#said, element("span", { class: "hint" }, `Taken from the strip: ${this.#time(range.start)} – ${this.#time(range.end)}.`));
    this.#submit.focus();
  }

  /** @param {string | null} why nothing can be fetched, in words or ""; null where something can */
  forbid(why) {
    this.#forbidden = why;
    this.#submit.disabled = why !== null;
    replace(this.#said, why && element("span", { class: "hint" }, why));
  }

  destroy() {
    this.#root.remove();
  }

  /** @param {RangeName} name */
  #pick(name) {
    this.#range = name;
    if (name !== "exact") this.#exact = namedRange(name, this.#now());
    else if (isEverything(this.#exact)) this.#exact = namedRange("month", this.#now());
    this.forbid(this.#forbidden);
    this.#showDates();
  }

  #showDates() {
    this.#dates.hidden = this.#range === "all";
    this.#start.value = toFieldValue(this.#exact.start, this.#zone);
    this.#end.value = toFieldValue(this.#exact.end, this.#zone);
    this.#markWrong([]);
    const words = this.#zone === "utc" ? "UTC" : (Intl.DateTimeFormat().resolvedOptions().timeZone || "your zone").replaceAll("_", " ");
    this.#zoneWords.textContent = this.#range === "all" ? "From the first bar that the provider has, to now." : `Times in ${words}. Only what is missing is fetched.`;
  }

  #edited() {
    this.#range = "exact";
    choose(this.#root, "range", "exact");
    const [start, end] = [this.#start, this.#end].map(({ value }) => fromFieldValue(value, this.#zone));
    this.#exact = { start: start ?? NaN, end: end ?? NaN };
  }

  /** @param {readonly string[]} names of fields */
  #markWrong(names) {
    for (const field of [this.#start, this.#end]) {
      if (names.includes(field.name)) field.setAttribute("aria-invalid", "true");
      else field.removeAttribute("aria-invalid");
    }
  }

  /** @param {Event} event */
  async #send(event) {
    event.preventDefault();
    // Named ranges count from now, not from when they were chosen.
    const range = this.#range === "exact" ? this.#exact : namedRange(this.#range, this.#now());
    const wrong = /** @type {const} */ (["start", "end"]).filter((name) => !Number.isFinite(range[name]));
    if (wrong.length === 0 && range.start >= range.end) wrong.push("start");
    this.#markWrong(wrong);
    if (wrong.length > 0) {
      const words = wrong[0] === "start" && Number.isFinite(range.start) ? "The range ends before it begins." : "A date is missing.";
      replace(this.#said, element("span", { class: "failure", role: "alert" }, words));
      (wrong[0] === "start" ? this.#start : this.#end).focus();
      return;
    }
    this.#submit.disabled = true;
    replace(this.#said);
    try {
      await this.#onStart({ ...range, newest_first: this.#newestFirst });
      replace(this.#said, element("span", { class: "hint" }, "Started. It goes on when you leave this page."));
    } catch (error) {
      const problem = /** @type {ApiError} */ (error);
      this.#markWrong(problem.fields);
      replace(this.#said, failure(problem));
    } finally {
      this.#submit.disabled = this.#forbidden !== null;
    }
  }

  /** @param {number} ms */
  #time(ms) {
    const zone = this.#zone === "utc" ? "UTC" : localZone();
    return formatBarTime(ms, zone, false);
  }
}

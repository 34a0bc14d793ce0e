/** The backfills of the server with how far they are; one that runs can be cancelled. */

import { isActive, isEverything, STATE_WORDS } from "../state/backfills.js";
import { formatAmount, formatBarTime } from "../state/format.js";
import { element, replace } from "./element.js";
import { failure } from "./failure.js";

/**
 * @import {ApiError} from "../net/errors.js"
 * @import {BackfillJob} from "../net/protocol.js"
 * @typedef {{onCancel: (id: string) => Promise<void>, onFocus: (backfill: BackfillJob) => void}} BackfillListHandlers
 */

/** One job's row, kept as long as the job is listed, so that a focus in it stays. */
class JobRow {
  #handlers;
  #state = element("span", { class: "state" });
  #bar = element("progress", { max: 1, value: 0 });
  #percent = element("output");
  #bars = element("td", { class: "number" });
  #actions = element("td");
  #what = element("th", { scope: "row" });
  #range = element("td", { class: "muted" });
  #error = element("td", { class: "job-error" });
  node;
  /** @type {BackfillJob | null} */
  #job = null;
  #asked = false;

  /** @param {BackfillListHandlers} handlers */
  constructor(handlers) {
    this.#handlers = handlers;
    this.node = element(
      "tr",
      {},
      this.#what,
      this.#range,
      element("td", {}, this.#state),
      element("td", {}, element("div", { class: "job-progress" }, this.#bar, this.#percent)),
      this.#bars,
      this.#error,
      this.#actions,
    );
  }

  /** @param {BackfillJob} job @param {string} zone */
  show(job, zone) {
    const before = this.#job;
    this.#job = job;
    const { symbol, provider, start, end, progress = 0, bars = 0, state = "queued", error, newest_first: newest } = job;
    this.node.dataset.id = job.id;
    this.node.dataset.state = state;
    replace(
      this.#what,
      element("button", { type: "button", class: "tool job-name", title: "Show this instrument", onclick: () => this.#handlers.onFocus(job) }, symbol),
      element("span", { class: "muted" }, provider),
    );
    const from = isEverything(job) ? "since listing" : formatBarTime(start, zone, false);
    this.#range.textContent = `${from} – ${formatBarTime(end, zone, false)}${newest ? "" : " · oldest first"}`;
    this.#state.dataset.state = state;
    this.#state.textContent = STATE_WORDS[state];
    this.#bar.value = progress;
    this.#bar.setAttribute("aria-label", `Progress of ${symbol}`);
    this.#percent.textContent = `${Math.floor(progress * 100)}%`;
    this.#bars.textContent = `${formatAmount(bars)} bars`;
    this.#error.textContent = error ?? "";
    if (!before || isActive(before) !== isActive(job)) this.#showActions(false);
  }

  /** @param {boolean} asking whether it is really meant */
  #showActions(asking) {
    const job = this.#job;
    this.#asked = asking;
    if (!job || !isActive(job)) {
      replace(this.#actions);
      return;
    }
    const button = (/** @type {string} */ words, /** @type {() => void} */ press) => element("button", { type: "button", class: "button", onclick: press }, words);
    if (!asking) {
      replace(this.#actions, button("Cancel", () => this.#showActions(true)));
      return;
    }
    const stop = button("Stop fetching", () => this.#cancel(job.id));
    const keep = button("Go on", () => {
      this.#showActions(false);
      this.#actions.querySelector("button")?.focus();
    });
    replace(this.#actions, element("div", { class: "job-confirm", role: "group", "aria-label": `Cancel the backfill of ${job.symbol}?` }, element("span", { class: "job-confirm-words" }, "What it has fetched is kept."), stop, keep));
    stop.focus();
  }

  /** @param {string} id */
  async #cancel(id) {
    try {
      await this.#handlers.onCancel(id);
      if (this.#asked) this.#showActions(false);
    } catch (error) {
      replace(this.#actions, failure(/** @type {ApiError} */ (error), () => this.#cancel(id)));
    }
  }
}

export class BackfillList {
  #handlers;
  /** @type {Map<string, JobRow>} */
  #rows = new Map();
  #body = element("tbody");
  #table;
  #empty = element("p", { class: "empty" }, "Nothing has been fetched by hand yet. Choose a range above and press Fetch.");
  #root = element("div", { class: "jobs" });

  /** @param {BackfillListHandlers} handlers */
  constructor(handlers) {
    this.#handlers = handlers;
    const head = ["Instrument", "Range", "State", "Progress", "Fetched", "", ""].map((name, at) =>
      element("th", { scope: "col", class: at === 4 ? "number" : "" }, name || element("span", { class: "visually-hidden" }, at === 5 ? "Error" : "Actions")),
    );
    this.#table = element("table", { class: "table" }, element("thead", {}, element("tr", {}, ...head)), this.#body);
  }

  get node() {
    return this.#root;
  }

  /** @param {readonly BackfillJob[]} jobs newest first @param {string} zone */
  show(jobs, zone) {
    if (jobs.length === 0) {
      this.#rows.clear();
      replace(this.#root, this.#empty);
      return;
    }
    const rows = jobs.map((job) => {
      const row = this.#rows.get(job.id) ?? new JobRow(this.#handlers);
      row.show(job, zone);
      return /** @type {[string, JobRow]} */ ([job.id, row]);
    });
    this.#rows = new Map(rows);
    const nodes = rows.map(([, row]) => row.node);
    // Rows that are where they were are left alone: a node that is moved loses the focus.
    if (nodes.length !== this.#body.children.length || nodes.some((node, at) => this.#body.children[at] !== node)) this.#body.replaceChildren(...nodes);
    if (this.#table.parentNode !== this.#root) replace(this.#root, this.#table);
  }

  destroy() {
    this.#root.remove();
  }
}

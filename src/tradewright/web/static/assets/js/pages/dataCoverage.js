/** The coverage of one instrument on the data page: its strip, the window that is looked at, and what may go wrong. */

import { asApiError } from "../modules/net/errors.js";
import { CoverageStrip } from "../modules/ui/coverageStrip.js";
import { element, find, replace } from "../modules/ui/element.js";
import { failure } from "../modules/ui/failure.js";

/**
 * @import {DataService, SymbolAddress} from "../modules/data/dataService.js"
 * @import {StripResponse} from "../modules/net/protocol.js"
 * @import {Run, TimeWindow} from "../modules/state/coverage.js"
 * @import {Zone} from "../modules/state/timeAxis.js"
 * @typedef {{onShown: (strip: StripResponse) => void, onPick: (run: Run) => void, onFetch: () => void}} CoverageHandlers
 *   `onFetch`: there is nothing yet, and something is wanted
 */

const PX_PER_PART = 2;
const PARTS_MIN = 60;
const PARTS_MAX = 2_000;

export class DataCoverage {
  #service;
  #handlers;
  #place = find("#coverage", HTMLElement);
  #strip;
  /** @type {SymbolAddress | null} */
  #address = null;
  /** The window that is asked for; null for everything. @type {TimeWindow | null} */
  #window = null;
  /** @type {TimeWindow | null} */
  #bounds = null;
  /** @type {StripResponse | null} */
  #shown = null;
  #asked = new AbortController();
  /** @type {Zone} */
  #zone;
  #simulated = false;

  /**
   * @param {DataService} service
   * @param {Zone} zone
   * @param {CoverageHandlers} handlers
   */
  constructor(service, zone, handlers) {
    this.#service = service;
    this.#zone = zone;
    this.#handlers = handlers;
    this.#strip = new CoverageStrip({
      onWindow: (wanted) => {
        this.#window = wanted;
        this.reload();
      },
      onPick: (run) => handlers.onPick(run),
    });
  }

  /** Shows another instrument. @param {SymbolAddress} address @param {boolean} simulated */
  open(address, simulated) {
    this.#address = address;
    this.#simulated = simulated;
    this.#window = this.#bounds = this.#shown = null;
    replace(this.#place, ...Array.from({ length: 3 }, () => element("p", { class: "skeleton", "aria-hidden": "true" })));
    this.reload();
  }

  /** @param {Zone} zone */
  setZone(zone) {
    this.#zone = zone;
    if (this.#shown && this.#bounds && this.#shown.items.length > 0) this.#strip.show(this.#shown, this.#bounds, zone);
  }

  /** Reads anew what is shown, without a sign of it and not while somebody draws a range. */
  refresh() {
    if (!this.#strip.isHeld) this.reload(false);
  }

  /** Reads what is wanted. @param {boolean} [visibly] */
  async reload(visibly = true) {
    const address = this.#address;
    if (!address) return;
    this.#asked.abort();
    const asked = (this.#asked = new AbortController());
    if (visibly) this.#strip.setBusy(true);
    const width = this.#place.clientWidth - 120;
    const buckets = Math.max(PARTS_MIN, Math.min(PARTS_MAX, Math.floor(width / PX_PER_PART)));
    try {
      const strip = await this.#service.coverageStrip({ ...address, ...this.#window, buckets }, asked.signal);
      if (!asked.signal.aborted) this.#show(strip);
    } catch (error) {
      if (asked.signal.aborted) return;
      this.#strip.setBusy(false);
      replace(this.#place, element("div", { class: "empty" }, failure(asApiError(error), () => this.reload())));
    }
  }

  destroy() {
    this.#asked.abort();
    this.#strip.destroy();
  }

  /** @param {StripResponse} strip */
  #show(strip) {
    this.#shown = strip;
    if (this.#window === null) this.#bounds = { start: strip.start, end: strip.end };
    if (strip.items.length === 0) replace(this.#place, this.#nothing());
    else {
      if (this.#strip.node.parentNode !== this.#place) replace(this.#place, this.#strip.node);
      this.#strip.show(strip, this.#bounds ?? strip, this.#zone);
    }
    this.#handlers.onShown(strip);
  }

  #nothing() {
    const words = this.#simulated
      ? "Nothing is stored of this instrument yet. The bars of the simulated exchange are made up by this server; what charts show of them is kept like those of any other provider."
      : "Nothing is stored of this instrument yet. What charts show is kept from then on; you can also fetch a range at once.";
    return element(
      "div",
      { class: "empty" },
      element("p", {}, words),
      element("button", { type: "button", class: "button", onclick: () => this.#handlers.onFetch() }, "Choose a range to fetch"),
    );
  }
}

/** The instruments of which anything is stored; one is chosen by its link. */

import { formatShare } from "../state/coverage.js";
import { dataUrl } from "../state/deepLink.js";
import { formatBarTime } from "../state/format.js";
import { element } from "./element.js";

/**
 * @import {SymbolAddress} from "../data/dataService.js"
 * @import {StoredItem} from "../net/protocol.js"
 */

const NONE = "–";

export class StoredTable {
  #onSelect;
  #body = element("tbody");
  #more;
  #root;
  /** @type {SymbolAddress | null} */
  #current = null;

  /** @param {{onSelect: (address: SymbolAddress) => void, onMore: () => void}} handlers */
  constructor({ onSelect, onMore }) {
    this.#onSelect = onSelect;
    this.#more = element("button", { type: "button", class: "button", hidden: true, onclick: onMore }, "Show more");
    const head = [["Symbol"], ["Provider"], ["From", "wide"], ["To", "wide"], ["Minutes known", "number"], ["Timeframes", "wide"]].map(([name, kind]) =>
      element("th", { scope: "col", class: kind ?? "" }, name),
    );
    this.#root = element(
      "div",
      { class: "stored" },
      element("table", { class: "table" }, element("thead", {}, element("tr", {}, ...head)), this.#body),
      this.#more,
    );
  }

  get node() {
    return this.#root;
  }

  /** @param {readonly StoredItem[]} items @param {boolean} more whether there are others @param {string} zone */
  show(items, more, zone) {
    const held = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.key : undefined;
    this.#body.replaceChildren(...items.map((item) => this.#row(item, zone)));
    this.#more.hidden = !more;
    this.mark(this.#current);
    const again = [...this.#body.querySelectorAll("a")].find((link) => held !== undefined && link.dataset.key === held);
    again?.focus();
  }

  /** Shows which one the page is about. @param {SymbolAddress | null} address */
  mark(address) {
    this.#current = address;
    const key = address && keyOf(address);
    for (const link of this.#body.querySelectorAll("a")) {
      const row = link.closest("tr");
      if (link.dataset.key === key) row?.setAttribute("aria-current", "true");
      else row?.removeAttribute("aria-current");
    }
  }

  destroy() {
    this.#root.remove();
  }

  /** @param {StoredItem} item @param {string} zone */
  #row(item, zone) {
    const { market, provider, symbol, timeframes, known_share: share } = item;
    const address = { market, provider, symbol };
    const firsts = timeframes.flatMap(({ first }) => first ?? []);
    const lasts = timeframes.flatMap(({ last }) => last ?? []);
    const time = (/** @type {number[]} */ values, /** @type {(...all: number[]) => number} */ pick) =>
      values.length === 0 ? NONE : formatBarTime(pick(...values), zone, false);
    const open = (/** @type {MouseEvent} */ event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.#onSelect(address);
    };
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, element("a", { href: dataUrl(address), "data-key": keyOf(address), onclick: open }, symbol)),
      element("td", {}, provider),
      element("td", { class: "wide" }, time(firsts, Math.min)),
      element("td", { class: "wide" }, time(lasts, Math.max)),
      element("td", { class: "number" }, share === null ? NONE : formatShare(share)),
      element("td", { class: "wide muted" }, timeframes.map(({ timeframe }) => timeframe).join(" ")),
    );
  }
}

/** @param {SymbolAddress} address */
function keyOf({ market, provider, symbol }) {
  return JSON.stringify([market, provider, symbol]);
}

/** All providers of all markets, searchable. */

import { element, replace } from "./element.js";
import { isSimulated } from "./sourcePickers.js";

/** @import {ProviderItem} from "../net/protocol.js" */

const FIRST_ROWS = 8;

/** What a capability is called on the page; the others are for programs. */
const CAPABILITIES = new Map([
  ["watch_ohlcv", "live bars"],
  ["watch_trades", "live trades"],
  ["watch_ticker", "live ticker"],
  ["watch_order_book", "live book"],
]);

export class ProviderTable {
  #providers;
  #body = element("tbody");
  #count = element("p", { class: "hint", role: "status" });
  #more = element("button", { type: "button", class: "button", onclick: () => this.#showAll() });
  #search;
  #root;
  #all = false;

  /** @param {readonly ProviderItem[]} providers */
  constructor(providers) {
    this.#providers = providers;
    this.#search = element("input", {
      class: "field",
      type: "search",
      placeholder: "Search providers",
      "aria-label": "Search providers",
      oninput: () => this.#render(),
    });
    const head = ["Provider", "Market", "Timeframes", "Streams"].map((name, index) =>
      element("th", { scope: "col", class: index > 1 ? "wide" : "" }, name),
    );
    this.#root = element(
      "div",
      { class: "providers" },
      element("div", { class: "providers-tools" }, this.#search, this.#count),
      element("table", { class: "table" }, element("thead", {}, element("tr", {}, ...head)), this.#body),
      this.#more,
    );
    this.#render();
  }

  get node() {
    return this.#root;
  }

  destroy() {
    this.#root.remove();
  }

  #showAll() {
    this.#all = true;
    this.#render();
  }

  #render() {
    const words = this.#search.value.trim().toLowerCase();
    const hits = this.#providers.filter(({ provider, name, market }) =>
      `${provider} ${name} ${market}`.toLowerCase().includes(words),
    );
    const shown = this.#all || words !== "" ? hits : hits.slice(0, FIRST_ROWS);
    replace(this.#body, ...shown.map(providerRow));
    this.#count.textContent = hits.length === 0 ? "No provider has this name." : `${hits.length} of ${this.#providers.length}`;
    this.#more.textContent = `Show all ${hits.length}`;
    this.#more.hidden = shown.length === hits.length;
  }
}

/** @param {ProviderItem} item */
function providerRow(item) {
  const { provider, name, market, timeframes, capabilities } = item;
  const href = `/chart?${new URLSearchParams({ market, provider })}`;
  const streams = capabilities.flatMap((one) => CAPABILITIES.get(one) ?? []);
  return element(
    "tr",
    {},
    element(
      "th",
      { scope: "row" },
      element("a", { href }, name),
      isSimulated(item) && element("span", { class: "tag tag-simulated" }, "Simulated"),
    ),
    element("td", {}, market),
    element("td", { class: "wide muted" }, timeframes.join(" ")),
    element("td", { class: "wide muted" }, streams.length > 0 ? streams.join(", ") : "polled"),
  );
}

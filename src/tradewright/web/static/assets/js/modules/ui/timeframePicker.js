/** Buttons for the favourite timeframes, and a panel with all of them and a field to type one. */

import { parseTimeframe, TIMEFRAMES } from "../state/timeframes.js";
import { element, icon, replace } from "./element.js";
import { Popover } from "./popover.js";

/** @import {Timeframe} from "../state/timeframes.js" */

export class TimeframePicker {
  #root = element("div", { class: "tool-group timeframes", role: "group", "aria-label": "Timeframe" });
  #popover;
  #onSelect;
  #onFavourites;
  /** @type {string[]} */
  #favourites;
  /** @type {Set<string>} */
  #supported = new Set(TIMEFRAMES.map((item) => item.id));
  #selected = "";
  #typed = "";

  /**
   * @param {string[]} favourites
   * @param {{onSelect: (id: string) => void, onFavourites: (ids: string[]) => void}} handlers
   */
  constructor(favourites, { onSelect, onFavourites }) {
    this.#favourites = favourites;
    this.#onSelect = onSelect;
    this.#onFavourites = onFavourites;
    this.#popover = new Popover({
      label: "All timeframes",
      face: [icon("chevron-down")],
      className: "tool-narrow",
      panel: () => this.#panel(),
    });
    this.#render();
  }

  get node() {
    return this.#root;
  }

  /** @param {string} id */
  show(id) {
    this.#selected = id;
    this.#render();
  }

  /** @param {readonly string[]} ids that the provider can serve; the others are disabled */
  setSupported(ids) {
    this.#supported = new Set(ids.length > 0 ? ids : TIMEFRAMES.map((item) => item.id));
    this.#render();
  }

  /** Opens the panel with the field holding what was typed already. @param {string} text */
  type(text) {
    this.#typed = text;
    this.#popover.open();
  }

  destroy() {
    this.#popover.destroy();
    this.#root.remove();
  }

  #render() {
    const shown = TIMEFRAMES.filter(({ id }) => this.#favourites.includes(id) || id === this.#selected);
    replace(this.#root, ...shown.map((item) => this.#button(item)), this.#popover.node);
  }

  /** @param {Timeframe} item */
  #button({ id, label }) {
    return element(
      "button",
      {
        type: "button",
        class: "tool tool-text",
        title: label,
        "data-timeframe": id,
        "aria-pressed": id === this.#selected ? "true" : "false",
        disabled: !this.#supported.has(id),
        onclick: () => this.#choose(id),
      },
      id,
    );
  }

  /** @param {string} id */
  #choose(id) {
    this.#popover.close();
    if (id !== this.#selected && this.#supported.has(id)) this.#onSelect(id);
  }

  #panel() {
    const note = element("p", { class: "hint", "aria-live": "polite" }, "Type a length, such as 5, 4h or 1d, and press Enter.");
    const field = element("input", {
      class: "field",
      type: "text",
      size: "6",
      "aria-label": "Timeframe",
      placeholder: "e.g. 15m",
      value: this.#typed,
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (event.key !== "Enter") return;
        const item = parseTimeframe(field.value);
        if (item && this.#supported.has(item.id)) this.#choose(item.id);
        else note.textContent = item ? `${item.label} is not served by this provider.` : "There is no such timeframe.";
      },
    });
    this.#typed = "";
    return [field, note, element("div", { class: "menu" }, ...TIMEFRAMES.map((item) => this.#row(item)))];
  }

  /** @param {Timeframe} item */
  #row({ id, label }) {
    const favourite = this.#favourites.includes(id);
    return element(
      "div",
      { class: "menu-row" },
      element(
        "button",
        {
          type: "button",
          class: "menu-item",
          disabled: !this.#supported.has(id),
          "aria-current": id === this.#selected ? "true" : null,
          onclick: () => this.#choose(id),
        },
        label,
      ),
      element(
        "button",
        {
          type: "button",
          class: "tool tool-narrow",
          "aria-pressed": favourite ? "true" : "false",
          "aria-label": `${label} in the toolbar`,
          onclick: () => this.#toggle(id),
        },
        icon(favourite ? "star-full" : "star"),
      ),
    );
  }

  /** @param {string} id */
  #toggle(id) {
    const others = this.#favourites.filter((one) => one !== id);
    this.#favourites = others.length < this.#favourites.length ? others : [...others, id];
    this.#onFavourites(this.#favourites);
    this.#render();
    this.#popover.refresh();
  }
}

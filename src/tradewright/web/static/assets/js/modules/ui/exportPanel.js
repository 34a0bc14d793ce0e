/** Links to stored bars as files. */

import { TIMEFRAMES } from "../state/timeframes.js";
import { choices } from "./choices.js";
import { element } from "./element.js";

/**
 * @import {TimeWindow} from "../state/coverage.js"
 * @typedef {{timeframe: string, start: number | null, end: number | null, format: "csv" | "parquet"}} ExportChoice
 */

export class ExportPanel {
  #urlOf;
  #timeframe;
  #csv = element("a", { class: "button", download: true }, "CSV");
  #parquet = element("a", { class: "button", download: true }, "Parquet");
  #note = element("p", { class: "hint" });
  #root;
  #onlyShown = false;
  /** @type {TimeWindow | null} */
  #shown = null;

  /** @param {(choice: ExportChoice) => string} urlOf the address of a file */
  constructor(urlOf) {
    this.#urlOf = urlOf;
    this.#timeframe = element(
      "select",
      { class: "select", name: "timeframe", onchange: () => this.#link() },
      ...TIMEFRAMES.map(({ id, label }) => element("option", { value: id }, `${id} · ${label}`)),
    );
    this.#root = element(
      "div",
      { class: "form" },
      element("label", { class: "form-field" }, element("span", {}, "Timeframe"), this.#timeframe),
      choices({
        label: "Range",
        name: "export-range",
        choices: [
          ["all", "Everything stored"],
          ["shown", "As shown above"],
        ],
        chosen: "all",
        onChoose: (range) => {
          this.#onlyShown = range === "shown";
          this.#link();
        },
      }),
      element("div", { class: "form-actions" }, this.#csv, this.#parquet),
      this.#note,
    );
  }

  get node() {
    return this.#root;
  }

  /** @param {TimeWindow | null} shown what the strip shows; null where nothing is stored */
  show(shown) {
    this.#shown = shown;
    this.#note.textContent = shown
      ? "Whole, final bars from the store; nothing is fetched for it. “tradewright import” takes the file back."
      : "Nothing is stored that could be exported.";
    this.#link();
  }

  destroy() {
    this.#root.remove();
  }

  #link() {
    const range = this.#onlyShown && this.#shown ? this.#shown : { start: null, end: null };
    for (const [link, format] of /** @type {const} */ ([[this.#csv, "csv"], [this.#parquet, "parquet"]])) {
      link.classList.toggle("is-disabled", !this.#shown);
      if (!this.#shown) {
        link.removeAttribute("href");
        link.setAttribute("aria-disabled", "true");
        continue;
      }
      link.removeAttribute("aria-disabled");
      link.href = this.#urlOf({ timeframe: this.#timeframe.value, start: range.start, end: range.end, format });
    }
  }
}

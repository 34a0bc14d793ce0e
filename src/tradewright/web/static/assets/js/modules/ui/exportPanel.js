/** Links to stored bars as files. */

import { asApiError } from "../net/errors.js";
import { TIMEFRAMES } from "../state/timeframes.js";
import { choices } from "./choices.js";
import { element } from "./element.js";

/**
 * @import {FileSaver} from "../data/fileSaver.js"
 * @import {TimeWindow} from "../state/coverage.js"
 * @typedef {{timeframe: string, start: number | null, end: number | null, format: "csv" | "parquet"}} ExportChoice
 */

export class ExportPanel {
  #urlOf;
  #saver;
  #timeframe;
  #csv = element("a", { class: "button", download: true, onclick: (event) => this.#onClick(event) }, "CSV");
  #parquet = element("a", { class: "button", download: true, onclick: (event) => this.#onClick(event) }, "Parquet");
  #note = element("p", { class: "hint", role: "status" });
  #saving = false;
  #root;
  #onlyShown = false;
  /** @type {TimeWindow | null} */
  #shown = null;

  /**
   * @param {(choice: ExportChoice) => string} urlOf the address of a file
   * @param {FileSaver} saver
   */
  constructor(urlOf, saver) {
    this.#urlOf = urlOf;
    this.#saver = saver;
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
    if (!this.#saving) this.#explain();
    this.#link();
  }

  destroy() {
    this.#root.remove();
  }

  #explain() {
    this.#note.textContent = this.#shown
      ? "Whole, final bars from the store; nothing is fetched for it. “tradewright import” takes the file back."
      : "Nothing is stored that could be exported.";
  }

  /** @param {MouseEvent & {currentTarget: HTMLAnchorElement}} event */
  #onClick(event) {
    if (!this.#saver.needed || !event.currentTarget.hasAttribute("href")) return;
    event.preventDefault();
    if (!this.#saving) this.#save(event.currentTarget.href);
  }

  /** @param {string} url */
  async #save(url) {
    this.#saving = true;
    this.#note.textContent = "The file is being fetched…";
    try {
      const { pathname, search } = new URL(url);
      await this.#saver.save(pathname + search, (bytes) => {
        this.#note.textContent = `The file is being fetched: ${Math.floor(bytes / 1e6)} MB…`;
      });
      this.#explain();
    } catch (error) {
      this.#note.textContent = asApiError(error).message;
    } finally {
      this.#saving = false;
    }
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

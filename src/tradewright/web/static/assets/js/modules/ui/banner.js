/** The strip over the chart that says what could not be had, and offers to try again. */

import { isTransientCode } from "../net/errors.js";
import { element, icon, replace } from "./element.js";

/** @typedef {{code: string, detail: string}} BannerProblem */

export class Banner {
  #root;
  #text = element("div", { class: "banner-text" });
  #shown = "";
  #retry;

  /** @param {() => void} onRetry */
  constructor(onRetry) {
    this.#retry = element("button", { type: "button", class: "button", "data-role": "retry", onclick: onRetry }, icon("retry"), "Retry");
    this.#root = element("div", { class: "banner", role: "alert", hidden: true }, icon("warning"), this.#text, this.#retry);
  }

  get node() {
    return this.#root;
  }

  /**
   * @param {readonly BannerProblem[]} problems none hides it
   * @param {string} consequence what is on the page all the same
   */
  show(problems, consequence) {
    const details = [...new Set(problems.map(({ detail }) => detail))];
    // What can't succeed as it was asked is not offered again.
    this.#retry.hidden = !problems.some(({ code }) => isTransientCode(code));
    const key = JSON.stringify([details, consequence]);
    if (key === this.#shown) return;
    this.#shown = key;
    this.#root.hidden = details.length === 0;
    this.#root.dataset.codes = problems.map(({ code }) => code).join(" ");
    this.#text.title = details.join(" ");
    replace(this.#text, element("strong", {}, details.join(" ")), " ", element("span", {}, details.length > 0 ? consequence : ""));
  }

  destroy() {
    this.#root.remove();
  }
}

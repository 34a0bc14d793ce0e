/** The strip over the chart that says what is shown otherwise than asked for, until it is put away. */

import { element, icon } from "./element.js";

export class Notice {
  #text = element("div", { class: "notice-text" });
  #root;

  constructor() {
    const close = element(
      "button",
      { type: "button", class: "tool tool-narrow", title: "Close", "aria-label": "Close this notice", onclick: () => this.show("") },
      icon("close"),
    );
    this.#root = element("div", { class: "notice", role: "status", hidden: true }, this.#text, close);
  }

  get node() {
    return this.#root;
  }

  /** @param {string} words none hides it */
  show(words) {
    this.#root.hidden = words === "";
    this.#text.textContent = words;
  }

  destroy() {
    this.#root.remove();
  }
}

/** A small menu of which one entry is chosen, as a popover. */

import { element, icon } from "./element.js";
import { Popover } from "./popover.js";

/**
 * @template {string} T
 * @typedef {{value: T, label: string, icon?: string}} Choice
 */

/** @template {string} T */
export class ChoiceMenu {
  #choices;
  #selected;
  #onSelect;
  #face = element("span", { class: "tool-face" });
  #popover;

  /**
   * @param {{label: string, choices: Choice<T>[], selected: T, onSelect: (value: T) => void}} settings
   */
  constructor({ label, choices, selected, onSelect }) {
    this.#choices = choices;
    this.#selected = selected;
    this.#onSelect = onSelect;
    this.#popover = new Popover({ label, face: [this.#face], panel: () => [this.#menu()] });
    this.#showFace();
  }

  get node() {
    return this.#popover.node;
  }

  destroy() {
    this.#popover.destroy();
  }

  #showFace() {
    const chosen = this.#choices.find(({ value }) => value === this.#selected);
    this.#face.replaceChildren(chosen?.icon ? icon(chosen.icon) : (chosen?.label ?? ""));
  }

  #menu() {
    return element("div", { class: "menu" }, ...this.#choices.map((choice) => this.#item(choice)));
  }

  /** @param {Choice<T>} choice */
  #item({ value, label, icon: drawing }) {
    return element(
      "button",
      {
        type: "button",
        class: "menu-item",
        "data-value": value,
        "aria-current": value === this.#selected ? "true" : null,
        onclick: () => {
          this.#selected = value;
          this.#showFace();
          this.#popover.close();
          this.#onSelect(value);
        },
      },
      drawing && icon(drawing),
      label,
    );
  }
}

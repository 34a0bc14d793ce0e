/** The panel that adds, hides, removes and sets indicators. It knows names and numbers, not the chart. */

import { element, icon } from "./element.js";
import { Popover } from "./popover.js";

/**
 * @import {IndicatorChoice} from "../state/preferences.js"
 * @typedef {{name: string, title: string, overlay: boolean, params: number[]}} IndicatorEntry
 */

const CHOSEN_MAX = 12;
const PARAMETER_MAX = 1_000;

export class IndicatorPicker {
  #catalogue;
  #onChange;
  /** @type {IndicatorChoice[]} */
  #chosen;
  #search = "";
  #popover;

  /**
   * @param {readonly IndicatorEntry[]} catalogue
   * @param {IndicatorChoice[]} chosen
   * @param {(chosen: IndicatorChoice[]) => void} onChange
   */
  constructor(catalogue, chosen, onChange) {
    this.#catalogue = catalogue;
    this.#chosen = chosen;
    this.#onChange = onChange;
    this.#popover = new Popover({
      label: "Indicators",
      face: [icon("indicator"), element("span", { class: "tool-word" }, "Indicators")],
      wide: true,
      panel: () => this.#panel(),
      onClose: () => (this.#search = ""),
    });
  }

  get node() {
    return this.#popover.node;
  }

  destroy() {
    this.#popover.destroy();
  }

  /** @param {IndicatorChoice[]} chosen */
  #set(chosen) {
    this.#chosen = chosen;
    this.#onChange(chosen);
    this.#popover.refresh();
  }

  #panel() {
    const list = element("div", { class: "menu menu-scroll" });
    const fill = () => {
      const wanted = this.#search.toLowerCase();
      const hits = this.#catalogue.filter(({ name, title }) => `${name} ${title}`.toLowerCase().includes(wanted));
      list.replaceChildren(...hits.map((entry) => this.#catalogueRow(entry)));
      if (hits.length === 0) list.append(element("p", { class: "hint" }, "No indicator has this name."));
    };
    const search = element("input", {
      class: "field",
      type: "search",
      placeholder: "Search indicators",
      "aria-label": "Search indicators",
      value: this.#search,
      oninput: () => {
        this.#search = search.value;
        fill();
      },
    });
    fill();
    const active = this.#chosen.map((choice) => this.#chosenRow(choice));
    return [
      search,
      active.length > 0 && element("div", { class: "menu menu-chosen", "data-role": "chosen" }, ...active),
      list,
    ];
  }

  /** @param {IndicatorEntry} entry */
  #catalogueRow({ name, title, overlay, params }) {
    const present = this.#chosen.some((one) => one.name === name);
    return element(
      "button",
      {
        type: "button",
        class: "menu-item menu-split",
        "data-indicator": name,
        disabled: present || this.#chosen.length >= CHOSEN_MAX,
        onclick: () => this.#set([...this.#chosen, { name, params, visible: true }]),
      },
      element("span", {}, element("b", { class: "code" }, name), " ", title),
      element("span", { class: "muted" }, overlay ? "on price" : "own pane"),
    );
  }

  /** @param {IndicatorChoice} choice */
  #chosenRow(choice) {
    const { name, params, visible } = choice;
    const change = (/** @type {Partial<IndicatorChoice>} */ changes) =>
      this.#set(this.#chosen.map((one) => (one.name === name ? { ...one, ...changes } : one)));
    return element(
      "div",
      { class: `menu-row ${visible ? "" : "is-hidden"}`, "data-chosen": name },
      element("b", { class: "code" }, name),
      element("span", { class: "params" }, ...params.map((value, index) => parameterField(name, params, value, index, change))),
      iconButton(visible ? "eye" : "eye-off", `${visible ? "Hide" : "Show"} ${name}`, () => change({ visible: !visible })),
      iconButton("close", `Remove ${name}`, () => this.#set(this.#chosen.filter((one) => one.name !== name))),
    );
  }
}

/**
 * @param {string} name
 * @param {number[]} params
 * @param {number} value
 * @param {number} index
 * @param {(changes: Partial<IndicatorChoice>) => void} change
 */
function parameterField(name, params, value, index, change) {
  const field = element("input", {
    class: "field field-small",
    type: "number",
    min: "1",
    max: PARAMETER_MAX,
    step: "1",
    value,
    "aria-label": `${name}, parameter ${index + 1}`,
    onchange: () => {
      const wanted = Number(field.value);
      const sound = Number.isInteger(wanted) && wanted >= 1 && wanted <= PARAMETER_MAX;
      if (sound) change({ params: params.map((one, at) => (at === index ? wanted : one)) });
      else field.value = String(value);
    },
  });
  return field;
}

/** @param {string} drawing @param {string} label @param {() => void} onclick */
function iconButton(drawing, label, onclick) {
  return element("button", { type: "button", class: "tool tool-narrow", title: label, "aria-label": label, onclick }, icon(drawing));
}

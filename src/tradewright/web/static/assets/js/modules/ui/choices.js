/** A few alternatives side by side, of which one is chosen: radio buttons that look like buttons. */

import { element } from "./element.js";

/**
 * @template {string} T
 * @param {{label: string, name: string, choices: [T, string][], chosen: T, onChoose: (value: T) => void}} settings
 */
export function choices({ label, name, choices: entries, chosen, onChoose }) {
  const options = entries.map(([value, words]) =>
    element(
      "label",
      { class: "choice" },
      element("input", { type: "radio", name, value, checked: value === chosen, onchange: () => onChoose(value) }),
      element("span", {}, words),
    ),
  );
  return element("fieldset", {}, element("legend", {}, label), element("div", { class: "choices" }, ...options));
}

/** @param {ParentNode} root @param {string} name @param {string} value */
export function choose(root, name, value) {
  for (const input of root.querySelectorAll("input")) {
    if (input.type === "radio" && input.name === name) input.checked = input.value === value;
  }
}

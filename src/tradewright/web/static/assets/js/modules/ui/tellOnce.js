/** A secret that is told this once: shown, copied, and gone with the page. */

import { element, icon } from "./element.js";

/**
 * @param {string} title
 * @param {string} words what it is good for, and that it is not shown again
 * @param {readonly string[]} secrets
 * @param {() => void} onDone told when it was put away
 */
export function tellOnce(title, words, secrets, onDone) {
  const said = element("span", { class: "hint", role: "status" });
  const copy = async () => {
    const copied = await copyText(secrets.join("\n"));
    said.textContent = copied ? "Copied." : "The browser did not allow it: select and copy by hand.";
  };
  return element(
    "div",
    { class: "told", role: "group", "aria-label": title, tabindex: -1 },
    element("strong", {}, title),
    element("p", {}, words),
    element("div", { class: secrets.length > 1 ? "codes" : "" }, ...secrets.map((secret) => element("span", { class: "code" }, secret))),
    element(
      "div",
      { class: "told-row" },
      element("button", { type: "button", class: "button", onclick: copy }, icon("copy"), "Copy"),
      element("button", { type: "button", class: "button", onclick: onDone }, "I have kept it"),
      said,
    ),
  );
}

/** @param {string} text @returns {Promise<boolean>} whether it could be done */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

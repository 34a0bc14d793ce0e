/** The button that goes through system, light and dark, and remembers. */

import { readTheme, saveTheme, showTheme, watchChoices } from "../state/preferences.js";
import { find, icon } from "./element.js";

/** @import {ThemeChoice} from "../state/preferences.js" */

/** @type {Record<ThemeChoice, {next: ThemeChoice, icon: string, label: string}>} */
const STEPS = {
  system: { next: "light", icon: "theme-system", label: "Theme: as the system" },
  light: { next: "dark", icon: "theme-light", label: "Theme: light" },
  dark: { next: "system", icon: "theme-dark", label: "Theme: dark" },
};

export class ThemeToggle {
  #button;
  #listening = new AbortController();

  /** @param {() => void} onChange told when the colours of the page have changed */
  constructor(onChange) {
    this.#button = find("#theme-toggle", HTMLButtonElement);
    const { signal } = this.#listening;
    this.#button.addEventListener("click", () => this.#choose(STEPS[readTheme()].next), { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => onChange(), { signal });
    const stop = watchChoices(({ theme }) => {
      if (theme === undefined) return;
      this.#show(theme);
      onChange();
    });
    signal.addEventListener("abort", stop);
    this.#show(readTheme());
  }

  destroy() {
    this.#listening.abort();
  }

  /** @param {ThemeChoice} choice */
  #choose(choice) {
    showTheme(choice);
    saveTheme(choice);
  }

  /** @param {ThemeChoice} choice */
  #show(choice) {
    const { icon: drawing, label } = STEPS[choice];
    this.#button.replaceChildren(icon(drawing));
    this.#button.setAttribute("aria-label", label);
    this.#button.title = label;
  }
}

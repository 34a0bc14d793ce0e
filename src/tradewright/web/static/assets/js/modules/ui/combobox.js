/** A searchable choice, after the ARIA combobox pattern with a listbox: the list is loaded, paged and cancelled. */

import { element, replace } from "./element.js";

/**
 * @typedef {{value: string, label: string, detail?: string, tag?: string}} Option
 * @typedef {{options: Option[], cursor?: string | null | undefined}} OptionPage
 * @typedef {{
 *   id: string,
 *   label: string,
 *   placeholder: string,
 *   load: (search: string, cursor: string | null, signal: AbortSignal) => Promise<OptionPage>,
 *   onSelect: (option: Option) => void,
 *   debounceMs?: number,
 * }} ComboboxSettings
 */

const OPTIONS_MAX = 1_000;
const NEAR_END_PX = 120;

export class Combobox {
  #settings;
  #input;
  #list;
  #root;
  /** @type {Option[]} */
  #options = [];
  /** @type {string | null} */
  #cursor = null;
  #active = -1;
  #chosen = /** @type {Option | null} */ (null);
  #timer = 0;
  /** Whether the list still belongs to what was typed before. */
  #pending = false;
  /** Enter was pressed while the list was pending: the first hit is meant. */
  #chooseFirst = false;
  #loading = new AbortController();

  /** @param {ComboboxSettings} settings */
  constructor(settings) {
    this.#settings = settings;
    const listId = `${settings.id}-list`;
    this.#input = element("input", {
      id: settings.id,
      class: "combobox-input",
      type: "text",
      role: "combobox",
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      placeholder: settings.placeholder,
      "aria-label": settings.label,
      "aria-expanded": "false",
      "aria-controls": listId,
      "aria-autocomplete": "list",
      onfocus: () => this.#input.select(),
      onclick: () => this.#open(),
      oninput: () => this.#search(settings.debounceMs ?? 0),
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#onKey(event),
      onblur: () => this.close(),
    });
    this.#list = element("ul", {
      id: listId,
      class: "combobox-list",
      role: "listbox",
      "aria-label": settings.label,
      hidden: true,
      // The field keeps the focus while the list is used with a pointer.
      onpointerdown: (/** @type {Event} */ event) => event.preventDefault(),
      onclick: (/** @type {Event} */ event) => this.#onClick(event),
      onscroll: () => this.#onScroll(),
    });
    this.#root = element("div", { class: "combobox" }, this.#input, this.#list);
  }

  get node() {
    return this.#root;
  }

  /** Shows a choice without telling anybody. @param {Option | null} option */
  show(option) {
    this.#chosen = option;
    this.#input.value = option?.label ?? "";
  }

  focus() {
    this.#input.focus();
    this.#open();
  }

  close() {
    this.#stopLoading();
    this.#list.hidden = true;
    this.#active = -1;
    this.#input.setAttribute("aria-expanded", "false");
    this.#input.removeAttribute("aria-activedescendant");
    this.#input.value = this.#chosen?.label ?? "";
  }

  destroy() {
    this.#stopLoading();
    this.#root.remove();
  }

  get #isOpen() {
    return !this.#list.hidden;
  }

  #open() {
    if (this.#isOpen) return;
    this.#input.select();
    this.#load("", null);
  }

  /** @param {number} delayMs */
  #search(delayMs) {
    this.#stopLoading();
    this.#pending = true;
    this.#timer = setTimeout(() => this.#load(this.#input.value.trim(), null), delayMs);
  }

  #stopLoading() {
    clearTimeout(this.#timer);
    this.#loading.abort();
    this.#pending = false;
    this.#chooseFirst = false;
  }

  /**
   * @param {string} search
   * @param {string | null} cursor
   */
  async #load(search, cursor) {
    const chooseFirst = this.#chooseFirst;
    this.#stopLoading();
    this.#pending = true;
    this.#chooseFirst = chooseFirst;
    const loading = (this.#loading = new AbortController());
    if (!this.#isOpen) this.#say("Loading…");
    try {
      const page = await this.#settings.load(search, cursor, loading.signal);
      if (loading.signal.aborted) return;
      this.#options = [...(cursor === null ? [] : this.#options), ...page.options].slice(0, OPTIONS_MAX);
      this.#cursor = this.#options.length < OPTIONS_MAX ? (page.cursor ?? null) : null;
      this.#pending = false;
      this.#render(cursor === null);
      if (this.#chooseFirst) this.#choose(this.#options[0]);
      this.#chooseFirst = false;
    } catch (error) {
      if (loading.signal.aborted) return;
      this.#pending = false;
      this.#say(error instanceof Error ? error.message : "The list could not be loaded.");
    }
  }

  /** @param {string} text */
  #say(text) {
    this.#options = [];
    this.#cursor = null;
    this.#active = -1;
    replace(this.#list, element("li", { class: "combobox-note", role: "presentation" }, text));
    this.#reveal();
  }

  #reveal() {
    this.#list.hidden = false;
    this.#input.setAttribute("aria-expanded", "true");
  }

  /** @param {boolean} fresh */
  #render(fresh) {
    if (this.#options.length === 0) {
      this.#say("Nothing found.");
      return;
    }
    replace(this.#list, ...this.#options.map((option, index) => this.#renderOption(option, index)));
    this.#reveal();
    if (!fresh) return;
    const chosen = this.#options.findIndex((option) => option.value === this.#chosen?.value);
    this.#activate(this.#input.value.trim() === this.#chosen?.label && chosen >= 0 ? chosen : 0);
  }

  /**
   * @param {Option} option
   * @param {number} index
   */
  #renderOption({ value, label, detail, tag }, index) {
    return element(
      "li",
      {
        id: `${this.#settings.id}-${index}`,
        class: "combobox-option",
        role: "option",
        "data-index": index,
        "aria-selected": value === this.#chosen?.value ? "true" : "false",
      },
      element("span", { class: "combobox-label" }, label),
      tag && element("span", { class: "tag" }, tag),
      detail && element("span", { class: "combobox-detail" }, detail),
    );
  }

  /** @param {number} index */
  #activate(index) {
    this.#list.querySelector(".is-active")?.classList.remove("is-active");
    const node = this.#list.children[index];
    if (!node) return;
    this.#active = index;
    node.classList.add("is-active");
    node.scrollIntoView({ block: "nearest" });
    this.#input.setAttribute("aria-activedescendant", node.id);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      if (!this.#isOpen) this.#open();
      else this.#activate(Math.max(0, Math.min(this.#options.length - 1, this.#active + step)));
    } else if (event.key === "Enter" && this.#isOpen) {
      event.preventDefault();
      if (this.#pending) this.#chooseFirst = true;
      else this.#choose(this.#options[this.#active]);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      if (this.#isOpen) this.close();
      else this.#input.blur();
    }
  }

  /** @param {Event} event */
  #onClick(event) {
    const node = event.target instanceof Element ? event.target.closest("[data-index]") : null;
    if (node) this.#choose(this.#options[Number(node.getAttribute("data-index"))]);
  }

  #onScroll() {
    const { scrollTop, clientHeight, scrollHeight } = this.#list;
    if (this.#cursor === null || scrollTop + clientHeight < scrollHeight - NEAR_END_PX) return;
    const cursor = this.#cursor;
    this.#cursor = null;
    const search = this.#input.value === this.#chosen?.label ? "" : this.#input.value.trim();
    this.#load(search, cursor);
  }

  /** @param {Option | undefined} option */
  #choose(option) {
    if (!option) return;
    this.show(option);
    this.close();
    this.#input.blur();
    this.#settings.onSelect(option);
  }
}

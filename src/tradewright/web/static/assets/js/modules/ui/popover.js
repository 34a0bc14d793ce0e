/** A panel under a button: opens on press, closes on Escape, on a press elsewhere and on leaving it. */

import { element } from "./element.js";

/**
 * @import {Child} from "./element.js"
 * @typedef {{label: string, face: Child[], panel: () => Child[], wide?: boolean, className?: string, onClose?: () => void}} PopoverSettings
 */

/** Air between a panel and the edge of the screen. */
const MARGIN_PX = 8;

export class Popover {
  #button;
  #panel;
  #root;
  #settings;
  #listening = new AbortController();

  /** @param {PopoverSettings} settings `panel` builds the content at each opening */
  constructor(settings) {
    this.#settings = settings;
    this.#button = element(
      "button",
      {
        type: "button",
        class: `tool ${settings.className ?? ""}`,
        title: settings.label,
        "aria-label": settings.label,
        "aria-haspopup": "dialog",
        "aria-expanded": "false",
        onclick: () => (this.isOpen ? this.close() : this.open()),
      },
      ...settings.face,
    );
    this.#panel = element("div", { class: `popover ${settings.wide ? "is-wide" : ""}`, role: "dialog", "aria-label": settings.label, hidden: true });
    this.#root = element("div", { class: "popover-root" }, this.#button, this.#panel);
    this.#root.addEventListener("keydown", (event) => this.#onKey(event));
    const { signal } = this.#listening;
    document.addEventListener("pointerdown", (event) => this.#onPointer(event), { signal });
    globalThis.addEventListener("resize", () => this.isOpen && this.#keepOnScreen(), { signal });
  }

  get node() {
    return this.#root;
  }

  get button() {
    return this.#button;
  }

  get isOpen() {
    return !this.#panel.hidden;
  }

  open() {
    this.refresh();
    this.#panel.hidden = false;
    this.#button.setAttribute("aria-expanded", "true");
    this.#keepOnScreen();
    const first = this.#panel.querySelector("input, button");
    if (first instanceof HTMLElement) first.focus();
    // What was typed before the panel opened stands in the field: go on after it.
    if (first instanceof HTMLInputElement && first.type === "text") first.setSelectionRange(first.value.length, first.value.length);
  }

  /** Builds the content again while the panel is open. */
  refresh() {
    this.#panel.replaceChildren();
    for (const child of this.#settings.panel()) if (child) this.#panel.append(child instanceof Node ? child : String(child));
  }

  close() {
    if (!this.isOpen) return;
    const hadFocus = this.#panel.contains(document.activeElement);
    this.#panel.hidden = true;
    this.#button.setAttribute("aria-expanded", "false");
    if (hadFocus) this.#button.focus();
    this.#settings.onClose?.();
  }

  destroy() {
    this.#listening.abort();
    this.#root.remove();
  }

  /** Moves the panel along, from under the button's left edge, as far as it takes to be seen whole. */
  #keepOnScreen() {
    this.#panel.style.left = "0px";
    const { left, width } = this.#panel.getBoundingClientRect();
    const rightmost = document.documentElement.clientWidth - MARGIN_PX - width;
    const wanted = Math.max(MARGIN_PX, Math.min(left, rightmost));
    this.#panel.style.left = `${wanted - left}px`;
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.key !== "Escape" || !this.isOpen) return;
    event.stopPropagation();
    this.close();
  }

  /** @param {PointerEvent} event */
  #onPointer(event) {
    if (this.isOpen && event.target instanceof Node && !this.#root.contains(event.target)) this.close();
  }
}

/** A form with labelled fields: it says what is wrong beside the field, and waits where the server says so. */

import { asApiError } from "../net/errors.js";
import { element, icon, replace } from "./element.js";

/**
 * @import {ApiError} from "../net/errors.js"
 * @import {Child} from "./element.js"
 * @typedef {{
 *   name: string, label: string, type?: "text" | "email" | "password" | "number" | "checkbox" | "select" | "secret",
 *   value?: string, checked?: boolean, autocomplete?: string, inputmode?: string, hint?: string, required?: boolean,
 *   minlength?: number, maxlength?: number, min?: number, max?: number, readonly?: boolean,
 *   options?: [string, string][],
 * }} Field `secret` is hidden like a password, but no password manager offers to keep it
 * @typedef {Record<string, string>} Values a ticked box is "on", others are left out
 * @typedef {{
 *   label: string, fields: Field[], submit: string, onSubmit: (values: Values) => Promise<string | void>,
 *   before?: Child[], after?: Child[], danger?: boolean, words?: Record<string, string>,
 * }} FormSettings `onSubmit` may answer what to say when all went well, and rejects with an ApiError;
 *   `words`: what to say for a code of an error instead of the server's sentence
 */

let made = 0;

export class FieldForm {
  #settings;
  #id = `form${++made}`;
  #root;
  #submit;
  #said = element("div", { class: "form-said", role: "status" });
  /** @type {Map<string, {input: HTMLInputElement | HTMLSelectElement, error: HTMLElement, field: Field}>} */
  #fields = new Map();
  #countdown = 0;
  #busy = false;

  /** @param {FormSettings} settings */
  constructor(settings) {
    this.#settings = settings;
    const kind = settings.danger ? "button-danger" : "button-primary";
    this.#submit = element("button", { type: "submit", class: `button ${kind}` }, settings.submit);
    this.#root = element(
      "form",
      { class: "form", novalidate: true, "aria-label": settings.label, onsubmit: (/** @type {Event} */ event) => this.#send(event) },
      ...(settings.before ?? []),
      ...settings.fields.map((field) => this.#make(field)),
      element("div", { class: "form-actions" }, this.#submit, ...(settings.after ?? [])),
      this.#said,
    );
  }

  get node() {
    return this.#root;
  }

  /** @returns {Values} */
  get values() {
    /** @type {Values} */
    const values = {};
    for (const [name, { input }] of this.#fields) {
      if (input instanceof HTMLInputElement && input.type === "checkbox") {
        if (input.checked) values[name] = "on";
      } else {
        values[name] = input.value;
      }
    }
    return values;
  }

  /** @param {string} name @param {string} value */
  set(name, value) {
    const input = this.#fields.get(name)?.input;
    if (input) input.value = value;
  }

  /** Empties every field, as after a password was taken. */
  clear() {
    this.#root.reset();
  }

  /** @param {string} [name] else the first field */
  focus(name) {
    const entry = name === undefined ? [...this.#fields.values()][0] : this.#fields.get(name);
    entry?.input.focus();
  }

  /** @param {ApiError} error is shown where it belongs */
  fail(error) {
    const reasons = Object.entries(error.reasons).filter(([name]) => this.#fields.has(name));
    for (const [name, reason] of reasons) this.#blame(name, sentence(reason));
    const elsewhere = Object.entries(error.reasons).filter(([name]) => !this.#fields.has(name));
    if (reasons.length === 0 || elsewhere.length > 0) {
      const words = this.#settings.words?.[error.code] ?? error.message;
      this.#say(element("p", { class: "form-error", role: "alert" }, icon("warning"), element("span", {}, [words, ...elsewhere.map(([name, reason]) => `${name} ${reason}`)].join(" "))));
    }
    if (error.retryAfterMs) this.#wait(error.retryAfterMs);
    this.#focusFirstError();
  }

  destroy() {
    clearInterval(this.#countdown);
    this.#root.remove();
  }

  /** @param {Field} field */
  #make(field) {
    const id = `${this.#id}-${field.name}`;
    const error = element("span", { id: `${id}-error`, class: "field-error" });
    const hint = field.hint ? element("span", { id: `${id}-hint`, class: "hint" }, field.hint) : null;
    const input = makeInput(field, id, hint ? `${id}-hint ${id}-error` : `${id}-error`);
    input.addEventListener("input", () => this.#forgive(field.name));
    this.#fields.set(field.name, { input, error, field });
    const label = element("label", { for: id }, field.label, field.required === false ? element("span", { class: "optional" }, " optional") : "");
    if (field.type === "checkbox") return element("div", { class: "form-check" }, input, element("div", {}, label, hint, error));
    const shown = field.type === "password" || field.type === "secret" ? element("div", { class: "field-row" }, input, revealButton(input, field.label)) : input;
    return element("div", { class: "form-field" }, label, shown, hint, error);
  }

  /** @param {string} name @param {string} words */
  #blame(name, words) {
    const entry = this.#fields.get(name);
    if (!entry) return;
    entry.input.setAttribute("aria-invalid", "true");
    entry.error.textContent = words;
  }

  /** @param {string} name */
  #forgive(name) {
    const entry = this.#fields.get(name);
    entry?.input.removeAttribute("aria-invalid");
    if (entry) entry.error.textContent = "";
  }

  #focusFirstError() {
    const wrong = [...this.#fields.values()].find(({ input }) => input.getAttribute("aria-invalid") === "true");
    wrong?.input.focus();
  }

  #isComplete() {
    for (const { input, field } of this.#fields.values()) {
      this.#forgive(field.name);
      const empty = input instanceof HTMLInputElement && input.type === "checkbox" ? !input.checked : input.value.trim() === "";
      if (empty && field.required !== false) this.#blame(field.name, field.type === "checkbox" ? "This must be confirmed." : "This is needed.");
    }
    this.#focusFirstError();
    return [...this.#fields.values()].every(({ input }) => !input.hasAttribute("aria-invalid"));
  }

  /** @param {Event} event */
  async #send(event) {
    event.preventDefault();
    if (this.#busy || this.#countdown !== 0) return;
    this.#say();
    if (!this.#isComplete()) return;
    this.#setBusy(true);
    try {
      const done = await this.#settings.onSubmit(this.values);
      if (done) this.#say(element("p", { class: "form-done" }, icon("check"), element("span", {}, done)));
    } catch (error) {
      this.fail(asApiError(error));
    } finally {
      this.#setBusy(false);
    }
  }

  /** @param {boolean} busy */
  #setBusy(busy) {
    this.#busy = busy;
    this.#submit.setAttribute("aria-disabled", String(busy || this.#countdown !== 0));
    this.#root.setAttribute("aria-busy", String(busy));
  }

  /** Counts down to when the server looks at the next try. @param {number} ms */
  #wait(ms) {
    clearInterval(this.#countdown);
    const until = Date.now() + ms;
    const clock = element("span", { class: "form-countdown", "aria-hidden": "true" });
    this.#said.append(clock);
    const tick = () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      clock.textContent = left > 0 ? `Next try in ${spell(left)}.` : "";
      if (left > 0) return;
      clearInterval(this.#countdown);
      this.#countdown = 0;
      this.#say(element("p", { class: "hint" }, "You can try again now."));
      this.#setBusy(this.#busy);
    };
    this.#countdown = setInterval(tick, 250);
    tick();
  }

  /** @param {...Child} words */
  #say(...words) {
    replace(this.#said, ...words);
  }
}

/** @param {Field} field @param {string} id @param {string} describedBy */
function makeInput(field, id, describedBy) {
  const { name, type = "text", options = [], required = true } = field;
  const common = { id, name, "aria-describedby": describedBy, "aria-required": required ? "true" : null };
  if (type === "select") {
    const choices = options.map(([value, words]) => element("option", { value, selected: value === field.value }, words));
    return element("select", { class: "select", ...common }, ...choices);
  }
  if (type === "checkbox") return element("input", { type, ...common, checked: field.checked });
  const { value, autocomplete, inputmode, minlength, maxlength, min, max, readonly } = field;
  const hidden = type === "password" || type === "secret";
  return element("input", {
    class: "field",
    type: hidden ? "password" : type,
    ...common,
    value,
    // Browsers heed "off" for passwords only where a new one is said to be made elsewhere.
    autocomplete: type === "secret" ? "one-time-code" : (autocomplete ?? "off"),
    inputmode,
    minlength,
    maxlength,
    min,
    max,
    readonly,
    spellcheck: "false",
    autocapitalize: "none",
  });
}

/** @param {HTMLInputElement | HTMLSelectElement} input @param {string} label */
function revealButton(input, label) {
  const button = element("button", { type: "button", class: "tool", "aria-pressed": "false", "aria-label": `Show ${label.toLowerCase()}`, title: "Show" }, icon("eye"));
  button.addEventListener("click", () => {
    if (!(input instanceof HTMLInputElement)) return;
    const show = input.type === "password";
    input.type = show ? "text" : "password";
    button.setAttribute("aria-pressed", String(show));
    button.replaceChildren(icon(show ? "eye-off" : "eye"));
  });
  return button;
}

/** @param {number} seconds */
function spell(seconds) {
  if (seconds < 90) return `${seconds} s`;
  return `${Math.ceil(seconds / 60)} min`;
}

/** @param {string} reason "takes 3 letters" */
function sentence(reason) {
  const text = /^[a-z]/.test(reason) ? `It ${reason}` : reason;
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** The login: name and password, then a code where the account wants one. */

import { apiFetch, authSession, loginUser } from "../modules/net/auth.js";
import { asApiError } from "../modules/net/errors.js";
import { returnPath, withReturn } from "../modules/net/returnPath.js";
import { element, find, replace } from "../modules/ui/element.js";
import { FieldForm } from "../modules/ui/fieldForm.js";
import { ThemeToggle } from "../modules/ui/themeToggle.js";

/** @import {Values} from "../modules/ui/fieldForm.js" */

const CODE_WANTED = "totp_required";

class LoginPage {
  #card = find("#card", HTMLElement);
  #theme = new ThemeToggle(() => undefined);
  #back = returnPath(location.search, location.origin);
  #form = this.#passwordForm();

  async start() {
    this.#show("Log in", "", this.#form);
    await authSession.restore();
    if (authSession.user) this.#goOn();
    else this.#offerRegistration();
    // Logged in in another tab: this one need not ask.
    authSession.watch((user) => user && this.#goOn());
  }

  destroy() {
    this.#theme.destroy();
    this.#form.destroy();
  }

  /** @param {string} title @param {string} lead @param {FieldForm} form */
  #show(title, lead, form) {
    this.#form = form;
    replace(this.#card, element("h1", {}, title), lead && element("p", { class: "hint" }, lead), form.node);
    form.focus();
  }

  #passwordForm() {
    return new FieldForm({
      label: "Log in",
      fields: [
        { name: "login", label: "User name or e-mail address", autocomplete: "username", maxlength: 254 },
        { name: "password", label: "Password", type: "password", autocomplete: "current-password", maxlength: 512 },
      ],
      submit: "Log in",
      onSubmit: (values) => this.#login(values),
    });
  }

  /** @param {Values} given */
  #codeForm(given) {
    return new FieldForm({
      label: "Second factor",
      fields: [
        {
          name: "totp",
          label: "Code",
          autocomplete: "one-time-code",
          maxlength: 64,
          hint: "Six digits of your authenticator, or one of your recovery codes.",
        },
      ],
      submit: "Log in",
      after: [element("button", { type: "button", class: "button", onclick: () => this.#show("Log in", "", this.#passwordForm()) }, "Back")],
      words: { [CODE_WANTED]: "The code is wrong, or it was used before. The next one comes within 30 seconds." },
      onSubmit: ({ totp = "" }) => this.#finish({ ...given, totp: totp.trim() }),
    });
  }

  /** @param {Values} given */
  async #login(given) {
    try {
      await this.#finish(given);
    } catch (error) {
      if (asApiError(error).code !== CODE_WANTED) throw error;
      this.#show("Second factor", "The password is right. This account also wants a code.", this.#codeForm(given));
    }
  }

  /** @param {Values} given */
  async #finish({ login = "", password = "", totp }) {
    await loginUser({ login: login.trim(), password, ...(totp !== undefined && { totp }) });
  }

  #goOn() {
    location.replace(this.#back);
  }

  async #offerRegistration() {
    const response = await apiFetch("/api/v1/auth/registration").catch(() => null);
    const state = response?.ok ? await response.json() : null;
    if (state === null || (state.mode === "closed" && !state.first)) return;
    const words = state.first ? "There is no account yet. " : "No account? ";
    find("#aside", HTMLElement).replaceChildren(words, element("a", { href: withReturn("/register", this.#back) }, state.first ? "Make the first one" : "Register"));
  }
}

const page = new LoginPage();
page.start();
globalThis.addEventListener("pagehide", (left) => left.persisted || page.destroy());

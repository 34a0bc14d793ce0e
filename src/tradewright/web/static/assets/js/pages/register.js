/** Registering: the first account of the server, or another one where the server lets people in. */

import { loginUser, registerUser } from "../modules/net/auth.js";
import { asApiError } from "../modules/net/errors.js";
import { getJson } from "../modules/net/http.js";
import { returnPath, withReturn } from "../modules/net/returnPath.js";
import { element, find, replace } from "../modules/ui/element.js";
import { failure } from "../modules/ui/failure.js";
import { FieldForm } from "../modules/ui/fieldForm.js";
import { ThemeToggle } from "../modules/ui/themeToggle.js";

/**
 * @import {RegistrationState} from "../modules/net/protocol.js"
 * @import {Field, Values} from "../modules/ui/fieldForm.js"
 */

const PASSWORD_MIN = 12;
const PASSWORD_MAX = 128;

class RegisterPage {
  #card = find("#card", HTMLElement);
  #theme = new ThemeToggle(() => undefined);
  #back = returnPath(location.search, location.origin);
  /** @type {FieldForm | null} */
  #form = null;

  async start() {
    find("#aside", HTMLElement).replaceChildren("An account already? ", element("a", { href: withReturn("/login", this.#back) }, "Log in"));
    try {
      this.#show(await getJson("/api/v1/auth/registration"));
    } catch (error) {
      replace(this.#card, element("h1", {}, "Register"), failure(asApiError(error), () => this.start()));
    }
  }

  destroy() {
    this.#theme.destroy();
    this.#form?.destroy();
  }

  /** @param {RegistrationState} state */
  #show(state) {
    if (!state.first && state.mode === "closed") {
      this.#card.classList.remove("card-register");
      const words = "Nobody can register at this server. Its administrator adds users, or opens registration in the settings.";
      replace(this.#card, element("h1", {}, "Register"), element("p", {}, words));
      return;
    }
    this.#form = new FieldForm({ label: "Register", fields: this.#fields(state), submit: "Create account", onSubmit: (values) => this.#register(values) });
    replace(this.#card, element("h1", {}, state.first ? "The first account" : "Register"), element("p", { class: "hint" }, leadOf(state)), this.#form.node);
    this.#form.focus();
  }

  /** @param {RegistrationState} state @returns {Field[]} */
  #fields({ mode, first, setup_token: needsToken }) {
    // In the fragment, a code is in no log of any server.
    const invite = new URLSearchParams(location.hash.slice(1)).get("invite") ?? "";
    /** @type {Field[]} */
    const admission = [];
    if (first && needsToken) admission.push({ name: "setup_token", label: "Set-up token", hint: "The server printed it when it started; it is good for 15 minutes.", maxlength: 128 });
    else if (!first && mode === "invite") admission.push({ name: "invite", label: "Invitation code", value: invite, maxlength: 128 });
    else if (!first && invite !== "") admission.push({ name: "invite", label: "Invitation code", value: invite, maxlength: 128, required: false });
    return [
      ...admission,
      { name: "username", label: "User name", autocomplete: "username", maxlength: 32, hint: "3 to 32 letters, digits, dots, dashes and underscores." },
      { name: "email", label: "E-mail address", type: "email", autocomplete: "email", maxlength: 254 },
      {
        name: "password",
        label: "Password",
        type: "password",
        autocomplete: "new-password",
        minlength: PASSWORD_MIN,
        maxlength: 512,
        hint: `${PASSWORD_MIN} to ${PASSWORD_MAX} characters. Several words do well; nothing else is asked of it.`,
      },
    ];
  }

  /** @param {Values} values */
  async #register({ username = "", email = "", password = "", invite, setup_token: token }) {
    const name = username.trim();
    await registerUser({
      username: name,
      email: email.trim(),
      password,
      ...(invite && { invite: invite.trim() }),
      ...(token && { setup_token: token.trim() }),
    });
    await loginUser({ login: name, password });
    location.replace(this.#back);
  }
}

/** @param {RegistrationState} state */
function leadOf({ first, mode, setup_token: needsToken }) {
  if (first && needsToken) return "This server has no user yet. Who knows its set-up token becomes its administrator.";
  if (first) return "This server has no user yet. The account that you make now is its administrator.";
  return mode === "invite" ? "An administrator of this server has to have invited you." : "You can trade your own accounts; an administrator may change that.";
}

const page = new RegisterPage();
page.start();
globalThis.addEventListener("pagehide", (left) => left.persisted || page.destroy());

/** The parts of the profile that keep others out: password, second factor, sessions. */

import { account } from "../modules/data/accountService.js";
import { authSession, clearToken, refreshToken } from "../modules/net/auth.js";
import { ApiError, asApiError } from "../modules/net/errors.js";
import { formatBarTime } from "../modules/state/format.js";
import { confirmed, withStepUp } from "../modules/ui/dialogs.js";
import { element, find, icon, replace } from "../modules/ui/element.js";
import { failure } from "../modules/ui/failure.js";
import { FieldForm } from "../modules/ui/fieldForm.js";
import { tellOnce } from "../modules/ui/tellOnce.js";

/** @import {EnrolAnswer, Me, SessionItem} from "../modules/net/protocol.js" */

export class PasswordSection {
  #form;

  /** @param {() => void} onChanged */
  constructor(onChanged) {
    this.#form = new FieldForm({
      label: "Change the password",
      fields: [
        { name: "current_password", label: "Present password", type: "password", autocomplete: "current-password", maxlength: 512 },
        { name: "new_password", label: "New password", type: "password", autocomplete: "new-password", maxlength: 512, hint: "12 to 128 characters. Several words do well." },
      ],
      submit: "Change password",
      words: { invalid_login: "The present password is wrong." },
      onSubmit: async ({ current_password: present = "", new_password: wanted = "" }) => {
        await withStepUp(() => account.changePassword(present, wanted), present);
        this.#form.clear();
        onChanged();
        return "Changed. Every other session of yours has ended. Your API tokens go on: delete those that somebody else may have.";
      },
    });
    const name = element("input", { class: "visually-hidden", type: "text", name: "username", autocomplete: "username", value: authSession.user?.username ?? "", readonly: true, tabindex: -1, "aria-hidden": "true" });
    this.#form.node.prepend(name);
    const what = element("p", { class: "hint" }, "A new password ends every other session of yours. API tokens go on, since programs live of them: ", element("a", { href: "#tokens" }, "delete"), " those that somebody else may have.");
    replace(find("#password-body", HTMLElement), what, this.#form.node);
  }

  destroy() {
    this.#form.destroy();
  }
}

export class TotpSection {
  #body = find("#totp-body", HTMLElement);
  #note = find("#totp-note", HTMLElement);
  #reload;

  /** @param {() => Promise<void>} reload reads the account anew and shows it */
  constructor(reload) {
    this.#reload = reload;
  }

  /** @param {Me} me */
  show({ user, recovery_codes_left: left }) {
    const on = user.totp_enabled;
    replace(this.#note, element("span", { class: `tag ${on ? "tag-ok" : "tag-warn"}` }, on ? "On" : "Off"));
    const words = on
      ? `A login wants a code of your authenticator as well. ${left} of your recovery codes ${left === 1 ? "is" : "are"} left.`
      : "With a second factor, a stolen password alone opens nothing. It needs an authenticator app on your phone, or a password manager that makes codes.";
    const button = on
      ? element("button", { type: "button", class: "button button-danger", onclick: () => this.#try(() => this.#disable()) }, "Remove")
      : element("button", { type: "button", class: "button button-primary", onclick: () => this.#try(() => this.#enrol()) }, "Set up");
    replace(this.#body, element("p", {}, words), element("div", { class: "form-actions" }, button), element("div", { id: "totp-said" }));
  }

  /** @param {() => Promise<void>} work */
  async #try(work) {
    try {
      await work();
    } catch (error) {
      const problem = asApiError(error);
      if (problem.code !== "aborted") replace(find("#totp-said", HTMLElement), failure(problem));
    }
  }

  async #disable() {
    const words = "From then on your password alone opens your account. The recovery codes are void.";
    if (!(await confirmed({ title: "Remove the second factor?", words, action: "Remove" }))) return;
    await withStepUp(() => account.disableTotp());
    await this.#changed();
  }

  async #enrol() {
    this.#ask(await withStepUp(() => account.enrolTotp()));
  }

  /** @param {EnrolAnswer} enrolment */
  #ask({ secret, image }) {
    const form = new FieldForm({
      label: "Confirm the second factor",
      fields: [{ name: "totp", label: "Code that the app shows now", autocomplete: "one-time-code", inputmode: "numeric", maxlength: 8 }],
      submit: "Confirm",
      after: [element("button", { type: "button", class: "button", onclick: () => this.#reload() }, "Cancel")],
      onSubmit: async ({ totp = "" }) => {
        const { recovery_codes: codes } = await withStepUp(() => account.confirmTotp(totp.replaceAll(/\s/g, "")));
        this.#tell(codes);
      },
    });
    const key = secret.match(/.{1,4}/g)?.join(" ") ?? secret;
    replace(
      this.#body,
      element(
        "div",
        { class: "enrol" },
        element("img", { src: image, width: 200, height: 200, alt: "The key as a QR code; the same is written beside it" }),
        element(
          "div",
          {},
          element("p", {}, "Read this with your authenticator, or type the key into it:"),
          element("p", { class: "code" }, key),
          form.node,
        ),
      ),
    );
    form.focus();
  }

  /** @param {readonly string[]} codes */
  #tell(codes) {
    const words = "Keep them where the authenticator is not: each of them lets you in once without it. They are not shown again.";
    const told = tellOnce("Your recovery codes", words, codes, () => this.#changed());
    replace(this.#body, told);
    told.focus();
  }

  async #changed() {
    // Who is logged in is told with each token, and that has just changed.
    await refreshToken().catch(() => undefined);
    await this.#reload();
  }
}

export class SessionsSection {
  #body = find("#sessions-body", HTMLElement);
  #note = find("#sessions-note", HTMLElement);
  #zone;

  /** @param {() => string} zone the name of the time zone in which times are written */
  constructor(zone) {
    this.#zone = zone;
  }

  async load() {
    try {
      const { items } = await account.sessions();
      this.#note.textContent = String(items.length);
      const all = element("button", { type: "button", class: "button button-danger", onclick: () => this.#endAll() }, "Log out everywhere");
      replace(this.#body, this.#table(items), element("div", { class: "form-actions" }, all), element("div", { id: "sessions-said" }));
    } catch (error) {
      replace(this.#body, failure(asApiError(error), () => this.load()));
    }
  }

  /** @param {readonly SessionItem[]} items */
  #table(items) {
    const head = ["From", "Address", "Last used", ""].map((name, at) => element("th", { scope: "col", class: at === 1 ? "wide" : "" }, name || element("span", { class: "visually-hidden" }, "Actions")));
    const rows = items.map((item) =>
      element(
        "tr",
        {},
        element("th", { scope: "row", class: "long", title: item.agent }, describeAgent(item), " ", item.current && element("span", { class: "tag tag-ok" }, "This one")),
        element("td", { class: "wide" }, item.address || "–"),
        element("td", {}, formatBarTime(item.last_used_ms, this.#zone(), false)),
        element("td", { class: "actions" }, !item.current && element("button", { type: "button", class: "button", "aria-label": `End the session ${describeAgent(item)}`, onclick: () => this.#end(item.id) }, "End")),
      ),
    );
    return element("div", { class: "scroll" }, element("table", { class: "table", "aria-label": "Sessions" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)));
  }

  /** @param {string} id */
  async #end(id) {
    await this.#try(() => account.endSession(id));
    await this.load();
  }

  async #endAll() {
    const words = "Every session of yours ends, this one as well. Programs with an API token go on.";
    if (!(await confirmed({ title: "Log out everywhere?", words, action: "Log out everywhere" }))) return;
    if (await this.#try(() => account.endAll())) clearToken();
  }

  /** @param {() => Promise<void>} work */
  async #try(work) {
    try {
      await work();
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return true; // it has ended meanwhile
      replace(find("#sessions-said", HTMLElement), failure(asApiError(error)));
      return false;
    }
  }
}

const BROWSERS = /** @type {const} */ ([["Edg/", "Edge"], ["OPR/", "Opera"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"]]);
const SYSTEMS = /** @type {const} */ ([["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Windows", "Windows"], ["Mac OS X", "macOS"], ["Linux", "Linux"]]);

/** What a person calls the browser that says this of itself. @param {SessionItem} item */
function describeAgent({ agent, client }) {
  if (client === "api") return "A program";
  const browser = BROWSERS.find(([mark]) => agent.includes(mark))?.[1];
  const system = SYSTEMS.find(([mark]) => agent.includes(mark))?.[1];
  return [browser ?? "A browser", system].filter(Boolean).join(" on ");
}

/** @param {string} words */
export function warning(words) {
  return element("div", { class: "warning" }, icon("warning"), element("div", {}, words));
}

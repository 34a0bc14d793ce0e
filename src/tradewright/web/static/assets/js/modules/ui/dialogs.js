/** Questions that hold up what was begun: a confirmation, and the proof of who one is. */

import { authSession } from "../net/auth.js";
import { ApiError, asApiError } from "../net/errors.js";
import { sendJson } from "../net/http.js";
import { element } from "./element.js";
import { FieldForm } from "./fieldForm.js";

/**
 * @import {Child} from "./element.js"
 * @import {Values} from "./fieldForm.js"
 */

const STEP_UP = "/api/v1/auth/step_up";
const STEP_UP_REQUIRED = "step_up_required";

/**
 * @param {string} title
 * @param {(close: (yes: boolean) => void) => Child[]} body
 * @returns {Promise<boolean>} false also where the dialog is closed by Escape
 */
function ask(title, body) {
  const { promise, resolve } = Promise.withResolvers();
  let answer = false;
  const close = (/** @type {boolean} */ yes) => {
    answer = yes;
    dialog.close();
  };
  const dialog = element("dialog", { class: "dialog", "aria-label": title }, element("h2", {}, title));
  for (const child of body(close)) if (child) dialog.append(child instanceof Node ? child : String(child));
  dialog.addEventListener("close", () => {
    dialog.remove();
    resolve(answer);
  });
  document.body.append(dialog);
  dialog.showModal();
  return promise;
}

/**
 * Asks before something that can't be undone.
 *
 * @param {{title: string, words: string, action: string}} question `action` is the word on the button
 * @returns {Promise<boolean>}
 */
export function confirmed({ title, words, action }) {
  return ask(title, (close) => [
    element("p", {}, words),
    element(
      "div",
      { class: "form-actions" },
      element("button", { type: "button", class: "button", autofocus: true, onclick: () => close(false) }, "Keep"),
      element("button", { type: "button", class: "button button-danger", onclick: () => close(true) }, action),
    ),
  ]);
}

/**
 * Makes a call that wants somebody who has just proved who they are, and asks them to where it does.
 *
 * @template T
 * @param {() => Promise<T>} call
 * @param {string} [password] that was typed a moment ago for this very thing
 * @returns {Promise<T>}
 * @throws {ApiError} of the call; `aborted` where the proof was not given
 */
export async function withStepUp(call, password) {
  try {
    return await call();
  } catch (error) {
    if (asApiError(error).code !== STEP_UP_REQUIRED) throw error;
  }
  if (password !== undefined && !authSession.user?.totp_enabled) await prove({ password });
  else if (!(await askForProof())) throw new ApiError("aborted", "Nothing was changed.");
  return call();
}

/** @param {Values} values */
function prove({ password = "", totp }) {
  return sendJson("POST", STEP_UP, { body: { password, ...(totp && { totp: totp.trim() }) } });
}

function askForProof() {
  const user = authSession.user;
  return ask("Is it you?", (close) => {
    const form = new FieldForm({
      label: "Prove who you are",
      // The name is there for password managers, which look for it beside the password.
      before: [
        element("p", {}, "What you are about to do needs your password, though you are logged in. It is then not asked for again for five minutes."),
        element("input", { class: "visually-hidden", type: "text", name: "username", autocomplete: "username", value: user?.username ?? "", readonly: true, tabindex: -1, "aria-hidden": "true" }),
      ],
      fields: [
        { name: "password", label: "Password", type: "password", autocomplete: "current-password", maxlength: 512 },
        ...(user?.totp_enabled ? [/** @type {const} */ ({ name: "totp", label: "Code", autocomplete: "one-time-code", maxlength: 64, hint: "Of your authenticator, or a recovery code." })] : []),
      ],
      submit: "Go on",
      after: [element("button", { type: "button", class: "button", onclick: () => close(false) }, "Cancel")],
      onSubmit: async (values) => {
        await prove(values);
        close(true);
      },
    });
    return [form.node];
  });
}

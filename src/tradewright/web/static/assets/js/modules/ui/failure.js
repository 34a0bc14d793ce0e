/** What went wrong, in place of what could not be shown: a sentence, the request's id, and a way to try again. */

import { element, icon } from "./element.js";

/** @import {ApiError} from "../net/errors.js" */

/**
 * @param {ApiError} error
 * @param {() => void} [retry] offered where it may help
 */
export function failure({ message, requestId, transient }, retry) {
  return element(
    "div",
    { class: "failure", role: "alert" },
    icon("warning"),
    element("span", {}, message),
    requestId ? element("small", {}, `Request ${requestId}`) : null,
    retry && transient && element("button", { type: "button", class: "button", onclick: retry }, icon("retry"), "Retry"),
  );
}

/** The API tokens of the profile: made, told once, deleted. */

import { account } from "../modules/data/accountService.js";
import { asApiError } from "../modules/net/errors.js";
import { formatBarTime } from "../modules/state/format.js";
import { confirmed, withStepUp } from "../modules/ui/dialogs.js";
import { element, find, replace } from "../modules/ui/element.js";
import { failure } from "../modules/ui/failure.js";
import { FieldForm } from "../modules/ui/fieldForm.js";
import { tellOnce } from "../modules/ui/tellOnce.js";

/** @import {TokenItem, UserItem} from "../modules/net/protocol.js" */

export class TokensSection {
  #body = find("#tokens-body", HTMLElement);
  #note = find("#tokens-note", HTMLElement);
  #list = element("div");
  #told = element("div");
  #form;
  #zone;

  /** @param {UserItem} user @param {() => string} zone */
  constructor(user, zone) {
    this.#zone = zone;
    this.#form = new FieldForm({
      label: "Make an API token",
      fields: [
        { name: "label", label: "What for", maxlength: 64, hint: "By which you will know it." },
        {
          name: "scopes",
          label: "It may",
          type: "select",
          options: user.role === "viewer" ? [["read", "read"]] : [["read", "read"], ["read trade", "read and trade"]],
        },
        { name: "days", label: "For how many days", type: "number", value: "90", min: 1, max: 365, inputmode: "numeric" },
      ],
      submit: "Make token",
      onSubmit: (values) => this.#make(values),
    });
    const words = "For programs of your own. A token can change neither your account nor your keys, whatever it may.";
    replace(this.#body, element("p", {}, words), this.#list, this.#told, this.#form.node);
  }

  destroy() {
    this.#form.destroy();
  }

  async load() {
    try {
      const { items } = await account.tokens();
      this.#note.textContent = items.length === 0 ? "" : String(items.length);
      replace(this.#list, items.length === 0 ? element("p", { class: "empty" }, "There is none.") : this.#table(items));
    } catch (error) {
      replace(this.#list, failure(asApiError(error), () => this.load()));
    }
  }

  /** @param {Record<string, string>} values */
  async #make({ label = "", scopes = "", days = "" }) {
    const wanted = { label: label.trim(), scopes: scopes.split(" "), days: Number(days) };
    const made = await withStepUp(() => account.makeToken(wanted));
    const told = tellOnce(`The token “${made.label}”`, "A program sends it as “Authorization: Bearer …”. It is not shown again.", [made.token ?? ""], () => this.#told.replaceChildren());
    replace(this.#told, told);
    this.#form.clear();
    told.focus();
    await this.load();
  }

  /** @param {readonly TokenItem[]} items */
  #table(items) {
    const day = (/** @type {number | null} */ ms) => (ms === null ? "never" : formatBarTime(ms, this.#zone(), true));
    const names = [["What for"], ["Begins"], ["May"], ["Ends"], ["Last used", "wide"]];
    const head = names.map(([name, kind]) => element("th", { scope: "col", class: kind ?? "" }, name));
    const rows = items.map((item) =>
      element(
        "tr",
        {},
        element("th", { scope: "row", class: "long" }, item.label),
        element("td", {}, element("span", { class: "code" }, `${item.hint}…`)),
        element("td", {}, item.scopes.join(", ")),
        element("td", {}, day(item.expires_ms)),
        element("td", { class: "wide" }, day(item.last_used_ms)),
        element("td", { class: "actions" }, element("button", { type: "button", class: "button", "aria-label": `Delete the token ${item.label}`, onclick: () => this.#delete(item) }, "Delete")),
      ),
    );
    const actions = element("th", { scope: "col" }, element("span", { class: "visually-hidden" }, "Actions"));
    return element("div", { class: "scroll" }, element("table", { class: "table", "aria-label": "API tokens" }, element("thead", {}, element("tr", {}, ...head, actions)), element("tbody", {}, ...rows)));
  }

  /** @param {TokenItem} item */
  async #delete({ id, label }) {
    const words = `Programs that use “${label}” are refused from then on.`;
    if (!(await confirmed({ title: "Delete the token?", words, action: "Delete" }))) return;
    try {
      await withStepUp(() => account.deleteToken(id));
      await this.load();
    } catch (error) {
      const problem = asApiError(error);
      if (problem.code !== "aborted") this.#list.append(failure(problem));
    }
  }
}

/** One kept key: what is known of it, its test, and what can be done with it. */

import { credentials } from "../modules/data/accountService.js";
import { asApiError } from "../modules/net/errors.js";
import { formatBarTime, localZone } from "../modules/state/format.js";
import { readPreferences } from "../modules/state/preferences.js";
import { confirmed, withStepUp } from "../modules/ui/dialogs.js";
import { element, icon, replace } from "../modules/ui/element.js";
import { failure } from "../modules/ui/failure.js";
import { FieldForm } from "../modules/ui/fieldForm.js";

/**
 * @import {CheckAnswer, CredentialItem} from "../modules/net/protocol.js"
 * @import {CredentialField, ProviderItem} from "../modules/net/protocol.js"
 * @import {Field, Values} from "../modules/ui/fieldForm.js"
 */

const HELD_SHOWN = 8;

/** As the server names them where it says what is wrong. */
const PREFIX = "fields.";

/** @type {Record<CredentialField["name"], string>} */
const NAMES = {
  api_key: "API key",
  secret: "Secret",
  password: "API passphrase",
  uid: "User id",
  wallet_address: "Wallet address",
  private_key: "Private key",
};

/**
 * The provider's own fields as those of a form.
 *
 * @param {ProviderItem} provider @param {boolean} fresh false: they replace what is kept, so none is needed
 * @returns {Field[]}
 */
export function fieldsOf({ credential_fields: fields }, fresh) {
  return fields.map(({ name, secret, required }) => ({
    name: PREFIX + name,
    label: NAMES[name],
    type: secret ? "secret" : "text",
    required: fresh && required,
    maxlength: 4096,
  }));
}

/** @param {ProviderItem} provider @param {Values} values @returns {Record<string, string>} those that were filled in */
export function secretsIn({ credential_fields: fields }, values) {
  const given = fields.map(({ name }) => [name, (values[PREFIX + name] ?? "").trim()]);
  return Object.fromEntries(given.filter(([, value]) => value !== ""));
}

export class CredentialCard {
  #item;
  #provider;
  #onChanged;
  #head = element("div", { class: "credential-head" });
  #hint = element("p", { class: "hint" });
  #below = element("div");
  #root;
  /** @type {FieldForm | null} */
  #form = null;

  /** @param {CredentialItem} item @param {ProviderItem | undefined} provider @param {{onChanged: () => Promise<void>}} handlers */
  constructor(item, provider, { onChanged }) {
    this.#item = item;
    this.#provider = provider;
    this.#onChanged = onChanged;
    const button = (/** @type {string} */ words, /** @type {() => void} */ work, kind = "") =>
      element("button", { type: "button", class: `button ${kind}`, "aria-label": `${words}: ${item.label}`, onclick: work }, words);
    this.#root = element(
      "article",
      { class: "credential", "aria-label": item.label, tabindex: -1, "data-id": item.id },
      this.#head,
      this.#hint,
      element(
        "div",
        { class: "credential-actions" },
        button("Test", () => this.#test()),
        button("Edit", () => this.#edit()),
        button("Delete", () => this.#delete(), "button-danger"),
      ),
      this.#below,
    );
    this.#show(item);
    if (item.can_withdraw && !item.withdrawal_accepted) this.#warn();
  }

  get id() {
    return this.#item.id;
  }

  get node() {
    return this.#root;
  }

  focus() {
    this.#root.focus();
  }

  destroy() {
    this.#form?.destroy();
    this.#root.remove();
  }

  /** @param {CredentialItem} item */
  #show(item) {
    this.#item = item;
    const { label, provider, key_hint: hint, testnet, can_withdraw: withdraws, tested_ms: tested } = item;
    replace(
      this.#head,
      element("strong", {}, label),
      element("span", { class: "muted" }, this.#provider?.name ?? provider),
      hint && element("span", { class: "code" }, `…${hint}`),
      element("span", { class: `tag ${testnet ? "" : "tag-bad"}` }, testnet ? "Testnet" : "Real money"),
      tested === null && element("span", { class: "tag tag-warn" }, "Not tested"),
      withdraws && element("span", { class: "tag tag-warn" }, "Can withdraw"),
    );
    this.#hint.textContent = historyOf(item);
  }

  async #test() {
    replace(this.#below, element("p", { class: "hint", role: "status" }, "Asking the provider…"));
    try {
      const check = await credentials.test(this.#item.id);
      this.#showCheck(check);
      this.#show(await credentials.get(this.#item.id));
      if (check.can_withdraw && !this.#item.withdrawal_accepted) this.#warn();
    } catch (error) {
      replace(this.#below, failure(asApiError(error), () => this.#test()));
    }
  }

  /** @param {CheckAnswer} check */
  #showCheck({ permissions, can_withdraw: withdraws, ip_restricted: restricted, balances }) {
    const held = Object.entries(balances ?? {}).map(([currency, amount]) => `${amount} ${currency}`);
    const facts = [
      "The provider takes the key.",
      permissions && permissions.length > 0 && `It may: ${permissions.join(", ")}.`,
      withdraws === false && "It can’t withdraw.",
      withdraws === null && "Whether it can withdraw the provider does not say: look there.",
      restricted === true && "It is tied to certain addresses.",
      restricted === false && "It is taken from every address: tie it to this server’s at the provider.",
      balances && `Balances: ${held.slice(0, HELD_SHOWN).join(", ") || "none"}${held.length > HELD_SHOWN ? " …" : ""}.`,
    ];
    const words = element("span", {}, facts.filter(Boolean).join(" "));
    replace(this.#below, element("p", { class: "form-done", role: "status" }, icon("check"), words));
  }

  #warn() {
    const form = new FieldForm({
      label: "A key that can withdraw",
      danger: true,
      fields: [{ name: "accept", label: "I know that whoever gets this key can empty the account, and use it all the same", type: "checkbox" }],
      submit: "Use it all the same",
      onSubmit: async () => {
        await withStepUp(() => credentials.change(this.#item.id, { withdrawal_accepted: true }));
        await this.#onChanged();
      },
    });
    this.#take(form);
    this.#below.append(
      element(
        "div",
        { class: "warning", role: "alert" },
        icon("warning"),
        element(
          "div",
          {},
          element("strong", {}, "This key can withdraw."),
          element("p", {}, "Nothing here needs that. Make another one at the provider without the right to withdraw, and replace this one. Until you accept the risk it is not used for trading."),
          form.node,
        ),
      ),
    );
  }

  #edit() {
    const secrets = this.#provider ? fieldsOf(this.#provider, false) : [];
    const form = new FieldForm({
      label: `Edit ${this.#item.label}`,
      before: [element("p", { class: "hint" }, "What is kept is never shown. Fill in all fields of the new key to replace the one that is kept, or none to keep it.")],
      fields: [{ name: "label", label: "Name", value: this.#item.label, maxlength: 64 }, ...secrets],
      submit: "Save",
      after: [element("button", { type: "button", class: "button", onclick: () => this.#below.replaceChildren() }, "Cancel")],
      onSubmit: async (values) => {
        const fields = this.#provider ? secretsIn(this.#provider, values) : {};
        const label = (values.label ?? "").trim();
        await withStepUp(() => credentials.change(this.#item.id, { label, ...(Object.keys(fields).length > 0 && { fields }) }));
        await this.#onChanged();
      },
    });
    this.#take(form);
    replace(this.#below, form.node);
    form.focus();
  }

  async #delete() {
    const words = `“${this.#item.label}” is removed. What uses it stops working; the key itself lives on at the provider until you delete it there.`;
    if (!(await confirmed({ title: "Delete this key?", words, action: "Delete" }))) return;
    try {
      await withStepUp(() => credentials.remove(this.#item.id));
      await this.#onChanged();
    } catch (error) {
      const problem = asApiError(error);
      if (problem.code !== "aborted") replace(this.#below, failure(problem));
    }
  }

  /** @param {FieldForm} form */
  #take(form) {
    this.#form?.destroy();
    this.#form = form;
  }
}

/** @param {CredentialItem} item */
function historyOf({ created_ms: created, tested_ms: tested, last_used_ms: used }) {
  const zone = readPreferences().zone === "utc" ? "UTC" : localZone();
  const day = (/** @type {number | null} */ ms, /** @type {boolean} */ dateOnly) => (ms === null ? "never" : formatBarTime(ms, zone, dateOnly));
  return `Added ${day(created, true)} · tested ${day(tested, false)} · last used ${day(used, false)}`;
}

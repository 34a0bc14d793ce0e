/** One's keys to providers: entered once, never shown again, tested, changed, deleted. */

import { credentials } from "../modules/data/accountService.js";
import { DataService } from "../modules/data/dataService.js";
import { asApiError } from "../modules/net/errors.js";
import { withStepUp } from "../modules/ui/dialogs.js";
import { element, find, replace } from "../modules/ui/element.js";
import { failure } from "../modules/ui/failure.js";
import { FieldForm } from "../modules/ui/fieldForm.js";
import { requireUser } from "../modules/ui/loginGate.js";
import { ThemeToggle } from "../modules/ui/themeToggle.js";
import { CredentialCard, fieldsOf, secretsIn } from "./credentialCard.js";

/**
 * @import {CredentialItem, ProviderItem} from "../modules/net/protocol.js"
 * @import {Values} from "../modules/ui/fieldForm.js"
 */

class CredentialsPage {
  #service = new DataService(location.origin);
  #theme = new ThemeToggle(() => undefined);
  #main = find("#main", HTMLElement);
  #place = find("#kept", HTMLElement);
  #note = find("#kept-note", HTMLElement);
  /** @type {ProviderItem[]} */
  #providers = [];
  /** @type {FieldForm | null} */
  #form = null;
  /** @type {CredentialCard[]} */
  #cards = [];

  async start() {
    await requireUser();
    await this.#loadProviders();
    await this.load();
    this.#main.dataset.shown = String(this.#cards.length);
  }

  destroy() {
    for (const part of [...this.#cards, this.#theme, this.#service]) part.destroy();
    this.#form?.destroy();
  }

  async load() {
    try {
      this.#show((await credentials.list()).items);
    } catch (error) {
      replace(this.#place, failure(asApiError(error), () => this.load()));
    }
  }

  /** @param {readonly CredentialItem[]} items */
  #show(items) {
    for (const card of this.#cards) card.destroy();
    this.#cards = items.map((item) => new CredentialCard(item, this.#providerOf(item), { onChanged: () => this.load() }));
    this.#note.textContent = items.length === 0 ? "" : String(items.length);
    const none = element("p", { class: "empty" }, "You have entered no key. Prices need none; your own balances and orders do.");
    replace(this.#place, ...(items.length === 0 ? [none] : this.#cards.map(({ node }) => node)));
  }

  /** @param {CredentialItem} item */
  #providerOf({ market, provider }) {
    return this.#providers.find((one) => one.market === market && one.provider === provider);
  }

  async #loadProviders() {
    const place = find("#add", HTMLElement);
    try {
      const markets = [...new Set((await this.#service.markets()).map(({ market }) => market))];
      const lists = await Promise.all(markets.map((market) => this.#service.providers(market)));
      this.#providers = lists.flat();
      const wanting = this.#providers.filter(({ credential_fields: fields }) => fields.length > 0);
      if (wanting.length === 0) replace(place, element("p", { class: "empty" }, "No provider here takes a key."));
      else this.#showAdding(place, wanting);
    } catch (error) {
      replace(place, failure(asApiError(error), () => this.#loadProviders()));
    }
  }

  /** @param {HTMLElement} place @param {readonly ProviderItem[]} providers that take keys */
  #showAdding(place, providers) {
    const markets = [...new Set(providers.map(({ market }) => market))];
    const choice = element("select", { class: "select", id: "new-provider", onchange: () => this.#showFields(fields, providers[Number(choice.value)]) });
    for (const market of markets) {
      const options = providers.flatMap((one, at) => (one.market === market ? [element("option", { value: at }, one.name)] : []));
      choice.append(element("optgroup", { label: market.charAt(0).toUpperCase() + market.slice(1) }, ...options));
    }
    const fields = element("div");
    replace(
      place,
      element("p", {}, "Give the key no right to withdraw. Nothing here withdraws anything, and a key that can is worth stealing."),
      element("div", { class: "form" }, element("div", { class: "form-field" }, element("label", { for: "new-provider" }, "Provider"), choice)),
      fields,
    );
    this.#showFields(fields, providers[0]);
  }

  /** @param {HTMLElement} place @param {ProviderItem | undefined} provider */
  #showFields(place, provider) {
    this.#form?.destroy();
    if (!provider) return;
    const form = new FieldForm({
      label: `A key for ${provider.name}`,
      fields: [
        { name: "label", label: "Name", value: provider.name, maxlength: 64, hint: "By which you will know it." },
        ...fieldsOf(provider, true),
        ...(provider.testnet ? [/** @type {const} */ ({ name: "testnet", label: "It is for the provider’s testnet", type: "checkbox", required: false, hint: "Play money; the keys of the real venue do not work there." })] : []),
      ],
      submit: "Keep this key",
      onSubmit: (values) => this.#add(provider, values),
    });
    this.#form = form;
    replace(place, form.node);
  }

  /** @param {ProviderItem} provider @param {Values} values */
  async #add(provider, values) {
    const { market, provider: id } = provider;
    const label = (values.label ?? "").trim();
    const body = { market, provider: id, label, testnet: values.testnet === "on", fields: secretsIn(provider, values) };
    const made = await withStepUp(() => credentials.add(body));
    this.#form?.clear();
    await this.load();
    return made.key_hint ? `Kept. Of the key only “…${made.key_hint}” is ever shown again. Test it now.` : "Kept; nothing of it is ever shown again. Test it now.";
  }
}

const page = new CredentialsPage();
page.start();
globalThis.addEventListener("pagehide", (left) => left.persisted || page.destroy());

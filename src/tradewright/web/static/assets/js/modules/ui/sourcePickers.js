/** Market, provider and symbol, each depending on the one before. */

import { ApiError, UNKNOWN_MARKET, UNKNOWN_PROVIDER } from "../net/errors.js";
import { Combobox } from "./combobox.js";
import { clip } from "../state/format.js";
import { readPreferences } from "../state/preferences.js";
import { element } from "./element.js";

/**
 * @import {DataService, SymbolAddress} from "../data/dataService.js"
 * @import {InstrumentItem, ProviderItem} from "../net/protocol.js"
 * @import {Option, OptionPage} from "./combobox.js"
 */

const SEARCH_DEBOUNCE_MS = 180;
const FIRST_CHOICES = ["BTC/USDT", "BTC/USD", "BTC/USDC", "BTC/EUR", "AAPL", "SPY"];

/** Whether the provider is known from imports alone, and can't be asked. @param {ProviderItem | undefined} provider */
export function isImported(provider) {
  return provider?.plugin === "imported";
}

/** @param {Pick<ProviderItem, "simulated"> | null | undefined} provider whose prices may be made up by the server */
export function isSimulated(provider) {
  return provider?.simulated === true;
}

export class SourcePickers {
  #service;
  #onSelect;
  #market = element("select", { class: "select", "aria-label": "Market", onchange: () => this.#pickMarket(this.#market.value) });
  #provider;
  #symbol;
  #root;
  /** @type {SymbolAddress} */
  #address = { market: "", provider: "", symbol: "" };
  /** Rises with every choice, so that a slow answer to an earlier one changes nothing. */
  #choice = 0;

  /**
   * @param {DataService} service
   * @param {{prefix: string, onSelect: (address: SymbolAddress) => void}} settings `prefix` of element ids
   */
  constructor(service, { prefix, onSelect }) {
    this.#service = service;
    this.#onSelect = onSelect;
    this.#provider = new Combobox({
      id: `${prefix}-provider`,
      label: "Provider",
      placeholder: "Provider",
      load: (search) => this.#providers(search),
      onSelect: (option) => this.#pickProvider(option.value),
    });
    this.#symbol = new Combobox({
      id: `${prefix}-symbol`,
      label: "Symbol",
      placeholder: "Symbol",
      debounceMs: SEARCH_DEBOUNCE_MS,
      load: (search, cursor, signal) => this.#symbols(search, cursor, signal),
      onSelect: (option) => this.#tell({ ...this.#address, symbol: option.value }),
    });
    this.#root = element("div", { class: "toolbar-pick" }, this.#market, this.#provider.node, this.#symbol.node);
  }

  get node() {
    return this.#root;
  }

  /** @returns {SymbolAddress} */
  get address() {
    return this.#address;
  }

  /**
   * Completes what an address leaves open with what the server has: the simulated provider first, for it
   * always answers.
   *
   * @param {Partial<SymbolAddress>} asked
   * @returns {Promise<SymbolAddress>}
   * @throws {ApiError} also where there is no such market or provider; what could be found out is shown even
   *   then, so that there is something to choose from
   */
  async start(asked) {
    const markets = [...new Set((await this.#service.markets()).map((item) => item.market))];
    this.#market.replaceChildren(...markets.map((name) => element("option", { value: name }, title(name))));
    const wanted = asked.market || asked.provider ? asked : { ...(await this.#home(markets)), ...asked };
    const market = wanted.market ?? markets[0] ?? "";
    if (!markets.includes(market)) {
      this.show({ market: markets[0] ?? "", provider: "", symbol: "" });
      throw new ApiError(UNKNOWN_MARKET, `There is no market “${clip(market)}”.`);
    }
    const provider = wanted.provider ?? (await this.#firstProvider(market));
    const providers = await this.#service.providers(market);
    if (!providers.some((item) => item.provider === provider)) {
      this.show({ market, provider: "", symbol: "" });
      throw new ApiError(UNKNOWN_PROVIDER, `There is no provider “${clip(provider)}” in the market ${title(market)}.`);
    }
    this.show({ market, provider, symbol: wanted.symbol ?? "" });
    const symbol = wanted.symbol ?? (await this.#firstSymbol(market, provider, ""));
    this.show({ market, provider, symbol });
    return this.#address;
  }

  /** @param {SymbolAddress} address */
  async show(address) {
    this.#address = address;
    this.#market.value = address.market;
    this.#symbol.show({ value: address.symbol, label: address.symbol });
    this.#provider.show({ value: address.provider, label: address.provider });
    const providers = await this.#service.providers(address.market).catch(() => []);
    const item = providers.find((one) => one.provider === address.provider);
    if (item && this.#address === address) this.#provider.show({ value: item.provider, label: item.name });
  }

  focusSymbol() {
    this.#symbol.focus();
  }

  destroy() {
    this.#provider.destroy();
    this.#symbol.destroy();
    this.#root.remove();
  }

  /** @param {SymbolAddress} address */
  #tell(address) {
    this.#choice += 1;
    this.show(address);
    this.#onSelect(address);
  }

  /** @param {string} market */
  async #pickMarket(market) {
    const choice = ++this.#choice;
    const provider = await this.#firstProvider(market).catch(() => "");
    if (choice === this.#choice && provider) this.#follow(market, provider, "", choice);
  }

  /** @param {string} provider */
  #pickProvider(provider) {
    const { market, symbol } = this.#address;
    this.#follow(market, provider, symbol, ++this.#choice);
  }

  /**
   * @param {string} market
   * @param {string} provider
   * @param {string} symbol
   * @param {number} choice
   */
  async #follow(market, provider, symbol, choice) {
    // A provider that can't be reached keeps the symbol: the chart then says what is wrong.
    const found = await this.#firstSymbol(market, provider, symbol).catch(() => symbol);
    if (choice === this.#choice) this.#tell({ market, provider, symbol: found || symbol });
  }

  /** The market and provider that the person wants to begin with, where the server has them. @param {string[]} markets */
  async #home(markets) {
    const { home } = readPreferences();
    if (!home || !markets.includes(home.market)) return {};
    const listed = await this.#service.providers(home.market).catch(() => []);
    return listed.some(({ provider }) => provider === home.provider) ? { ...home } : {};
  }

  /** @param {string} market */
  async #firstProvider(market) {
    const items = await this.#service.providers(market);
    return (items.find(isSimulated) ?? items[0])?.provider ?? "";
  }

  /**
   * @param {string} market
   * @param {string} provider
   * @param {string} preferred
   */
  async #firstSymbol(market, provider, preferred) {
    const wanted = preferred ? [preferred, ...FIRST_CHOICES] : FIRST_CHOICES;
    const page = await this.#service.symbols({ market, provider, limit: 200 });
    const listed = new Set(page.items.map((item) => item.symbol));
    const hit = wanted.find((symbol) => listed.has(symbol));
    if (hit === preferred && hit) return hit;
    if (preferred && (await this.#service.instrument({ market, provider, symbol: preferred }))) return preferred;
    return hit ?? page.items[0]?.symbol ?? "";
  }

  /** @param {string} search @returns {Promise<OptionPage>} */
  async #providers(search) {
    const words = search.toLowerCase();
    const items = await this.#service.providers(this.#address.market);
    const hits = items.filter(({ provider, name }) => `${provider} ${name}`.toLowerCase().includes(words));
    return { options: hits.map(providerOption) };
  }

  /**
   * @param {string} search
   * @param {string | null} cursor
   * @param {AbortSignal} signal
   * @returns {Promise<OptionPage>}
   */
  async #symbols(search, cursor, signal) {
    const { market, provider } = this.#address;
    const page = await this.#service.symbols({ market, provider, search, cursor }, signal);
    return { options: page.items.map(symbolOption), cursor: page.next_cursor };
  }
}

/** @param {ProviderItem} item @returns {Option} */
function providerOption(item) {
  const option = { value: item.provider, label: item.name };
  return isSimulated(item) ? { ...option, tag: "Simulated" } : option;
}

/** @param {InstrumentItem} item @returns {Option} */
function symbolOption({ symbol, type, active, name }) {
  return { value: symbol, label: symbol, detail: name ?? type, ...(active === false && { tag: "inactive" }) };
}

/** @param {string} name */
function title(name) {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

/** The dashboard: what this server has, and whether it is well. */

import { DataService } from "../modules/data/dataService.js";
import { asApiError } from "../modules/net/errors.js";
import { chartUrl } from "../modules/state/deepLink.js";
import { precisionOfTick } from "../modules/state/format.js";
import { readPreferences } from "../modules/state/preferences.js";
import { ConnectionStatus } from "../modules/ui/connectionStatus.js";
import { element, find, replace } from "../modules/ui/element.js";
import { ProviderTable } from "../modules/ui/providerTable.js";
import { isSimulated, SourcePickers } from "../modules/ui/sourcePickers.js";
import { ThemeToggle } from "../modules/ui/themeToggle.js";
import { WatchTable } from "../modules/ui/watchTable.js";

/**
 * @import {ApiError} from "../modules/net/errors.js"
 * @import {ProviderItem, Readiness} from "../modules/net/protocol.js"
 */

const WATCHED_MAX = 6;
const HEALTH_EVERY_MS = 10_000;
/** What a person calls the parts that the server stands on. @type {Record<string, string>} */
const DEPENDENCY_WORDS = { auth_db: "accounts", user_configs_db: "preferences and keys" };

class Dashboard {
  #service = new DataService(location.origin);
  #status;
  #theme = new ThemeToggle(() => undefined);
  #pickers;
  #healthTimer;
  /** @type {{destroy: () => void}[]} */
  #parts = [];
  /** @type {WatchTable | null} */
  #watch = null;
  /** @type {() => void} */
  #stopLink;

  constructor() {
    const main = find("#main", HTMLElement);
    this.#status = new ConnectionStatus((state) => {
      main.dataset.connection = state;
      this.#watch?.setOffline(state === "offline");
    });
    find("#watch-note", HTMLElement).append(this.#status.node);
    this.#stopLink = this.#service.watchLink((link) => this.#status.setLink(link));
    this.#pickers = new SourcePickers(this.#service, {
      prefix: "open",
      onSelect: (address) => (open.href = chartUrl({ ...address, timeframe: "1m" })),
    });
    const open = element("a", { class: "button button-primary", href: "/chart" }, "Open chart");
    find("#open-chart", HTMLElement).append(this.#pickers.node, open);
    this.#pickers
      .start({})
      .then((address) => (open.href = chartUrl({ ...address, timeframe: "1m" })))
      .catch(() => undefined); // the tile of the providers says what is wrong
    this.#showRecent();
    this.#showProviders();
    this.#showHealth();
    this.#healthTimer = setInterval(() => this.#showHealth(), HEALTH_EVERY_MS);
  }

  destroy() {
    clearInterval(this.#healthTimer);
    this.#stopLink();
    for (const part of [...this.#parts, this.#pickers, this.#status, this.#theme, this.#service]) part.destroy();
  }

  #showRecent() {
    const { recent } = readPreferences();
    const rows = recent.map((address) =>
      element(
        "li",
        {},
        element("a", { href: chartUrl(address), title: address.symbol }, address.symbol),
        element("span", { class: "muted" }, `${address.timeframe} · ${address.provider}`),
      ),
    );
    const none = element("p", { class: "empty" }, "Charts that you open are listed here. ", element("a", { href: "/chart" }, "Open the first one"));
    replace(find("#recent", HTMLElement), rows.length > 0 ? element("ul", { class: "links" }, ...rows) : none);
  }

  async #showProviders() {
    const place = find("#providers", HTMLElement);
    try {
      const markets = await this.#service.markets();
      const names = [...new Set(markets.map((item) => item.market))];
      const lists = await Promise.all(names.map((market) => this.#service.providers(market)));
      const providers = lists.flat();
      if (providers.length === 0) {
        replace(place, element("p", { class: "empty" }, "No plugin offers a provider. Look into the server's log."));
        replace(find("#watch", HTMLElement), element("p", { class: "empty" }, "There is no provider to take prices from."));
        return;
      }
      find("#providers-note", HTMLElement).textContent = names.map((name, at) => `${lists[at]?.length ?? 0} ${name}`).join(" · ");
      const table = new ProviderTable(providers);
      this.#parts.push(table);
      replace(place, table.node);
      await this.#showWatch(providers);
    } catch (error) {
      replace(place, this.#failure(asApiError(error), () => this.#showProviders()));
    }
  }

  /** @param {readonly ProviderItem[]} providers the simulated one is taken, for it needs no network */
  async #showWatch(providers) {
    const place = find("#watch", HTMLElement);
    const provider = providers.find(isSimulated) ?? providers[0];
    if (!provider) return;
    try {
      const query = { market: provider.market, provider: provider.provider, limit: WATCHED_MAX };
      const { items } = await this.#service.symbols(query);
      const rows = items.map(({ symbol, price_tick: tick }) => ({
        address: { market: query.market, provider: query.provider, symbol },
        precision: tick === null ? null : precisionOfTick(tick),
      }));
      if (rows.length === 0) {
        replace(place, element("p", { class: "empty" }, `${provider.name} lists no symbol.`));
        return;
      }
      this.#status.setFault(null);
      const table = new WatchTable(this.#service, rows, {
        onTick: () => this.#status.touch(),
        onFeed: (feed) => this.#status.setFeed(feed),
      });
      this.#parts.push(table);
      this.#watch = table;
      find("#watch-title", HTMLElement).append(
        element("span", { class: "muted" }, ` ${provider.name} `),
        isSimulated(provider) ? element("span", { class: "tag tag-simulated" }, "Simulated") : "",
      );
      replace(place, table.node);
    } catch (error) {
      replace(place, this.#failure(asApiError(error), () => this.#showWatch(providers)));
    }
  }

  async #showHealth() {
    const place = find("#health", HTMLElement);
    const note = find("#health-note", HTMLElement);
    try {
      const readiness = await this.#service.readiness();
      const words = readiness.ready ? "Ready" : "Not ready";
      replace(note, element("span", { class: "status", "data-state": readiness.ready ? "live" : "down" }, element("span", { class: "dot" }), words));
      replace(place, healthList(readiness));
    } catch {
      replace(note, element("span", { class: "status", "data-state": "down" }, element("span", { class: "dot" }), "Unreachable"));
      replace(place, element("p", { class: "empty" }, "The server does not answer. This page asks again every ten seconds."));
    }
  }

  /** @param {ApiError} error @param {() => void} retry */
  #failure({ code, message }, retry) {
    this.#status.setFault({ state: code === "network" || code === "timeout" ? "offline" : "down" });
    return element("div", { class: "empty" }, element("p", {}, message), element("button", { type: "button", class: "button", onclick: retry }, "Retry"));
  }
}

/** @param {Readiness} readiness */
function healthList({ dependencies }) {
  const rows = dependencies.map(({ name, ok, detail }) =>
    element(
      "div",
      { class: "pair" },
      element("dt", {}, DEPENDENCY_WORDS[name] ?? name.replaceAll("_", " ")),
      element(
        "dd",
        { class: "status", "data-state": ok ? "live" : "down" },
        element("span", { class: "dot" }),
        ok ? "ok" : "failing",
        detail && element("span", { class: "muted" }, detail),
      ),
    ),
  );
  return element("dl", { class: "pairs" }, ...rows);
}

const page = new Dashboard();
globalThis.addEventListener("pagehide", (left) => {
  if (!left.persisted) page.destroy();
});

/** The data page: what is stored, what is missing, and how to get it in and out. */

import { DataService } from "../modules/data/dataService.js";
import { asApiError, UNKNOWN_MARKET, UNKNOWN_PROVIDER } from "../modules/net/errors.js";
import { isActive, justEnded } from "../modules/state/backfills.js";
import { chartUrl, dataUrl, readAddress } from "../modules/state/deepLink.js";
import { localZone } from "../modules/state/format.js";
import { readPreferences, savePreferences } from "../modules/state/preferences.js";
import { BackfillForm } from "../modules/ui/backfillForm.js";
import { BackfillList } from "../modules/ui/backfillList.js";
import { Banner } from "../modules/ui/banner.js";
import { ChoiceMenu } from "../modules/ui/choiceMenu.js";
import { ConnectionStatus } from "../modules/ui/connectionStatus.js";
import { element, find, replace } from "../modules/ui/element.js";
import { ExportPanel } from "../modules/ui/exportPanel.js";
import { failure } from "../modules/ui/failure.js";
import { isImported, isSimulated, SourcePickers } from "../modules/ui/sourcePickers.js";
import { StoredTable } from "../modules/ui/storedTable.js";
import { ThemeToggle } from "../modules/ui/themeToggle.js";
import { DataCoverage } from "./dataCoverage.js";

/**
 * @import {SymbolAddress} from "../modules/data/dataService.js"
 * @import {BackfillJob, StoredItem, StripResponse} from "../modules/net/protocol.js"
 * @import {LinkStatus} from "../modules/net/connection.js"
 * @import {Run} from "../modules/state/coverage.js"
 * @import {Preferences} from "../modules/state/preferences.js"
 * @import {WantedRange} from "../modules/ui/backfillForm.js"
 * @import {ExportChoice} from "../modules/ui/exportPanel.js"
 */

/** How often what is stored is read again while a backfill runs. */
const REFRESH_MS = 4_000;

const IMPORTED = "This is imported history: no provider can be asked for more. “tradewright import” adds to it.";

class DataPage {
  #service = new DataService(location.origin);
  #main = find("#main", HTMLElement);
  #zone = readPreferences().zone;
  #status = new ConnectionStatus((state) => (this.#main.dataset.connection = state));
  #banner = new Banner(() => this.#service.retryLive());
  #theme = new ThemeToggle(() => undefined);
  #sources;
  #coverage;
  #form;
  #saver;
  #export;
  #jobs;
  #stored;
  #live;
  #chart = element("a", { class: "button", href: "/chart" }, "Open chart");
  /** @type {SymbolAddress | null} */
  #address = null;
  /** @type {readonly BackfillJob[]} */
  #backfills = [];
  /** @type {StoredItem[]} */
  #items = [];
  /** @type {string | null} */
  #cursor = null;
  #refreshTimer = 0;
  /** @type {(() => void)[]} */
  #stop = [];

  constructor() {
    const zone = new ChoiceMenu({
      label: "Time zone",
      choices: [
        { value: "browser", label: "Local" },
        { value: "utc", label: "UTC" },
      ],
      selected: this.#zone,
      onSelect: (chosen) => this.#setZone(chosen),
    });
    this.#sources = new SourcePickers(this.#service, { prefix: "data", onSelect: (address) => this.#open(address) });
    this.#coverage = new DataCoverage(this.#service, this.#zone, {
      onShown: (strip) => this.#onShown(strip),
      onPick: (run) => this.#onPick(run),
      onFetch: () => find("#fetch input", HTMLInputElement).focus(),
    });
    this.#form = new BackfillForm({ onStart: (range) => this.#start(range), now: () => Date.now() });
    this.#saver = this.#service.fileSaver();
    const exportUrl = (/** @type {ExportChoice} */ choice) => (this.#address ? this.#service.exportUrl({ ...this.#address, ...choice }) : "");
    this.#export = new ExportPanel(exportUrl, this.#saver);
    this.#jobs = new BackfillList({ onCancel: (id) => this.#cancel(id), onFocus: (job) => this.#choose(job) });
    this.#stored = new StoredTable({ onSelect: (address) => this.#choose(address), onMore: () => this.#loadStored(this.#cursor) });
    find("#source", HTMLElement).append(this.#sources.node);
    find("#page-tools", HTMLElement).append(this.#status.node, zone.node, this.#chart);
    find("#banner-slot", HTMLElement).append(this.#banner.node);
    replace(find("#fetch", HTMLElement), this.#form.node);
    replace(find("#export", HTMLElement), this.#export.node);
    this.#form.setZone(this.#zone);
    this.#form.forbid("");
    this.#export.show(null);
    this.#live = this.#service.watchBackfills({
      onList: (list) => this.#onBackfills(list),
      onError: (error) => {
        if (this.#backfills.length === 0) replace(find("#backfills", HTMLElement), failure(error, () => this.#live.ask()));
      },
    });
    const timer = setInterval(() => this.#backfills.some(isActive) && this.#refreshSoon(), REFRESH_MS);
    this.#stop = [() => clearInterval(timer), () => zone.destroy(), this.#service.watchLink((link) => this.#onLink(link))];
  }

  async start() {
    this.#loadStored(null);
    const wanted = readAddress(location.search);
    const recent = Object.keys(wanted).length === 0 ? readPreferences().recent[0] : undefined;
    try {
      this.#open(await this.#findSource({ ...recent, ...wanted }, recent !== undefined));
    } catch (error) {
      const place = find("#coverage", HTMLElement);
      replace(place, element("div", { class: "empty" }, failure(asApiError(error), () => this.start())));
    }
  }

  destroy() {
    clearTimeout(this.#refreshTimer);
    for (const stop of this.#stop) stop();
    const parts = [this.#live, this.#coverage, this.#form, this.#saver, this.#export, this.#jobs, this.#stored, this.#sources];
    for (const part of [...parts, this.#status, this.#banner, this.#theme, this.#service]) part.destroy();
  }

  /**
   * @param {Partial<SymbolAddress>} wanted
   * @param {boolean} remembered and not asked for: what is gone is passed over
   */
  async #findSource(wanted, remembered) {
    try {
      return await this.#sources.start(wanted);
    } catch (error) {
      if (!remembered || ![UNKNOWN_MARKET, UNKNOWN_PROVIDER].includes(asApiError(error).code)) throw error;
      return this.#sources.start({});
    }
  }

  /** @param {SymbolAddress} address */
  #choose({ market, provider, symbol }) {
    const address = { market, provider, symbol };
    this.#sources.show(address);
    this.#open(address);
    find("#coverage-title", HTMLElement).scrollIntoView({ block: "nearest" });
  }

  /** @param {SymbolAddress} address */
  async #open(address) {
    this.#address = address;
    Object.assign(this.#main.dataset, address);
    delete this.#main.dataset.shown;
    history.replaceState(null, "", dataUrl(address));
    document.title = `${address.symbol} · Data · tradewright`;
    this.#chart.href = chartUrl({ ...address, timeframe: "1m" });
    this.#form.forbid(address.symbol === "" ? "" : null);
    this.#stored.mark(address);
    this.#export.show(null);
    const providers = await this.#service.providers(address.market).catch(() => []);
    if (this.#address !== address) return;
    const provider = providers.find((item) => item.provider === address.provider);
    replace(
      find("#coverage-note", HTMLElement),
      `${address.symbol} · ${provider?.name ?? address.provider}`,
      isSimulated(provider) && element("span", { class: "tag tag-simulated" }, "Simulated"),
    );
    if (isImported(provider)) this.#form.forbid(IMPORTED);
    this.#coverage.open(address, isSimulated(provider));
  }

  /** @param {StripResponse} strip */
  #onShown(strip) {
    this.#export.show(strip.items.length > 0 ? { start: strip.start, end: strip.end } : null);
    this.#main.dataset.shown = String(strip.items.length);
  }

  /** @param {Run} run */
  #onPick(run) {
    if (run.kind === "missing") this.#form.fill({ start: run.start, end: run.end });
  }

  /** @param {WantedRange} range */
  async #start(range) {
    if (!this.#address) return;
    this.#live.note(await this.#service.startBackfill({ ...this.#address, ...range }));
  }

  /** @param {string} id */
  async #cancel(id) {
    this.#live.note(await this.#service.cancelBackfill(id));
  }

  /** @param {readonly BackfillJob[]} list */
  #onBackfills(list) {
    const ended = justEnded(this.#backfills, list);
    this.#backfills = list;
    const place = find("#backfills", HTMLElement);
    if (this.#jobs.node.parentNode !== place) replace(place, this.#jobs.node);
    this.#jobs.show(list, this.#zoneName);
    const running = list.filter(isActive).length;
    find("#backfills-note", HTMLElement).textContent = running === 0 ? "" : `${running} running`;
    if (ended.length > 0) this.#refreshSoon();
  }

  /** What is stored has changed: shows it, at most once in a while however often it does. */
  #refreshSoon() {
    if (this.#refreshTimer !== 0) return;
    this.#refreshTimer = setTimeout(() => {
      this.#refreshTimer = 0;
      this.#coverage.refresh();
      this.#loadStored(null);
    }, 300);
  }

  /** @param {string | null} cursor null reads the first page anew */
  async #loadStored(cursor) {
    const place = find("#stored", HTMLElement);
    try {
      const page = await this.#service.stored(cursor);
      this.#items = cursor === null ? page.items : [...this.#items, ...page.items];
      this.#cursor = page.next_cursor ?? null;
      find("#stored-note", HTMLElement).textContent = this.#items.length === 0 ? "" : `${this.#items.length}${this.#cursor ? "+" : ""}`;
      if (this.#items.length === 0) {
        replace(place, element("p", { class: "empty" }, "Nothing is stored yet. ", element("a", { href: "/chart" }, "Open a chart"), ": what it shows is kept."));
        return;
      }
      if (this.#stored.node.parentNode !== place) replace(place, this.#stored.node);
      this.#stored.show(this.#items, this.#cursor !== null, this.#zoneName);
      this.#stored.mark(this.#address);
    } catch (error) {
      if (this.#items.length === 0) replace(place, failure(asApiError(error), () => this.#loadStored(cursor)));
    }
  }

  /** @param {LinkStatus} link */
  #onLink(link) {
    this.#status.setLink(link);
    // There is no feed to watch here: an open line is all there is to say.
    this.#status.setFeed(link.state === "open" ? { type: "feed", topic: "", state: "live" } : null);
    const lost = link.state === "waiting" || link.state === "refused";
    this.#banner.show(
      lost ? [{ code: "network", detail: "The server cannot be reached." }] : [],
      "What is shown may be out of date; the page comes back by itself.",
    );
  }

  /** @param {Preferences["zone"]} zone */
  #setZone(zone) {
    this.#zone = zone;
    savePreferences({ zone });
    this.#coverage.setZone(zone);
    this.#form.setZone(zone);
    this.#jobs.show(this.#backfills, this.#zoneName);
    if (this.#items.length > 0) this.#stored.show(this.#items, this.#cursor !== null, this.#zoneName);
  }

  get #zoneName() {
    return this.#zone === "utc" ? "UTC" : localZone();
  }
}

const page = new DataPage();
page.start();
globalThis.addEventListener("pagehide", (left) => {
  if (!left.persisted) page.destroy();
});

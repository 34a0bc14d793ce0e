/** The chart page: an address, a session that follows it, and the controls that change it. */

import { DataService } from "../modules/data/dataService.js";
import { asApiError, UNKNOWN_MARKET, UNKNOWN_PROVIDER } from "../modules/net/errors.js";
import { chartUrl, readAddress } from "../modules/state/deepLink.js";
import { clip, formatBarTime, localZone } from "../modules/state/format.js";
import { readPreferences, rememberChart } from "../modules/state/preferences.js";
import { timeframe } from "../modules/state/timeframes.js";
import { isSimulated } from "../modules/ui/sourcePickers.js";
import { ThemeToggle } from "../modules/ui/themeToggle.js";
import { ChartSession } from "./chartSession.js";
import { ChartToolbar } from "./chartToolbar.js";
import { ChartView } from "./chartView.js";
import { savePicture } from "./screenshot.js";
import { listenForShortcuts } from "./shortcuts.js";

/**
 * @import {SymbolAddress} from "../modules/data/dataService.js"
 * @import {ProviderItem} from "../modules/net/protocol.js"
 * @import {Timeframe} from "../modules/state/timeframes.js"
 * @import {ChartAddress, Preferences} from "../modules/state/preferences.js"
 */

const TIMEFRAME_DEFAULT = "1m";

class ChartPage {
  #service = new DataService(location.origin);
  #view;
  #toolbar;
  #theme;
  /** @type {ChartSession | null} */
  #session = null;
  /** @type {ChartAddress | null} */
  #address = null;
  /** The timeframe to show an address with that names none. */
  #timeframe = TIMEFRAME_DEFAULT;
  #sideVisible = readPreferences().sidePanel;
  /** @type {(() => void)[]} */
  #stop = [];

  constructor() {
    const known = readPreferences();
    this.#view = new ChartView({
      onRetry: () => this.#retry(),
      onSearch: () => this.#toolbar.sources.focusSymbol(),
    });
    const { chart } = this.#view;
    this.#toolbar = new ChartToolbar(this.#service, {
      onAddress: (address) => this.#show({ ...address, timeframe: this.#timeframe }),
      onTimeframe: (id) => this.#address && this.#show({ ...this.#address, timeframe: id }),
      onChartType: (type) => chart.setChartType(type),
      onIndicators: (chosen) => chart.setIndicators(chosen),
      onAxis: (axis) => chart.setAxis(axis),
      onZone: (zone) => this.#setZone(zone),
      onSide: (visible) => this.#showSide(visible),
      onScreenshot: () => this.#savePicture(),
      onLatest: () => chart.scrollToLatest(),
    });
    this.#theme = new ThemeToggle(() => chart.refreshTheme());
    chart.setChartType(known.chartType);
    chart.setAxis(known.axis);
    chart.setIndicators(known.indicators);
    this.#setZone(known.zone);
    this.#view.showSide(this.#sideVisible);
    this.#stop = [
      this.#service.watchLink((link) => this.#view.status.setLink(link)),
      listenForShortcuts({
        onSearch: () => this.#toolbar.sources.focusSymbol(),
        onDigit: (digit) => this.#toolbar.timeframes.type(digit),
      }),
    ];
  }

  /** Finds out what to show, and shows it. */
  async start() {
    const wanted = readAddress(location.search);
    const recent = Object.keys(wanted).length === 0 ? readPreferences().recent[0] : undefined;
    const id = wanted.timeframe ?? recent?.timeframe ?? TIMEFRAME_DEFAULT;
    const known = timeframe(id) !== undefined;
    this.#timeframe = known ? id : TIMEFRAME_DEFAULT;
    this.#toolbar.timeframes.show(this.#timeframe);
    this.#view.showProblems([]);
    this.#view.say("Loading…");
    try {
      const source = await this.#findSource(wanted, recent);
      const notice = known ? "" : `There is no timeframe “${clip(id)}”; ${this.#timeframe} is shown.`;
      this.#show({ ...source, timeframe: this.#timeframe }, notice);
    } catch (error) {
      this.#view.refuse(asApiError(error));
    }
  }

  /**
   * @param {Partial<ChartAddress>} wanted by the link
   * @param {ChartAddress | undefined} recent followed only as long as the server still has it
   * @returns {Promise<SymbolAddress>}
   * @throws {ApiError}
   */
  async #findSource(wanted, recent) {
    const { sources } = this.#toolbar;
    try {
      return await sources.start({ ...recent, ...wanted });
    } catch (error) {
      const gone = recent && [UNKNOWN_MARKET, UNKNOWN_PROVIDER].includes(asApiError(error).code);
      if (!gone) throw error;
      return sources.start({});
    }
  }

  destroy() {
    for (const stop of this.#stop) stop();
    this.#session?.destroy();
    this.#toolbar.destroy();
    this.#theme.destroy();
    this.#view.destroy();
    this.#service.destroy();
  }

  /**
   * @param {ChartAddress} wanted
   * @param {string} [notice] what is shown otherwise than asked for
   */
  async #show(wanted, notice = "") {
    this.#address = wanted;
    this.#session?.destroy();
    this.#session = null;
    const providers = await this.#service.providers(wanted.market).catch(() => []);
    if (this.#address !== wanted) return;
    const provider = providers.find((item) => item.provider === wanted.provider);
    const frame = offeredTimeframe(wanted.timeframe, provider);
    const address = { ...wanted, timeframe: frame.id };
    this.#address = address;
    this.#timeframe = frame.id;
    history.replaceState(null, "", chartUrl(address));
    this.#toolbar.timeframes.show(frame.id);
    this.#toolbar.timeframes.setSupported(provider?.timeframes ?? []);
    const other = frame.id === wanted.timeframe ? "" : `${provider?.name} does not serve ${wanted.timeframe}; ${frame.id} is shown.`;
    this.#view.begin({
      notice: [notice, other].filter(Boolean).join(" "),
      address,
      timeframe: frame,
      providerName: provider?.name ?? address.provider,
      simulated: isSimulated(provider),
    });
    // Only what could be shown is remembered: a wrong link must not come back on its own.
    this.#session = new ChartSession(this.#service, this.#view, address, () => rememberChart(address));
    this.#session.showSide(this.#sideVisible);
  }

  #retry() {
    if (this.#session) this.#session.retry();
    else this.start();
  }

  /** @param {boolean} visible */
  #showSide(visible) {
    this.#sideVisible = visible;
    this.#view.showSide(visible);
    this.#session?.showSide(visible);
  }

  /** @param {Preferences["zone"]} zone */
  #setZone(zone) {
    const local = localZone();
    if (zone === "utc") this.#view.setZone("UTC", "UTC");
    else this.#view.setZone(local, local.replaceAll("_", " "));
  }

  async #savePicture() {
    const { chart } = this.#view;
    if (!this.#address) return;
    const { symbol, timeframe: id, provider } = this.#address;
    const { surface, text, muted } = chart.palette;
    const simulated = this.#view.root.querySelector(".tag-simulated") ? " · simulated prices" : "";
    const detail = `${id} · ${provider}${simulated} · ${formatBarTime(Date.now(), "UTC", false)} UTC`;
    const name = `${provider}-${symbol}-${id}.png`.replaceAll(/[^\w.-]+/g, "-");
    await savePicture(chart.picture(), { title: symbol, detail, background: surface, color: text, muted }, name);
  }
}

/**
 * @param {string} id of a known timeframe
 * @param {ProviderItem | undefined} provider
 * @returns {Timeframe} that one where the provider has it, else the default one, else its first
 */
function offeredTimeframe(id, provider) {
  const offered = (provider?.timeframes ?? []).map(timeframe).filter((item) => item !== undefined);
  const wanted = timeframe(id) ?? /** @type {Timeframe} */ (timeframe(TIMEFRAME_DEFAULT));
  if (offered.length === 0 || offered.some((item) => item.id === wanted.id)) return wanted;
  return offered.find((item) => item.id === TIMEFRAME_DEFAULT) ?? /** @type {Timeframe} */ (offered[0]);
}

const page = new ChartPage();
page.start();
globalThis.addEventListener("pagehide", (left) => {
  // A page kept for going back keeps its connections; they end with it otherwise.
  if (!left.persisted) page.destroy();
});

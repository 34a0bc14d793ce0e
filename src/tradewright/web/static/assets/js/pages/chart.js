/** The chart page: an address, a session that follows it, and the controls that change it. */

import { DataService } from "../modules/data/dataService.js";
import { asApiError } from "../modules/net/errors.js";
import { chartUrl, readAddress } from "../modules/state/deepLink.js";
import { formatBarTime } from "../modules/state/format.js";
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
  #sideVisible = readPreferences().sidePanel;
  /** @type {(() => void)[]} */
  #stop = [];

  constructor() {
    const known = readPreferences();
    this.#view = new ChartView({ onRetry: () => this.#retry() });
    const { chart } = this.#view;
    this.#toolbar = new ChartToolbar(this.#service, {
      onAddress: (address) => this.#show({ ...address, timeframe: this.#address?.timeframe ?? TIMEFRAME_DEFAULT }),
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
    try {
      const source = await this.#toolbar.sources.start({ ...recent, ...wanted });
      this.#show({ ...source, timeframe: timeframe(id) ? id : TIMEFRAME_DEFAULT });
    } catch (error) {
      const { code, message } = asApiError(error);
      this.#view.say("");
      this.#view.showProblems([{ source: "server", code, detail: message }]);
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

  /** @param {ChartAddress} address */
  async #show(address) {
    const frame = timeframe(address.timeframe);
    if (!frame) return;
    this.#address = address;
    this.#session?.destroy();
    this.#session = null;
    history.replaceState(null, "", chartUrl(address));
    this.#toolbar.timeframes.show(frame.id);
    const providers = await this.#service.providers(address.market).catch(() => []);
    if (this.#address !== address) return;
    const provider = providers.find((item) => item.provider === address.provider);
    this.#toolbar.timeframes.setSupported(provider?.timeframes ?? []);
    this.#view.begin({
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
    const local = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
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

const page = new ChartPage();
page.start();
globalThis.addEventListener("pagehide", (left) => {
  // A page kept for going back keeps its connections; they end with it otherwise.
  if (!left.persisted) page.destroy();
});

/** Keeps a person's choices at the server, so that they are the same in every browser; this one remembers them too. */

import { asApiError } from "../net/errors.js";
import { adoptPreferences, adoptTheme, readPreferences, readTheme, watchChoices } from "../state/preferences.js";

/**
 * @import {Preferences} from "../state/preferences.js"
 * @typedef {Record<string, unknown>} Kept as the server keeps them, by its own names
 * @typedef {{
 *   read: () => Promise<Kept>,
 *   write: (changes: Kept) => Promise<unknown>,
 *   after: (ms: number, work: () => void) => () => void,
 * }} SyncPorts
 */

const WRITE_AFTER_MS = 600;

/** Which of the server's choices hold which of ours; those of charts are one. @type {Record<keyof Preferences | "theme", string[]>} */
const HOLDERS = {
  theme: ["theme"],
  zone: ["timezone"],
  home: ["default_market", "default_provider"],
  chartType: ["chart"],
  axis: ["chart"],
  favourites: ["chart"],
  indicators: ["chart"],
  sidePanel: ["chart"],
  recent: ["recent"],
};

/** What is chosen here, as the server keeps it. @returns {Kept} */
function ownChoices() {
  const { zone, home, chartType, axis, favourites, indicators, sidePanel, recent } = readPreferences();
  return {
    theme: readTheme(),
    timezone: zone,
    default_market: home?.market ?? null,
    default_provider: home?.provider ?? null,
    chart: { type: chartType, axis, favourites, indicators, side_panel: sidePanel },
    recent: recent.map(({ market, provider, symbol, timeframe }) => ({ market, provider, symbol, timeframe })),
  };
}

/** @param {Kept} kept @returns {Record<string, unknown>} by our names; what is not kept there is undefined */
function asOurs(kept) {
  const chart = /** @type {Kept} */ (kept.chart ?? {});
  const { default_market: market, default_provider: provider } = kept;
  return {
    zone: kept.timezone,
    home: market && provider ? { market, provider } : undefined,
    chartType: chart.type,
    axis: chart.axis,
    favourites: chart.favourites,
    indicators: chart.indicators,
    sidePanel: chart.side_panel,
    recent: kept.recent,
  };
}

export class PreferenceSync {
  #ports;
  /** @type {Kept} */
  #waiting = {};
  #adopting = false;
  #stopped = false;
  /** @type {() => void} */
  #cancelTimer = () => undefined;
  #stopWatching;

  /** @param {SyncPorts} ports */
  constructor(ports) {
    this.#ports = ports;
    this.#stopWatching = watchChoices((changes) => this.#onChoice(changes));
  }

  /** Takes over what the server keeps; where it keeps nothing, it is told what was chosen here. */
  async pull() {
    const kept = await this.#ports.read();
    if (this.#stopped) return;
    if (Object.keys(kept).length === 0) {
      this.#write(ownChoices());
      return;
    }
    // What was chosen meanwhile is newer than what was read.
    for (const name of Object.keys(this.#waiting)) delete kept[name];
    this.#adopting = true;
    adoptPreferences(asOurs(kept));
    adoptTheme(kept.theme);
    this.#adopting = false;
  }

  /** Writes at once what waits to be written. */
  async flush() {
    this.#cancelTimer();
    const changes = this.#waiting;
    this.#waiting = {};
    if (Object.keys(changes).length === 0) return;
    try {
      await this.#ports.write(changes);
    } catch (error) {
      // What the server can't take stays a choice of this browser; what it did not get is told with the next one.
      if (asApiError(error).transient) this.#waiting = { ...changes, ...this.#waiting };
    }
  }

  stop() {
    this.#stopped = true;
    this.#cancelTimer();
    this.#stopWatching();
  }

  /** @param {Partial<Preferences> & {theme?: string}} changes */
  #onChoice(changes) {
    if (this.#adopting) return;
    const held = Object.keys(changes).flatMap((name) => HOLDERS[/** @type {keyof typeof HOLDERS} */ (name)]);
    const own = ownChoices();
    this.#write(Object.fromEntries(held.map((name) => [name, own[name]])));
  }

  /** @param {Kept} changes */
  #write(changes) {
    Object.assign(this.#waiting, changes);
    this.#cancelTimer();
    this.#cancelTimer = this.#ports.after(WRITE_AFTER_MS, () => this.flush());
  }
}

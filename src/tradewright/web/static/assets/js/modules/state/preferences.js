/** What this browser remembers of a person's choices, under one key, with known names and checked values. */

import { FAVOURITES_DEFAULT, timeframe } from "./timeframes.js";

/**
 * @typedef {"system" | "dark" | "light"} ThemeChoice
 * @typedef {"candle_solid" | "candle_up_stroke" | "ohlc" | "area"} ChartType
 * @typedef {{name: string, params: number[], visible: boolean}} IndicatorChoice
 * @typedef {{market: string, provider: string, symbol: string, timeframe: string}} ChartAddress
 * @typedef {{market: string, provider: string}} Home
 * @typedef {{
 *   zone: "browser" | "utc",
 *   chartType: ChartType,
 *   axis: "normal" | "logarithm",
 *   favourites: string[],
 *   indicators: IndicatorChoice[],
 *   sidePanel: boolean,
 *   recent: ChartAddress[],
 *   home: Home | null,
 * }} Preferences `home`: where a page begins that is not told otherwise
 */

const KEY = "tradewright.preferences";
/** Read by the script that sets the theme before the first paint, so it has its own key. */
const THEME_KEY = "tradewright.theme";
const RECENT_MAX = 8;
const INDICATORS_MAX = 12;

/** @type {Preferences} */
const DEFAULTS = {
  zone: "browser",
  chartType: "candle_solid",
  axis: "normal",
  favourites: FAVOURITES_DEFAULT,
  indicators: [{ name: "VOL", params: [5, 10, 20], visible: true }],
  sidePanel: true,
  recent: [],
  home: null,
};

/** @param {unknown} value @param {string[]} names */
function hasTexts(value, names) {
  if (typeof value !== "object" || value === null) return false;
  const item = /** @type {Record<string, unknown>} */ (value);
  return names.every((name) => typeof item[name] === "string");
}

/** @param {unknown} value @returns {value is ChartAddress} */
function isAddress(value) {
  return hasTexts(value, ["market", "provider", "symbol", "timeframe"]);
}

/** @param {unknown} value @returns {value is IndicatorChoice} */
function isIndicator(value) {
  if (typeof value !== "object" || value === null) return false;
  const item = /** @type {Record<string, unknown>} */ (value);
  const numbers = Array.isArray(item.params) && item.params.every((one) => typeof one === "number");
  return typeof item.name === "string" && numbers && typeof item.visible === "boolean";
}

/** @type {{[K in keyof Preferences]: (value: unknown) => boolean}} */
const CHECKS = {
  zone: (value) => value === "browser" || value === "utc",
  chartType: (value) => ["candle_solid", "candle_up_stroke", "ohlc", "area"].includes(String(value)),
  axis: (value) => value === "normal" || value === "logarithm",
  favourites: (value) => Array.isArray(value) && value.length <= 13 && value.every((id) => timeframe(id)),
  indicators: (value) => Array.isArray(value) && value.length <= INDICATORS_MAX && value.every(isIndicator),
  sidePanel: (value) => typeof value === "boolean",
  recent: (value) => Array.isArray(value) && value.length <= RECENT_MAX && value.every(isAddress),
  home: (value) => value === null || hasTexts(value, ["market", "provider"]),
};

/** @type {Set<(changes: Partial<Preferences> & {theme?: ThemeChoice}) => void>} */
const watchers = new Set();

/**
 * @param {(changes: Partial<Preferences> & {theme?: ThemeChoice}) => void} watcher told what a person has chosen
 * @returns {() => void} stops watching
 */
export function watchChoices(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

/** @param {string} key @returns {string | null} null also where the browser refuses storage */
function readItem(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** @param {string} key @param {string} value */
function writeItem(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // A full or forbidden storage costs the memory of a choice, not the choice.
  }
}

/** @returns {Preferences} what is stored, with defaults for what is missing or no longer makes sense */
export function readPreferences() {
  /** @type {Record<string, unknown>} */
  let stored = {};
  try {
    const parsed = JSON.parse(readItem(KEY) ?? "{}");
    if (typeof parsed === "object" && parsed !== null) stored = parsed;
  } catch {
    stored = {};
  }
  const valid = Object.entries(stored).filter(([name, value]) => {
    return name in CHECKS && CHECKS[/** @type {keyof Preferences} */ (name)](value);
  });
  return { ...DEFAULTS, ...Object.fromEntries(valid) };
}

/** @param {Partial<Preferences>} changes */
export function savePreferences(changes) {
  writeItem(KEY, JSON.stringify({ ...readPreferences(), ...changes }));
  for (const watcher of [...watchers]) watcher(changes);
}

/**
 * Takes over what was chosen elsewhere, as far as it makes sense here.
 *
 * @param {Record<string, unknown>} choices by the names of preferences
 */
export function adoptPreferences(choices) {
  const known = Object.entries(choices).filter(([name, value]) => name in CHECKS && CHECKS[/** @type {keyof Preferences} */ (name)](value));
  writeItem(KEY, JSON.stringify({ ...readPreferences(), ...Object.fromEntries(known) }));
}

/** @param {ChartAddress} address becomes the first of the charts looked at lately */
export function rememberChart(address) {
  const same = (/** @type {ChartAddress} */ one) =>
    one.market === address.market && one.provider === address.provider && one.symbol === address.symbol;
  const others = readPreferences().recent.filter((one) => !same(one));
  savePreferences({ recent: [address, ...others].slice(0, RECENT_MAX) });
}

/** @returns {ThemeChoice} */
export function readTheme() {
  const stored = readItem(THEME_KEY);
  return stored === "dark" || stored === "light" ? stored : "system";
}

/** @param {ThemeChoice} choice */
export function saveTheme(choice) {
  writeItem(THEME_KEY, choice);
  for (const watcher of [...watchers]) watcher({ theme: choice });
}

/** Takes over the theme that was chosen elsewhere. @param {unknown} choice */
export function adoptTheme(choice) {
  if (choice !== "dark" && choice !== "light" && choice !== "system") return;
  if (choice === readTheme()) return;
  showTheme(choice);
  saveTheme(choice);
}

/** @param {ThemeChoice} choice becomes that of the page in view */
export function showTheme(choice) {
  const root = document.documentElement;
  if (choice === "system") delete root.dataset.theme;
  else root.dataset.theme = choice;
}

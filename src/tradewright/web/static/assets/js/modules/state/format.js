/** How numbers, times and ages are written. */

const MINUS = "\u2212";
const CLIPPED_MAX = 40;
const NONE = "\u2013";

/**
 * Decimal places that a price tick asks for: 0.01 gives 2, 1e-8 gives 8, 0.5 gives 1, 25 gives 0.
 *
 * @param {number | string | null | undefined} tick
 * @param {number} [fallback]
 */
export function precisionOfTick(tick, fallback = 2) {
  const value = Number(tick);
  if (tick === null || tick === undefined || !Number.isFinite(value) || value <= 0) return fallback;
  for (let places = 0; places < 16; places += 1) {
    const scaled = value * 10 ** places;
    if (Math.abs(scaled - Math.round(scaled)) < 1e-6 * scaled) return places;
  }
  return 16;
}

/**
 * Decimal places worth showing when no tick is known: five significant digits, at least two places.
 *
 * @param {number | null | undefined} price
 */
export function precisionOfPrice(price) {
  if (!price || !Number.isFinite(price)) return 2;
  const magnitude = Math.floor(Math.log10(Math.abs(price)));
  return Math.min(12, Math.max(2, 4 - magnitude));
}

/** @type {Map<string, Intl.NumberFormat>} */
const numberFormats = new Map();

/** @param {number} least @param {number} most @param {"standard" | "compact"} notation */
function numberFormat(least, most, notation) {
  const key = `${least}/${most}/${notation}`;
  const known = numberFormats.get(key);
  if (known) return known;
  const made = new Intl.NumberFormat("en-US", {
    minimumFractionDigits: least,
    maximumFractionDigits: most,
    notation,
  });
  numberFormats.set(key, made);
  return made;
}

/**
 * @param {number | null | undefined} value
 * @param {number} precision decimal places
 */
export function formatPrice(value, precision) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  return numberFormat(precision, precision, "standard").format(value).replace("-", MINUS);
}

/** Amounts and volumes: short, three significant decimals at most. @param {number | null | undefined} value */
export function formatAmount(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (size >= 100_000) return numberFormat(2, 2, "compact").format(value);
  if (size >= 1_000) return numberFormat(0, 1, "standard").format(value);
  if (size >= 1 || size === 0) return numberFormat(0, 3, "standard").format(value);
  return numberFormat(0, 6, "standard").format(value);
}

/**
 * Decimal places for a column of amounts, the same for all of them so that they stand in line.
 *
 * @param {readonly number[]} amounts
 */
export function precisionOfAmounts(amounts) {
  const largest = Math.max(0, ...amounts.filter(Number.isFinite));
  if (largest >= 10_000) return 0;
  if (largest >= 1_000) return 1;
  if (largest >= 100) return 2;
  if (largest >= 10) return 3;
  if (largest >= 0.1) return 4;
  return largest >= 0.001 ? 6 : 8;
}

/**
 * A change with its sign, so that colour never is the only bearer of direction.
 *
 * @param {number | null | undefined} percent
 */
export function formatPercent(percent) {
  if (percent === null || percent === undefined || !Number.isFinite(percent)) return NONE;
  const text = numberFormat(2, 2, "standard").format(Math.abs(percent));
  if (Number(text.replaceAll(",", "")) === 0) return `${text}%`;
  return `${percent > 0 ? "+" : MINUS}${text}%`;
}

/** A name of somebody else's making, cut to what fits into a sentence. @param {string} name */
export function clip(name) {
  return name.length > CLIPPED_MAX ? `${name.slice(0, CLIPPED_MAX - 1)}…` : name;
}

/** @param {number | null | undefined} change @returns {"up" | "down" | "flat"} */
export function direction(change) {
  if (!change || !Number.isFinite(change)) return "flat";
  return change > 0 ? "up" : "down";
}

/** An age or a length in its one or two largest units: "8 s", "3 min", "2 h 5 min", "4 d". @param {number} ms */
export function formatDuration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  const days = Math.floor(hours / 24);
  return hours % 24 === 0 || days > 9 ? `${days} d` : `${days} d ${hours % 24} h`;
}

/** @type {Map<string, Intl.DateTimeFormat>} */
const dateFormats = new Map();

/** @param {string} timeZone @param {Intl.DateTimeFormatOptions} options @param {string} name */
function dateFormat(timeZone, options, name) {
  const key = `${name}/${timeZone}`;
  const known = dateFormats.get(key);
  if (known) return known;
  const made = new Intl.DateTimeFormat("en-GB", { timeZone, hourCycle: "h23", ...options });
  dateFormats.set(key, made);
  return made;
}

/** @returns {string} the IANA name of the time zone that the browser is in */
export function localZone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

/** @param {number} ms epoch @param {string} timeZone */
export function formatClock(ms, timeZone) {
  const options = /** @type {const} */ ({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return dateFormat(timeZone, options, "clock").format(ms);
}

/**
 * "Thu 8 Aug 2024" for bars that stand for a date, "Thu 8 Aug 2024 14:05" for the others.
 *
 * @param {number} ms epoch
 * @param {string} timeZone
 * @param {boolean} dateOnly
 */
export function formatBarTime(ms, timeZone, dateOnly) {
  const day = /** @type {const} */ ({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
  const date = dateFormat(timeZone, day, "day").format(ms).replaceAll(",", "");
  if (dateOnly) return date;
  const clock = /** @type {const} */ ({ hour: "2-digit", minute: "2-digit" });
  return `${date} ${dateFormat(timeZone, clock, "minute").format(ms)}`;
}

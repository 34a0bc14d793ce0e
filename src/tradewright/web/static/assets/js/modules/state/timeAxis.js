/** Where the marks of a time axis stand, in UTC or in the browser's zone, and what is written at them. */

/**
 * @typedef {"browser" | "utc"} Zone
 * @typedef {"minute" | "hour" | "day" | "month" | "year"} Unit
 * @typedef {{time: number, label: string}} Tick
 */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** @type {readonly [Unit, number, number][]} unit, how many of it, and roughly how long that is */
const STEPS = [
  ["minute", 1, MINUTE_MS],
  ["minute", 5, 5 * MINUTE_MS],
  ["minute", 15, 15 * MINUTE_MS],
  ["hour", 1, HOUR_MS],
  ["hour", 3, 3 * HOUR_MS],
  ["hour", 6, 6 * HOUR_MS],
  ["hour", 12, 12 * HOUR_MS],
  ["day", 1, DAY_MS],
  ["day", 2, 2 * DAY_MS],
  ["day", 7, 7 * DAY_MS],
  ["day", 14, 14 * DAY_MS],
  ["month", 1, 30 * DAY_MS],
  ["month", 3, 91 * DAY_MS],
  ["month", 6, 182 * DAY_MS],
  ["year", 1, 365 * DAY_MS],
  ["year", 2, 730 * DAY_MS],
  ["year", 5, 1826 * DAY_MS],
];

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** @typedef {[year: number, month: number, day: number, hour: number, minute: number]} Fields */

/** @param {number} ms @param {Zone} zone @returns {Fields} */
function fieldsOf(ms, zone) {
  const at = new Date(ms);
  if (zone === "utc") return [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate(), at.getUTCHours(), at.getUTCMinutes()];
  return [at.getFullYear(), at.getMonth(), at.getDate(), at.getHours(), at.getMinutes()];
}

/** @param {Fields} fields which may run over, as the thirty-second of a month @param {Zone} zone */
function timeOf([year, month, day, hour, minute], zone) {
  if (zone === "utc") return Date.UTC(year, month, day, hour, minute);
  return new Date(year, month, day, hour, minute).getTime();
}

/** @param {Fields} fields @param {Unit} unit @param {number} count @returns {Fields} the last step at or before */
function floored([year, month, day, hour, minute], unit, count) {
  const down = (/** @type {number} */ value) => Math.floor(value / count) * count;
  if (unit === "year") return [down(year), 0, 1, 0, 0];
  if (unit === "month") return [year, down(month), 1, 0, 0];
  if (unit === "day") return [year, month, 1 + down(day - 1), 0, 0];
  if (unit === "hour") return [year, month, day, down(hour), 0];
  return [year, month, day, hour, down(minute)];
}

/** @param {Fields} fields @param {Unit} unit @param {number} count @returns {Fields} */
function next([year, month, day, hour, minute], unit, count) {
  if (unit === "year") return [year + count, month, day, hour, minute];
  if (unit === "month") return [year, month + count, day, hour, minute];
  if (unit === "day") return [year, month, day + count, hour, minute];
  if (unit === "hour") return [year, month, day, hour + count, minute];
  return [year, month, day, hour, minute + count];
}

/** @param {number} time @param {Unit} unit @param {Zone} zone */
function labelOf(time, unit, zone) {
  const [year, month, day, hour, minute] = fieldsOf(time, zone);
  const date = `${day} ${MONTHS[month]}`;
  if (unit === "year" || (unit === "month" && month === 0)) return String(year);
  if (unit === "month") return String(MONTHS[month]);
  if (unit === "day") return day === 1 && month === 0 ? String(year) : date;
  if (hour === 0 && minute === 0) return date;
  return `${String(hour).padStart(2, "0")}:${String(minute).padStart(2, "0")}`;
}

/**
 * @param {number} start epoch ms
 * @param {number} end
 * @param {number} most how many marks there is room for
 * @param {Zone} zone
 * @returns {Tick[]} ascending, inside the range
 */
export function timeTicks(start, end, most, zone) {
  const wanted = (end - start) / Math.max(1, most);
  const [unit, count, stepMs] = STEPS.find(([, , ms]) => ms >= wanted) ?? /** @type {[Unit, number, number]} */ (STEPS.at(-1));
  /** @type {Tick[]} */
  const ticks = [];
  let fields = floored(fieldsOf(start, zone), unit, count);
  for (let at = 0; at <= most + 4; at += 1) {
    const time = timeOf(fields, zone);
    if (time >= end) break;
    // Every second day counts from the first of each month, so that the marks of a month stay where they are.
    if (time >= start && time !== ticks.at(-1)?.time) ticks.push({ time, label: labelOf(time, unit, zone) });
    const after = next(fields, unit, count);
    fields = unit === "day" ? floored(fieldsOf(timeOf(after, zone), zone), unit, count) : after;
  }
  // The last mark of a month gives way to the first of the next, where both would run into each other.
  return ticks.filter(({ time }, at) => at + 1 === ticks.length || (ticks[at + 1]?.time ?? end) - time >= stepMs * 0.45);
}

/** @param {number} ms @param {Zone} zone @returns {string} as a `datetime-local` field takes it */
export function toFieldValue(ms, zone) {
  const [year, month, day, hour, minute] = fieldsOf(ms, zone);
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  return `${String(year).padStart(4, "0")}-${two(month + 1)}-${two(day)}T${two(hour)}:${two(minute)}`;
}

/** @param {string} value of a `datetime-local` field @param {Zone} zone @returns {number | null} epoch ms; null where it is none */
export function fromFieldValue(value, zone) {
  const match = /^(\d{4,6})-(\d\d)-(\d\d)T(\d\d):(\d\d)/.exec(value);
  if (!match) return null;
  const [year, month, day, hour, minute] = match.slice(1).map(Number);
  return timeOf([year ?? 0, (month ?? 1) - 1, day ?? 1, hour ?? 0, minute ?? 0], zone);
}

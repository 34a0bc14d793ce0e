/** How long to wait before the next attempt: exponential, capped, with jitter. */

const BASE_MS = 500;
const CAP_MS = 20_000;

/**
 * Half of the exponential step is fixed and half is random, so that clients of a restarted server do
 * not return in step and yet none hammers it.
 *
 * @param {number} attempt 0 for the first retry
 * @param {() => number} [random] in [0, 1)
 * @returns {number} milliseconds
 */
export function backoffMs(attempt, random = Math.random) {
  const step = Math.min(CAP_MS, BASE_MS * 2 ** Math.min(attempt, 16));
  return Math.round(step / 2 + (step / 2) * random());
}

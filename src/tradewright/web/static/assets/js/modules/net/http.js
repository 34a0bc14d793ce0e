/** JSON over HTTP, with the login of the page: every call has a deadline, every failure becomes an `ApiError`. */

import { apiFetch } from "./auth.js";
import { ApiError } from "./errors.js";
import { readProblem } from "./problems.js";

const DEADLINE_MS = 15_000;

/**
 * @typedef {string | number | boolean | null | undefined} QueryValue
 * @typedef {{query?: Record<string, QueryValue>, signal?: AbortSignal, deadlineMs?: number, accept?: number[]}} GetOptions
 *   `accept`: statuses other than success whose body is the answer all the same
 */

/**
 * Builds a same-origin address; values that are null or undefined are left out.
 *
 * @param {string} path
 * @param {Record<string, QueryValue>} [query]
 */
export function buildUrl(path, query = {}) {
  const pairs = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  if (pairs.length === 0) return path;
  return `${path}?${new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]))}`;
}

/**
 * @template T
 * @param {string} path
 * @param {GetOptions} [options]
 * @returns {Promise<T>}
 * @throws {ApiError}
 */
export function getJson(path, { query, accept = [], ...rest } = {}) {
  return call("GET", buildUrl(path, query), { accept, ...rest });
}

/**
 * Changes something at the server.
 *
 * @template T
 * @param {"POST" | "PUT" | "PATCH" | "DELETE"} method
 * @param {string} path
 * @param {{body?: unknown, signal?: AbortSignal, deadlineMs?: number, keepalive?: boolean}} [options] `body` is sent as
 *   JSON; `keepalive`: even when the page is left meanwhile
 * @returns {Promise<T>}
 * @throws {ApiError}
 */
export function sendJson(method, path, { body, ...rest } = {}) {
  return call(method, path, { body: body === undefined ? null : JSON.stringify(body), ...rest });
}

/**
 * @template T
 * @param {string} method
 * @param {string} url
 * @param {{body?: string | null, signal?: AbortSignal, deadlineMs?: number, accept?: number[], keepalive?: boolean}} options
 * @returns {Promise<T>}
 */
async function call(method, url, { body = null, signal, deadlineMs = DEADLINE_MS, accept = [], keepalive = false }) {
  const deadline = AbortSignal.timeout(deadlineMs);
  const either = signal ? AbortSignal.any([signal, deadline]) : deadline;
  const headers = { Accept: "application/json", ...(body !== null && { "Content-Type": "application/json" }) };
  try {
    const response = await apiFetch(url, { method, headers, body, signal: either, keepalive });
    if (!response.ok && !accept.includes(response.status)) throw await readProblem(response);
    if (response.status === 204) return /** @type {T} */ (undefined);
    return /** @type {T} */ (await response.json());
  } catch (error) {
    throw translate(error, deadline, signal);
  }
}

/**
 * @param {unknown} error
 * @param {AbortSignal} deadline
 * @param {AbortSignal | undefined} signal
 */
function translate(error, deadline, signal) {
  if (error instanceof ApiError) return error;
  if (signal?.aborted) return new ApiError("aborted", "The request was cancelled.");
  if (deadline.aborted) return new ApiError("timeout", "The server did not answer in time.");
  if (error instanceof SyntaxError) return new ApiError("bad_answer", "The server's answer could not be read.");
  return new ApiError("network", "The server cannot be reached.");
}

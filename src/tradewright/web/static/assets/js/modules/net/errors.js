/** What can go wrong between the page and the server, as one typed error. */

/**
 * A call that did not succeed. `code` is the server's stable code of the problem document, or one of
 * `timeout`, `network`, `aborted`, `bad_answer` where no such document came back.
 */
export class ApiError extends Error {
  /**
   * @param {string} code
   * @param {string} message one sentence for a person
   * @param {{status?: number, requestId?: string | null, retryAfterMs?: number | null}} [extra]
   */
  constructor(code, message, { status = 0, requestId = null, retryAfterMs = null } = {}) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.status = status;
    this.requestId = requestId;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether asking again later may help, as opposed to a request that can never succeed. */
  get transient() {
    return isTransientCode(this.code) || this.status === 429 || this.status >= 500;
  }
}

const TRANSIENT_CODES = new Set([
  "timeout",
  "network",
  "provider_error",
  "provider_unavailable",
  "provider_timeout",
  "rate_limited",
  "too_many_requests",
  "unavailable",
]);

/** @param {string} code */
export function isTransientCode(code) {
  return TRANSIENT_CODES.has(code);
}

/**
 * @param {unknown} error
 * @returns {ApiError}
 */
export function asApiError(error) {
  if (error instanceof ApiError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new ApiError("network", message);
}

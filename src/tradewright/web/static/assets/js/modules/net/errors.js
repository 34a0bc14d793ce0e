/** What can go wrong between the page and the server, as one typed error. */

/**
 * A call that did not succeed. `code` is the server's stable code of the problem document, or one of
 * `timeout`, `network`, `aborted`, `bad_answer` where no such document came back.
 */
export class ApiError extends Error {
  /**
   * @param {string} code
   * @param {string} message one sentence for a person
   * @param {{status?: number, requestId?: string | null, retryAfterMs?: number | null, fields?: string[], reasons?: Record<string, string>}} [extra]
   *   `fields`: which values of the request were wrong, where the server says so, and by `reasons` why
   */
  constructor(code, message, { status = 0, requestId = null, retryAfterMs = null, fields = [], reasons = {} } = {}) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.status = status;
    this.requestId = requestId;
    this.retryAfterMs = retryAfterMs;
    this.fields = fields;
    this.reasons = reasons;
  }

  /** Whether asking again later may help, as opposed to a request that can never succeed. */
  get transient() {
    if (LASTING_CODES.has(this.code)) return false;
    return isTransientCode(this.code) || this.status === 429 || this.status >= 500;
  }

  /** Whether the symbol is the reason: the provider does not list it, or nobody could. */
  get blamesSymbol() {
    return this.code === UNKNOWN_SYMBOL || (this.code === "invalid_value" && this.fields.includes("symbol"));
  }
}

export const LOGIN_REQUIRED = "unauthorized";
export const UNKNOWN_MARKET = "unknown_market";
export const UNKNOWN_PROVIDER = "unknown_provider";
export const UNKNOWN_SYMBOL = "unknown_symbol";

const TRANSIENT_CODES = new Set([
  "timeout",
  "network",
  "provider_error",
  "provider_unavailable",
  "provider_timeout",
  "provider_rate_limited",
  "provider_malformed_answer",
  "data_source_error",
  "storage_unavailable",
  "internal_error",
  "feed_down",
  "rate_limited",
  "too_many_requests",
  "unavailable",
]);

/** Too many are too many until the page itself asks for fewer, whatever the status says. */
const LASTING_CODES = new Set(["too_many_subscriptions"]);

/** @param {string} code */
export function isTransientCode(code) {
  return TRANSIENT_CODES.has(code) || /^http_5\d\d$/.test(code);
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

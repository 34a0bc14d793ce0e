/** The server's problem documents as errors. */

import { ApiError } from "./errors.js";

/**
 * @param {Response} response that is no success; its body is read
 * @returns {Promise<ApiError>}
 */
export async function readProblem(response) {
  const retryAfter = Number(response.headers.get("Retry-After") ?? NaN);
  const extra = {
    status: response.status,
    requestId: response.headers.get("X-Request-Id"),
    retryAfterMs: Number.isFinite(retryAfter) ? retryAfter * 1000 : null,
  };
  const plain = new ApiError(`http_${response.status}`, `The server answered ${response.status}.`, extra);
  if (!(response.headers.get("Content-Type") ?? "").includes("json")) return plain;
  const body = await response.json().catch(() => null);
  if (body === null || typeof body !== "object") return plain;
  const code = typeof body.code === "string" ? body.code : plain.code;
  const text = body.detail || body.title || plain.message;
  const reasons = typeof body.errors === "object" && body.errors !== null ? body.errors : {};
  return new ApiError(code, String(text), { ...extra, fields: Object.keys(reasons), reasons, requestId: body.request_id ?? extra.requestId });
}

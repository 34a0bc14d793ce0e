import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./modules.js";

const { ApiError, isTransientCode } = await load("net/errors.js");

test("what may pass is asked again, what can never succeed is not", () => {
  for (const code of ["network", "provider_unavailable", "provider_rate_limited", "storage_unavailable", "http_502"]) {
    assert.equal(isTransientCode(code), true, code);
  }
  for (const code of ["unknown_symbol", "unknown_market", "invalid_value", "http_404", "feature_not_supported"]) {
    assert.equal(new ApiError(code, "").transient, false, code);
  }
  assert.equal(new ApiError("new_code", "", { status: 503 }).transient, true);
});

test("too many subscriptions stay too many, whatever the status", () => {
  assert.equal(new ApiError("too_many_subscriptions", "").transient, false);
  assert.equal(new ApiError("too_many_subscriptions", "", { status: 429 }).transient, false);
});

test("a symbol that is not listed and one that could not be are the same to a person", () => {
  assert.equal(new ApiError("unknown_symbol", "").blamesSymbol, true);
  assert.equal(new ApiError("invalid_value", "", { fields: ["symbol"] }).blamesSymbol, true);
  assert.equal(new ApiError("invalid_value", "", { fields: ["limit"] }).blamesSymbol, false);
});

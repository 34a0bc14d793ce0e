/** Names for what the server answers about keys of providers. */

/**
 * @typedef {{
 *   id: string, market: string, provider: string, label: string, testnet: boolean, key_hint: string,
 *   created_ms: number, changed_ms: number, tested_ms: number | null, can_withdraw: boolean | null,
 *   withdrawal_accepted: boolean, may_trade: boolean, last_used_ms: number | null,
 * }} CredentialItem times in epoch ms; `key_hint`: the last four characters of the key, empty where it has none
 * @typedef {{
 *   permissions: string[] | null, can_withdraw: boolean | null, ip_restricted: boolean | null,
 *   balances: Record<string, string> | null, detail: string | null, tested_ms: number | null,
 * }} CredentialCheck what the venue says of a key; null where it does not say
 */

export {};

/** The answers over HTTP, by the names this front end uses for them. */

/**
 * @import {Bar} from "./messages.js"
 * @import {Gap, Problem} from "./protocol.js"
 *
 * @template T
 * @typedef {{items: T[], next_cursor?: string | null}} Page
 */

/**
 * @typedef {{market: string, plugin: string, providers: number}} MarketItem
 * @typedef {{
 *   provider: string, name: string, market: string, plugin: string, timeframes: string[],
 *   capabilities: string[], testnet: boolean,
 * }} ProviderItem
 * @typedef {{
 *   symbol: string, base: string | null, quote: string | null, type: string, active: boolean | null,
 *   price_tick: number | string | null, amount_step: number | string | null, calendar: string | null,
 * }} InstrumentItem
 * @typedef {{
 *   market: string, provider: string, symbol: string, timeframe: string, bars: Bar[], forming: boolean,
 *   sources: {source: string, start: number, end: number}[], gaps: Gap[], problems?: Problem[] | null,
 * }} OhlcvAnswer
 * @typedef {{ready: boolean, body: Record<string, unknown>}} Readiness
 */

export {};

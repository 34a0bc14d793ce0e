/** Names for the sets of messages, over the types generated from the server's definitions. */

/**
 * @typedef {[number, number, number, number, number, number]} Bar time, open, high, low, close, volume
 * @typedef {[number, number]} Level price, amount
 * @typedef {{stream: "ohlcv", market: string, provider: string, symbol: string, timeframe: string, history: number}} BarsQuery
 * @typedef {{stream: "trades" | "ticker" | "order_book", market: string, provider: string, symbol: string}} MarketQuery
 * @typedef {{stream: "backfills"}} BackfillsQuery
 * @typedef {BarsQuery | MarketQuery | BackfillsQuery} StreamQuery
 */

/**
 * One text per distinct stream, for sharing a subscription.
 *
 * @param {StreamQuery} query
 */
export function streamKey(query) {
  if (query.stream === "backfills") return JSON.stringify([query.stream]);
  const timeframe = query.stream === "ohlcv" ? query.timeframe : "";
  return JSON.stringify([query.stream, query.market, query.provider, query.symbol, timeframe]);
}

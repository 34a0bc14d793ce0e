"""An emulated Binance spot venue whose candles are any bars you like, on a clock you drive.

The seam for property tests of the data engine: real CCXT code and real HTTP, and a truth that is known
to the last bit. No websocket capture is needed, and there is no websocket.

    clock = HastyClock(start_ms)                      # tests.venues.clock: short waits cost no real time
    market = Market("BTC", "USDT", truth)             # truth: 1m Bars over days, holes and future included
    async with CandleVenue([market], clock=clock) as venue:
        setup = PluginSetup("binance", options=venue.provider_options(), clock=clock)
        plugin = ImpatientPlugin(setup)           # tests.venues.impatient: CCXTPlugin that closes at once
        page = await plugin.fetch_ohlcv("BTC/USDT", ONE_MINUTE, start_ms=a, end_ms=b)
        await clock.advance(60)                       # a minute goes by: the forming candle closes

- The truth: `market.minutes`; `resample(market.minutes, timeframe)` is what the venue serves of other
  timeframes. Nothing that opens after now is ever served; the forming candle consists of the trades that
  have happened, four in each minute (0, 15, 30 and 45 s after its open).
- `market.revise(row)` corrects a minute, or fills one that was missing, from now on.
- `generate_minutes(seed, start_ms, minutes, quiet=…, holes=…)` in `tests.venues.generated` makes a truth.
- `venue.faults.random(seed, rate, path="/api/v3/klines")` breaks that share of the requests (latency, 5xx,
  resets, cut, empty, malformed or too deep bodies, HTML; `kinds=` names others, such as "too_many");
  `venue.candle_faults.random(seed, rate)` makes pages overlap, come out of order, with duplicates, rows
  off the grid, or fewer rows than asked; `kinds=LOSSY` leaves rows out or changes them.
  `venue.faults.maintenance(until_ms=…)`, `.too_many(…)`, `.wrong_clock(…)`, `venue.candle_faults.empty()`
  (an outage of the data) are for one scene. `await venue.heal()` ends all of it.
- `venue.counts["/api/v3/klines"]` counts requests, `venue.requests("klines")` tells their arguments.
- Stop and start it by `venue.faults.refuse_connections()` and `await venue.faults.accept_connections()`.
- It answers some 2,000 requests a second of 20 bars through CCXT, and 180 of 1,000 (most of it in CCXT).
- Symbols are `base + quote`; `CandleVenue([one, another], …)` serves several.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from tests.venues.rest_venue import Answer, Query, Refusal, RestVenue, integer, joined, plain
from tests.venues.truth import Candle, Market
from tradewright.domain.timeframes import TIMEFRAMES

PAGE: Final = 1_000


class CandleVenue(RestVenue):
    """Speaks the REST half of Binance spot."""

    provider: ClassVar[str] = "binance"
    says_maintenance = False
    """What it says of itself when it is asked for its status; it goes on answering."""

    def provider_options(self) -> dict[str, Any]:
        rest = f"{self.url}/api/v3"
        return {
            "urls": {"api": {"public": rest, "private": rest, "sapi": f"{self.url}/sapi/v1"}},
            "options": {
                "defaultType": "spot",
                "fetchCurrencies": False,
                "fetchMargins": False,
                "fetchMarkets": {"types": ["spot"]},
            },
        }

    def routes(self) -> Mapping[str, Answer]:
        answers: dict[str, Answer] = {
            "ping": lambda _: b"{}",
            "time": lambda _: msgspec.json.encode({"serverTime": self.now_ms()}),
            "exchangeInfo": self._exchange_info,
            "klines": self._klines,
            "depth": self._depth,
            "trades": self._trades,
            "ticker/24hr": self._ticker,
        }
        spot = {f"/api/v3/{path}": answer for path, answer in answers.items()}
        return {**spot, "/sapi/v1/system/status": self._status}

    def _status(self, _query: Query) -> bytes:
        message = "system_maintenance" if self.says_maintenance else "normal"
        return msgspec.json.encode({"status": int(self.says_maintenance), "msg": message})

    def _market(self, query: Query) -> Market:
        for market in self.markets.values():
            if query.get("symbol") == market.base + market.quote:
                return market
        raise Refusal({"code": -1121, "msg": "Invalid symbol."}, 400)

    def _exchange_info(self, _query: Query) -> bytes:
        symbols = [_listing(market) for market in self.markets.values()]
        return msgspec.json.encode({"timezone": "UTC", "serverTime": self.now_ms(), "symbols": symbols})

    def _klines(self, query: Query) -> bytes:
        market, timeframe = self._market(query), TIMEFRAMES.get(query.get("interval", ""))
        if timeframe is None:
            raise Refusal({"code": -1120, "msg": "Invalid interval."}, 400)
        limit = min(integer(query, "limit") or 500, PAGE)
        start, end = integer(query, "startTime"), integer(query, "endTime")
        return joined(self.chosen(market, timeframe, _row, first_ms=start, last_ms=end, limit=limit))

    def _depth(self, query: Query) -> bytes:
        bids, asks = self._market(query).book(self.now_ms(), integer(query, "limit") or 100)
        sides = {"bids": bids, "asks": asks}
        texts = {name: [(plain(p), plain(a)) for p, a in levels] for name, levels in sides.items()}
        return msgspec.json.encode({"lastUpdateId": self.now_ms(), **texts})

    def _trades(self, query: Query) -> bytes:
        prints = self._market(query).prints(self.now_ms(), min(integer(query, "limit") or 500, PAGE))
        rows = [
            {
                "id": one.id,
                "price": plain(one.price),
                "qty": plain(one.amount),
                "quoteQty": plain(one.price * one.amount),
                "time": one.time_ms,
                "isBuyerMaker": one.side == "sell",
                "isBestMatch": True,
            }
            for one in prints
        ]
        return msgspec.json.encode(rows)

    def _ticker(self, query: Query) -> bytes:
        if "symbol" in query:
            return msgspec.json.encode(self._figures(self._market(query)))
        return msgspec.json.encode([self._figures(market) for market in self.markets.values()])

    def _figures(self, market: Market) -> dict[str, object]:
        now_ms = self.now_ms()
        day, (bids, asks) = market.day(now_ms), market.book(now_ms, 1)
        figures = {
            "priceChange": day.close - day.open,
            "priceChangePercent": (day.close - day.open) / day.open * 100,
            "lastPrice": day.close,
            "openPrice": day.open,
            "highPrice": day.high,
            "lowPrice": day.low,
            "volume": day.volume,
            "quoteVolume": day.volume * day.average,
            "bidPrice": bids[0][0],
            "bidQty": bids[0][1],
            "askPrice": asks[0][0],
            "askQty": asks[0][1],
        }
        texts = {name: plain(value) for name, value in figures.items()}
        times = {"openTime": day.open_ms, "closeTime": now_ms}
        return {"symbol": market.base + market.quote, **texts, **times, "count": 1}


def _row(candle: Candle) -> bytes:
    o, h, low, c, v = (
        plain(value) for value in (candle.open, candle.high, candle.low, candle.close, candle.volume)
    )
    quote = plain(candle.volume * candle.average)
    return (
        f'[{candle.open_ms},"{o}","{h}","{low}","{c}","{v}",{candle.end_ms - 1},"{quote}",4,"0.0","0.0","0"]'
    ).encode()


def _listing(market: Market) -> dict[str, object]:
    tick, step = f"{10.0**-market.price_decimals:.8f}", f"{10.0**-market.amount_decimals:.8f}"
    return {
        "symbol": market.base + market.quote,
        "status": "TRADING",
        "baseAsset": market.base,
        "quoteAsset": market.quote,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": tick,
                "maxPrice": "1000000.00000000",
                "tickSize": tick,
            },
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000.00000000", "stepSize": step},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }

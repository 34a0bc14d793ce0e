"""The venue's public REST calls, their parameter checks, weights and error bodies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec
from aiohttp import web

from tests.venues.binance.kline_faults import broken
from tests.venues.binance.klines import INTERVALS
from tests.venues.binance.market import SpotMarket
from tests.venues.candle_faults import CandleFaults
from tests.venues.time import VenueTime

Query: TypeAlias = Mapping[str, str]
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]

WEIGHT_LIMIT: Final = 6_000
MINUTE_MS: Final = 60_000


class VenueError(Exception):
    """A refusal with the venue's code."""

    def __init__(self, code: int, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.status = status


class RestApi:
    """Answers requests from the markets' present state."""

    def __init__(
        self, markets: Mapping[str, SpotMarket], time: VenueTime, weight_limit: int = WEIGHT_LIMIT
    ) -> None:
        self._markets = markets
        self._time = time
        self._weight_limit = weight_limit
        self._weight = 0
        self._weight_minute = 0
        self.requests: Counter[str] = Counter()
        self.candle_faults = CandleFaults(time.now_ms)

    def add_routes(self, app: web.Application) -> None:
        """Put every call onto the application."""
        for path, weight, answer in (
            ("ping", 1, self._ping),
            ("time", 1, self._server_time),
            ("exchangeInfo", 20, self._exchange_info),
            ("klines", 2, self._klines),
            ("uiKlines", 2, self._klines),
            ("depth", 5, self._depth),
            ("trades", 25, self._trades),
            ("historicalTrades", 25, self._historical_trades),
            ("aggTrades", 4, self._aggregate_trades),
            ("ticker/24hr", 2, self._ticker),
            ("ticker/price", 2, self._price),
            ("ticker/bookTicker", 2, self._book_ticker),
        ):
            app.router.add_get(f"/api/v3/{path}", self._handler(path, weight, answer))

    def _handler(self, path: str, weight: int, answer: Callable[[Query], object]) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            self.requests[path] += 1
            try:
                self._spend(_depth_weight(request.query) if path == "depth" else weight)
                return self._json(answer(request.query))
            except VenueError as error:
                response = self._json({"code": error.code, "msg": error.text}, error.status)
                if error.status == 429:
                    response.headers["Retry-After"] = str(60 - self._time.now_ms() // 1000 % 60)
                return response

        return handle

    def _spend(self, weight: int) -> None:
        minute = self._time.now_ms() // MINUTE_MS
        if minute != self._weight_minute:
            self._weight_minute, self._weight = minute, 0
        self._weight += weight
        if self._weight > self._weight_limit:
            limit = f"current limit is {self._weight_limit} request weight per 1 MINUTE"
            raise VenueError(-1003, f"Too much request weight used; {limit}.", 429)

    def _json(self, body: object, status: int = 200) -> web.Response:
        headers = {"X-MBX-USED-WEIGHT": str(self._weight), "X-MBX-USED-WEIGHT-1M": str(self._weight)}
        return web.Response(
            body=msgspec.json.encode(body), status=status, content_type="application/json", headers=headers
        )

    def _market(self, query: Query) -> SpotMarket:
        symbol = query.get("symbol")
        if not symbol:
            raise _mandatory("symbol")
        if not (symbol.isascii() and symbol.isalnum() and symbol.isupper() and len(symbol) <= 20):
            raise VenueError(
                -1100,
                "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'.",
            )
        if symbol not in self._markets:
            raise VenueError(-1121, "Invalid symbol.")
        return self._markets[symbol]

    def _ping(self, _query: Query) -> object:
        return {}

    def _server_time(self, _query: Query) -> object:
        return {"serverTime": self._time.now_ms()}

    def _exchange_info(self, query: Query) -> object:
        chosen = [self._market(query)] if "symbol" in query else list(self._markets.values())
        return {
            "timezone": "UTC",
            "serverTime": self._time.now_ms(),
            "rateLimits": [
                {
                    "rateLimitType": "REQUEST_WEIGHT",
                    "interval": "MINUTE",
                    "intervalNum": 1,
                    "limit": self._weight_limit,
                }
            ],
            "exchangeFilters": [],
            "symbols": [_symbol_info(market) for market in chosen],
        }

    def _klines(self, query: Query) -> object:
        market = self._market(query)
        interval = query.get("interval")
        if not interval:
            raise _mandatory("interval")
        if interval not in INTERVALS:
            raise VenueError(-1120, "Invalid interval.")
        start, end = _integer(query, "startTime"), _integer(query, "endTime")
        series = market.klines.series(interval)
        chosen = series.select(start, end, _limit(query, 500, 1_000))
        if self.candle_faults.active:
            chosen = broken(self.candle_faults, market.symbol, series, chosen)
        return [kline.row() for kline in chosen]

    def _depth(self, query: Query) -> object:
        market = self._market(query)
        bids, asks = market.book.top(_limit(query, 100, 5_000))
        return {"lastUpdateId": market.book.last_id, "bids": bids, "asks": asks}

    def _trades(self, query: Query) -> object:
        market, limit = self._market(query), _limit(query, 500, 1_000)
        return [trade.row() for trade in list(market.trades)[-limit:]]

    def _historical_trades(self, query: Query) -> object:
        market, limit, from_id = self._market(query), _limit(query, 500, 1_000), _integer(query, "fromId")
        if from_id is None:
            return self._trades(query)
        return [trade.row() for trade in market.trades_from(from_id, limit)]

    def _aggregate_trades(self, query: Query) -> object:
        market, limit = self._market(query), _limit(query, 500, 1_000)
        start, end, from_id = (_integer(query, name) for name in ("startTime", "endTime", "fromId"))
        return [one.row() for one in market.aggregates_between(start, end, from_id, limit)]

    def _ticker(self, query: Query) -> object:
        return self._one_or_all(query, lambda market: market.ticker(self._time.now_ms()))

    def _price(self, query: Query) -> object:
        return self._one_or_all(
            query, lambda market: {"symbol": market.symbol, "price": f"{market.last_price:.8f}"}
        )

    def _book_ticker(self, query: Query) -> object:
        return self._one_or_all(query, _best)

    def _one_or_all(self, query: Query, answer: Callable[[SpotMarket], object]) -> object:
        if "symbol" in query:
            return answer(self._market(query))
        return [answer(market) for market in self._markets.values()]


def _best(market: SpotMarket) -> object:
    _, bid, ask = market.best
    return {
        "symbol": market.symbol,
        "bidPrice": bid[0],
        "bidQty": bid[1],
        "askPrice": ask[0],
        "askQty": ask[1],
    }


def _mandatory(name: str) -> VenueError:
    return VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def _integer(query: Query, name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise VenueError(
            -1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
        )
    return int(text)


def _limit(query: Query, default: int, largest: int) -> int:
    limit = _integer(query, "limit")
    if limit is None:
        return default
    if limit == 0:
        raise VenueError(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(limit, largest)


def _depth_weight(query: Query) -> int:
    text = query.get("limit", "100")
    limit = int(text) if text.isascii() and text.isdigit() else 100
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1_000 else 250


def _symbol_info(market: SpotMarket) -> dict[str, object]:
    decimals = Decimal(1).scaleb(-8)
    return {
        "symbol": market.symbol,
        "status": "TRADING",
        "baseAsset": market.base,
        "baseAssetPrecision": 8,
        "quoteAsset": market.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": market.tick,
                "maxPrice": "1000000.00000000",
                "tickSize": market.tick,
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": market.step,
                "maxQty": "9000.00000000",
                "stepSize": market.step,
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": "5.00000000" if market.quote == "USDT" else f"{decimals * 100_000:.8f}",
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_MAKER"],
    }

"""An emulated Bybit: REST market data of its spot market in its shapes, the newest candle first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from tests.venues.rest_venue import Answer, Query, Refusal, RestVenue, integer, joined, plain
from tests.venues.truth import Candle, Market
from tradewright.domain.timeframes import TIMEFRAMES, Timeframe

PAGE: Final = 1_000
BOOK_MAX: Final = 200
TRADES_MAX: Final = 60


def _interval(timeframe: Timeframe) -> str:
    letters = {"1d": "D", "1w": "W", "1M": "M"}
    return letters.get(timeframe.name, str(timeframe.length_ms // 60_000))


_INTERVALS: Final = {_interval(timeframe): timeframe for timeframe in TIMEFRAMES.values()}


class BybitVenue(RestVenue):
    """Speaks Bybit's `/v5/market` for spot.

    `start` (of the candle that contains it) and `end` are inclusive; of what lies between them the newest
    rows come. Without an `end` a page covers `limit` candles from `start` on.
    """

    provider: ClassVar[str] = "bybit"
    maintenance_words: ClassVar[tuple[int, str]] = (
        503,
        '{"retCode":10016,"retMsg":"System maintenance","result":{},"retExtInfo":{}}',
    )
    too_many_words: ClassVar[tuple[int, str]] = (
        200,
        '{"retCode":10006,"retMsg":"Too many visits!","result":{},"retExtInfo":{}}',
    )

    def provider_options(self) -> dict[str, Any]:
        return {
            "urls": {"api": {"public": self.url, "private": self.url}},
            "options": {"fetchMarkets": {"types": ["spot"]}},
        }

    def routes(self) -> Mapping[str, Answer]:
        answers: dict[str, Answer] = {
            "time": self._time,
            "instruments-info": lambda _: self._listed([_listing(one) for one in self.markets.values()]),
            "tickers": self._tickers,
            "kline": self._kline,
            "orderbook": self._orderbook,
            "recent-trade": self._recent_trade,
        }
        return {f"/v5/market/{path}": answer for path, answer in answers.items()}

    def _market(self, query: Query) -> Market:
        for market in self.markets.values():
            if query.get("category") == "spot" and query.get("symbol") == market.base + market.quote:
                return market
        raise self._refusal("Not supported symbols")

    def _time(self, _query: Query) -> bytes:
        now_ms = self.now_ms()
        return self._result({"timeSecond": str(now_ms // 1000), "timeNano": str(now_ms * 1_000_000)})

    def _kline(self, query: Query) -> bytes:
        market, timeframe = self._market(query), _INTERVALS.get(query.get("interval", ""))
        limit = self._limit(query, 200, PAGE)
        if timeframe is None:
            raise self._refusal("Invalid period!")
        start, end = integer(query, "start"), integer(query, "end")
        first = timeframe.floor(start) if start is not None else None
        if end is None and first is not None:
            end = timeframe.shift(first, limit) - 1
        rows = self.chosen(market, timeframe, _row, first_ms=first, last_ms=end, limit=limit, newest=True)
        head = f'"category":"spot","symbol":"{market.base}{market.quote}"'.encode()
        return b'{"retCode":0,"retMsg":"OK","result":{%s,"list":%s},"retExtInfo":{},"time":%d}' % (
            head,
            joined(rows[::-1]),
            self.now_ms(),
        )

    def _tickers(self, query: Query) -> bytes:
        market, now_ms = self._market(query), self.now_ms()
        day, (bids, asks) = market.day(now_ms), market.book(now_ms, 1)
        figures = {
            "bid1Price": bids[0][0],
            "bid1Size": bids[0][1],
            "ask1Price": asks[0][0],
            "ask1Size": asks[0][1],
            "lastPrice": day.close,
            "prevPrice24h": day.open,
            "price24hPcnt": round((day.close - day.open) / day.open, 4),
            "highPrice24h": day.high,
            "lowPrice24h": day.low,
            "turnover24h": day.volume * day.average,
            "volume24h": day.volume,
        }
        texts = {name: plain(value) for name, value in figures.items()}
        return self._listed([{"symbol": market.base + market.quote, **texts}])

    def _orderbook(self, query: Query) -> bytes:
        market, now_ms = self._market(query), self.now_ms()
        bids, asks = market.book(now_ms, self._limit(query, 1, BOOK_MAX))
        sides = {"b": bids, "a": asks}
        book = {name: [(plain(p), plain(a)) for p, a in levels] for name, levels in sides.items()}
        return self._result({"s": market.base + market.quote, **book, "ts": now_ms, "u": now_ms})

    def _recent_trade(self, query: Query) -> bytes:
        market = self._market(query)
        prints = market.prints(self.now_ms(), self._limit(query, TRADES_MAX, TRADES_MAX))
        rows = [
            {
                "execId": str(one.id),
                "symbol": market.base + market.quote,
                "price": plain(one.price),
                "size": plain(one.amount),
                "side": one.side.title(),
                "time": str(one.time_ms),
                "isBlockTrade": False,
            }
            for one in reversed(prints)
        ]
        return self._listed(rows)

    def _limit(self, query: Query, otherwise: int, most: int) -> int:
        limit = integer(query, "limit", otherwise)
        if not limit or limit > most:
            raise self._refusal("params error: limit is invalid")
        return limit

    def _listed(self, rows: object) -> bytes:
        return self._result({"category": "spot", "list": rows})

    def _result(self, result: object) -> bytes:
        answer = {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": self.now_ms()}
        return msgspec.json.encode(answer)

    def _refusal(self, text: str) -> Refusal:
        return Refusal({"retCode": 10001, "retMsg": text, "result": {}, "retExtInfo": {}})


def _row(candle: Candle) -> bytes:
    values = (candle.open, candle.high, candle.low, candle.close, candle.volume)
    texts = '","'.join(plain(value) for value in (*values, candle.volume * candle.average))
    return f'["{candle.open_ms}","{texts}"]'.encode()


def _listing(market: Market) -> dict[str, object]:
    step = plain(10.0**-market.amount_decimals)
    return {
        "symbol": market.base + market.quote,
        "baseCoin": market.base,
        "quoteCoin": market.quote,
        "innovation": "0",
        "status": "Trading",
        "marginTrading": "none",
        "lotSizeFilter": {
            "basePrecision": step,
            "quotePrecision": "0.00000001",
            "minOrderQty": "0.00004",
            "maxOrderQty": "63.01197227",
            "minOrderAmt": "1",
            "maxOrderAmt": "100000",
        },
        "priceFilter": {"tickSize": plain(10.0**-market.price_decimals)},
    }

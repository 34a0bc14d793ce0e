"""An emulated OKX: REST market data in its shapes, the newest candle first, two paths for candles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from tests.venues.rest_venue import Answer, Query, Refusal, RestVenue, integer, joined, plain
from tests.venues.truth import Candle, Market
from tradewright.domain.timeframes import HOUR_MS, TIMEFRAMES, Timeframe

PAGE: Final = 300
RECENT: Final = 1_440
BOOK_MAX: Final = 400
FULL_BOOK_MAX: Final = 5_000
TRADES_MAX: Final = 500


def _bar(timeframe: Timeframe) -> str:
    name = timeframe.name
    if name.endswith("m"):
        return name
    name = name.upper()
    return name if timeframe.length_ms < 6 * HOUR_MS else f"{name}utc"


_BARS: Final = {_bar(timeframe): timeframe for timeframe in TIMEFRAMES.values()}


class OkxVenue(RestVenue):
    """Speaks OKX's `/api/v5`.

    `market/candles` knows the newest 1,440 candles, the forming one among them; `market/history-candles`
    all closed ones. `after` and `before` are exclusive, and of what lies between them the newest rows come.
    `history_page` is how many rows a page of the older ones has at most, however many are asked for.
    """

    provider: ClassVar[str] = "okx"
    maintenance_words: ClassVar[tuple[int, str]] = (
        503,
        '{"code":"50001","data":[],"msg":"Service temporarily unavailable."}',
    )
    too_many_words: ClassVar[tuple[int, str]] = (
        429,
        '{"code":"50011","data":[],"msg":"Requests too frequent."}',
    )

    history_page = PAGE

    def provider_options(self) -> dict[str, Any]:
        return {"urls": {"api": {"rest": self.url}}, "options": {"fetchMarkets": {"types": ["spot"]}}}

    def routes(self) -> Mapping[str, Answer]:
        answers: dict[str, Answer] = {
            "public/time": lambda _: _data([{"ts": str(self.now_ms())}]),
            "public/instruments": self._instruments,
            "market/ticker": self._ticker,
            "market/candles": self._candles,
            "market/history-candles": self._history_candles,
            "market/books": lambda query: self._books(query, BOOK_MAX),
            "market/books-full": lambda query: self._books(query, FULL_BOOK_MAX),
            "market/trades": self._trades,
        }
        return {f"/api/v5/{path}": answer for path, answer in answers.items()}

    def _market(self, query: Query) -> Market:
        for market in self.markets.values():
            if query.get("instId") == _id(market):
                return market
        raise _refusal("51001", "Instrument ID doesn't exist.")

    def _instruments(self, query: Query) -> bytes:
        markets = self.markets.values() if query.get("instType") == "SPOT" else ()
        return _data([_listing(market) for market in markets])

    def _candles(self, query: Query) -> bytes:
        timeframe = _timeframe(query)
        oldest = timeframe.shift(timeframe.floor(self.now_ms()), 1 - RECENT)
        return self._page(query, timeframe, oldest=oldest, most=PAGE, forming=True)

    def _history_candles(self, query: Query) -> bytes:
        return self._page(query, _timeframe(query), oldest=0, most=self.history_page, forming=False)

    def _page(self, query: Query, timeframe: Timeframe, *, oldest: int, most: int, forming: bool) -> bytes:
        limit = integer(query, "limit", 100)
        if not limit or limit > PAGE:
            raise _refusal("51000", "Parameter limit error")
        before, after = integer(query, "before"), integer(query, "after")
        rows = self.chosen(
            self._market(query),
            timeframe,
            _row,
            first_ms=max(oldest, before + 1 if before is not None else 0),
            last_ms=after - 1 if after is not None else None,
            limit=min(limit, most),
            newest=True,
            forming=forming,
        )
        return b'{"code":"0","msg":"","data":%s}' % joined(rows[::-1])

    def _ticker(self, query: Query) -> bytes:
        market, now_ms = self._market(query), self.now_ms()
        day, (bids, asks) = market.day(now_ms), market.book(now_ms, 1)
        figures = {
            "last": day.close,
            "lastSz": 0.01,
            "askPx": asks[0][0],
            "askSz": asks[0][1],
            "bidPx": bids[0][0],
            "bidSz": bids[0][1],
            "open24h": day.open,
            "high24h": day.high,
            "low24h": day.low,
            "volCcy24h": day.volume * day.average,
            "vol24h": day.volume,
        }
        texts = {name: plain(value) for name, value in figures.items()}
        return _data([{"instType": "SPOT", "instId": _id(market), **texts, "ts": str(now_ms)}])

    def _books(self, query: Query, most: int) -> bytes:
        size = integer(query, "sz", 1)
        if not size or size > most:
            raise _refusal("51000", "Parameter sz error")
        bids, asks = self._market(query).book(self.now_ms(), size)
        sides = {"asks": asks, "bids": bids}
        book = {name: [(plain(p), plain(a), "0", "1") for p, a in levels] for name, levels in sides.items()}
        return _data([{**book, "ts": str(self.now_ms())}])

    def _trades(self, query: Query) -> bytes:
        market, limit = self._market(query), integer(query, "limit", 100)
        if not limit or limit > TRADES_MAX:
            raise _refusal("51000", "Parameter limit error")
        rows = [
            {
                "instId": _id(market),
                "side": one.side,
                "sz": plain(one.amount),
                "px": plain(one.price),
                "tradeId": str(one.id),
                "ts": str(one.time_ms),
            }
            for one in reversed(market.prints(self.now_ms(), limit))
        ]
        return _data(rows)


def _timeframe(query: Query) -> Timeframe:
    timeframe = _BARS.get(query.get("bar", "1m"))
    if timeframe is None:
        raise _refusal("51000", "Parameter bar error")
    return timeframe


def _row(candle: Candle) -> bytes:
    quote = plain(candle.volume * candle.average)
    values = (candle.open, candle.high, candle.low, candle.close, candle.volume)
    texts = '","'.join(plain(value) for value in values)
    return f'["{candle.open_ms}","{texts}","{quote}","{quote}","{int(candle.closed)}"]'.encode()


def _data(data: object) -> bytes:
    return msgspec.json.encode({"code": "0", "msg": "", "data": data})


def _refusal(code: str, text: str) -> Refusal:
    return Refusal({"code": code, "msg": text, "data": []}, 400)


def _id(market: Market) -> str:
    return f"{market.base}-{market.quote}"


def _listing(market: Market) -> dict[str, object]:
    step = plain(10.0**-market.amount_decimals)
    return {
        "instType": "SPOT",
        "instId": _id(market),
        "baseCcy": market.base,
        "quoteCcy": market.quote,
        "settleCcy": "",
        "uly": "",
        "lever": "1",
        "listTime": "1548133413000",
        "lotSz": step,
        "minSz": "0.00001",
        "tickSz": plain(10.0**-market.price_decimals),
        "state": "live",
    }

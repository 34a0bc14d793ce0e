"""An emulated Kraken: REST market data in its shapes, of its last 720 candles and no more."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate
from typing import Any, ClassVar, Final

import msgspec

from tests.venues.rest_venue import Answer, Query, Refusal, RestVenue, integer, joined, plain
from tests.venues.truth import Candle, Market
from tradewright.domain.timeframes import TIMEFRAMES, WEEK_MS, Timeframe

REACH: Final = 720
_ASSETS: Final = {"BTC": "XXBT", "ETH": "XETH", "USD": "ZUSD"}
_INTERVALS: Final[dict[str, Timeframe]] = {
    **{
        str(TIMEFRAMES[name].length_ms // 60_000): TIMEFRAMES[name]
        for name in ("1m", "5m", "15m", "30m", "1h", "4h", "1d")
    },
    "10080": Timeframe("kraken week", WEEK_MS),  # which opens on Thursday
}


class KrakenVenue(RestVenue):
    """Speaks Kraken's `/0/public`. Refusals come with status 200 and a list of errors."""

    provider: ClassVar[str] = "kraken"
    maintenance_words: ClassVar[tuple[int, str]] = (200, '{"error":["EService:Unavailable"]}')
    too_many_words: ClassVar[tuple[int, str]] = (200, '{"error":["EAPI:Rate limit exceeded"]}')

    def provider_options(self) -> dict[str, Any]:
        return {"urls": {"api": {"public": self.url, "private": self.url}}}

    def routes(self) -> Mapping[str, Answer]:
        answers: dict[str, Answer] = {
            "Time": self._time,
            "Assets": self._assets,
            "AssetPairs": lambda _: _result({_pair(one): _listing(one) for one in self.markets.values()}),
            "Ticker": self._ticker,
            "OHLC": self._ohlc,
            "Depth": self._depth,
            "Trades": self._trades,
        }
        return {f"/0/public/{path}": answer for path, answer in answers.items()}

    def _market(self, query: Query) -> Market:
        for market in self.markets.values():
            if query.get("pair") == _pair(market):
                return market
        raise _refusal("EQuery:Unknown asset pair")

    def _time(self, _query: Query) -> bytes:
        now_s = self.now_ms() // 1000
        return _result({"unixtime": now_s, "rfc1123": formatdate(now_s)})

    def _assets(self, _query: Query) -> bytes:
        names = sorted({name for market in self.markets.values() for name in (market.base, market.quote)})
        return _result(
            {
                _ASSETS.get(name, name): {
                    "aclass": "currency",
                    "altname": _altname(name),
                    "decimals": 10,
                    "display_decimals": 5,
                    "status": "enabled",
                }
                for name in names
            }
        )

    def _ohlc(self, query: Query) -> bytes:
        market, timeframe = self._market(query), _INTERVALS.get(query.get("interval", "1"))
        if timeframe is None:
            raise _refusal("EGeneral:Invalid arguments")
        forming = timeframe.floor(self.now_ms())
        oldest = timeframe.shift(forming, 1 - REACH)
        since_ms = (integer(query, "since") or 0) * 1000
        rows = self.chosen(market, timeframe, _row, first_ms=max(oldest, since_ms + 1), limit=REACH)
        last = timeframe.shift(forming, -1) // 1000
        return b'{"error":[],"result":{"%s":%s,"last":%d}}' % (_pair(market).encode(), joined(rows), last)

    def _ticker(self, query: Query) -> bytes:
        market, now_ms = self._market(query), self.now_ms()
        day, (bids, asks) = market.day(now_ms), market.book(now_ms, 1)
        ticker = {
            "a": [plain(asks[0][0]), "1", plain(asks[0][1])],
            "b": [plain(bids[0][0]), "1", plain(bids[0][1])],
            "c": [plain(day.close), "0.01"],
            "v": [plain(day.volume)] * 2,
            "p": [plain(day.average)] * 2,
            "t": [1, 1],
            "l": [plain(day.low)] * 2,
            "h": [plain(day.high)] * 2,
            "o": plain(day.open),
        }
        return _result({_pair(market): ticker})

    def _depth(self, query: Query) -> bytes:
        market, now_s = self._market(query), self.now_ms() // 1000
        count = integer(query, "count", 100)
        if not count or count > 500:
            raise _refusal("EGeneral:Invalid arguments")
        bids, asks = market.book(self.now_ms(), count)
        sides = {"asks": asks, "bids": bids}
        book = {name: [(plain(p), plain(a), now_s) for p, a in levels] for name, levels in sides.items()}
        return _result({_pair(market): book})

    def _trades(self, query: Query) -> bytes:
        market = self._market(query)
        prints = market.prints(self.now_ms(), min(integer(query, "count") or 1_000, 1_000))
        rows = [
            [plain(one.price), plain(one.amount), one.time_ms / 1000, one.side[0], "m", "", one.id]
            for one in prints
        ]
        return _result({_pair(market): rows, "last": str(prints[-1].time_ms * 1_000_000 if prints else 0)})


def _row(candle: Candle) -> bytes:
    prices = '","'.join(plain(value) for value in (candle.open, candle.high, candle.low, candle.close))
    vwap, volume = plain(candle.average), plain(candle.volume)
    return f'[{_seconds(candle.open_ms)},"{prices}","{vwap}","{volume}",4]'.encode()


def _seconds(time_ms: int) -> int | float:
    return time_ms // 1000 if time_ms % 1000 == 0 else time_ms / 1000


def _result(result: object) -> bytes:
    return msgspec.json.encode({"error": [], "result": result})


def _refusal(error: str) -> Refusal:
    return Refusal({"error": [error]})


def _altname(name: str) -> str:
    return "XBT" if name == "BTC" else name


def _pair(market: Market) -> str:
    return _altname(market.base) + market.quote


def _listing(market: Market) -> dict[str, object]:
    return {
        "altname": _pair(market),
        "wsname": f"{_altname(market.base)}/{market.quote}",
        "aclass_base": "currency",
        "base": _ASSETS.get(market.base, market.base),
        "aclass_quote": "currency",
        "quote": _ASSETS.get(market.quote, market.quote),
        "lot": "unit",
        "pair_decimals": market.price_decimals,
        "lot_decimals": market.amount_decimals,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "fee_volume_currency": "ZUSD",
        "ordermin": "0.00005",
        "costmin": "0.5",
        "tick_size": plain(10.0**-market.price_decimals),
        "status": "online",
    }

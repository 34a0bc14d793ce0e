"""The data host: bars, trades, snapshots, quotes, books and corporate actions, paged."""

from __future__ import annotations

import base64
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from aiohttp import web

from tests.venues.alpaca.securities import Bar, Print, Security, stamp
from tests.venues.candle_faults import CandleFaults, Page
from tests.venues.time import VenueTime
from tests.venues.truth import Candle
from tradewright.plugins._alpaca_times import time_ms

Query: TypeAlias = Mapping[str, str]
Row: TypeAlias = tuple[str, int, Mapping[str, object] | Bar]
"""A symbol, a time, and the row itself."""
LIMIT_MAX: Final = 10_000
_BEYOND: Final = 3
"""How many bars a page that overlaps reaches beyond what was asked."""


class Refused(Exception):
    """An error answer with the venue's status, code and words."""

    def __init__(self, status: int, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, object] = (
            {"message": message} if code is None else {"code": code, "message": message}
        )


class DataApi:
    """Answers from the securities' present state. `page_limit` makes pages shorter than what is asked for,
    as the venue may."""

    def __init__(self, securities: Mapping[str, Security], time: VenueTime) -> None:
        self._securities = securities
        self._time = time
        self.page_limit = LIMIT_MAX
        self.timeframes: list[str] = []
        self.candle_faults = CandleFaults(time.now_ms)

    def routes(self) -> dict[str, Callable[[Query], object]]:
        """Path and answer of each call."""
        return {
            "/v2/stocks/bars": lambda query: self._bars(query, stocks=True),
            "/v2/stocks/trades": lambda query: self._trades(query, stocks=True),
            "/v2/stocks/snapshots": self._stock_snapshots,
            "/v2/stocks/quotes/latest": self._latest_quotes,
            "/v1beta3/crypto/us/bars": lambda query: self._bars(query, stocks=False),
            "/v1beta3/crypto/us/trades": lambda query: self._trades(query, stocks=False),
            "/v1beta3/crypto/us/snapshots": self._crypto_snapshots,
            "/v1beta3/crypto/us/latest/trades": self._latest_trades,
            "/v1beta3/crypto/us/latest/orderbooks": self._orderbooks,
            "/v1/corporate-actions": self._corporate_actions,
        }

    def _chosen(self, query: Query, *, stocks: bool) -> list[Security]:
        names = query.get("symbols", "").split(",")
        if names == [""]:
            raise Refused(400, "symbols is required")
        known = [self._securities[name] for name in names if name in self._securities]
        return sorted((one for one in known if one.stock is stocks), key=lambda one: one.symbol)

    def _bars(self, query: Query, *, stocks: bool) -> object:
        timeframe = query.get("timeframe", "")
        self.timeframes.append(timeframe)
        rows: list[Row] = []
        beyond: tuple[list[Bar], list[Bar]] = ([], [])
        start, end = self._interval(query)
        for security in self._chosen(query, stocks=stocks):
            try:
                bars = security.bars(timeframe)
            except KeyError:
                raise Refused(400, f"invalid timeframe: {timeframe}") from None
            first = bisect_left(bars, start, key=lambda bar: bar.t)
            last = bisect_right(bars, end, key=lambda bar: bar.t)
            rows += [(security.symbol, bar.t, bar) for bar in bars[first:last]]
            beyond = list(bars[max(0, first - _BEYOND) : first]), list(bars[last : last + _BEYOND])
        return self._page("bars", rows, query, beyond)

    def _trades(self, query: Query, *, stocks: bool) -> object:
        start, end = self._interval(query)
        rows: list[Row] = [
            (security.symbol, trade.t, trade_row(trade, stock=stocks))
            for security in self._chosen(query, stocks=stocks)
            for trade in security.prints
            if start <= trade.t <= end
        ]
        return self._page("trades", rows, query)

    def _interval(self, query: Query) -> tuple[int, int]:
        bounds = [0, self._time.now_ms()]
        for index, name in enumerate(("start", "end")):
            if name in query:
                at = time_ms(query[name])
                if at is None:
                    raise Refused(400, f"invalid {name}: {query[name]}")
                bounds[index] = at
        if bounds[1] < bounds[0]:
            raise Refused(400, "end should not be before start")
        return bounds[0], min(bounds[1], self._time.now_ms())

    def _page(
        self, name: str, rows: list[Row], query: Query, beyond: tuple[list[Bar], list[Bar]] = ([], [])
    ) -> object:
        """Sorted by symbol, then by time; a token names the first row of the next page."""
        rows.sort(key=lambda row: (row[0], -row[1] if query.get("sort") == "desc" else row[1]))
        limit = query.get("limit", "1000")
        if not limit.isdigit() or not 1 <= int(limit) <= LIMIT_MAX:
            raise Refused(400, "invalid limit")
        first = _position(query.get("page_token"))
        last = first + min(int(limit), self.page_limit)
        page = rows[first:last]
        if name == "bars" and self.candle_faults.active:
            page = self._broken(rows, page, first, beyond)
            last = min(last, first + len(page))  # a page that is short leads to the rest
        by_symbol: dict[str, list[Mapping[str, object]]] = {}
        for symbol, _, row in page:
            by_symbol.setdefault(symbol, []).append(row.row() if isinstance(row, Bar) else row)
        token = base64.b64encode(f"row|{last}".encode()).decode() if last < len(rows) else None
        return {name: by_symbol, "next_page_token": token}

    def _broken(
        self, rows: list[Row], page: list[Row], first: int, beyond: tuple[list[Bar], list[Bar]]
    ) -> list[Row]:
        """The page with a fault in it."""
        symbol, last = page[0][0] if page else "", first + len(page)
        before = [_candle(row) for row in rows[max(0, first - _BEYOND) : first]]
        after = [_candle(row) for row in rows[last : last + _BEYOND]]
        broken = Page(
            symbol,
            [_candle(row) for row in page],
            before or [_candle((symbol, bar.t, bar)) for bar in beyond[0]],
            after or [_candle((symbol, bar.t, bar)) for bar in beyond[1]],
        )
        return [
            (symbol, one.open_ms, Bar(one.open_ms, one.open, one.high, one.low, one.close, one.volume))
            for one in self.candle_faults.apply(broken)
        ]

    def _stock_snapshots(self, query: Query) -> object:
        return {one.symbol: snapshot(one) for one in self._chosen(query, stocks=True)}

    def _crypto_snapshots(self, query: Query) -> object:
        return {"snapshots": {one.symbol: snapshot(one) for one in self._chosen(query, stocks=False)}}

    def _latest_quotes(self, query: Query) -> object:
        return {"quotes": {one.symbol: quote_row(one) for one in self._chosen(query, stocks=True)}}

    def _latest_trades(self, query: Query) -> object:
        chosen = self._chosen(query, stocks=False)
        return {
            "trades": {one.symbol: trade_row(one.prints[-1], stock=False) for one in chosen if one.prints}
        }

    def _orderbooks(self, query: Query) -> object:
        return {"orderbooks": {one.symbol: book_row(one) for one in self._chosen(query, stocks=False)}}

    def _corporate_actions(self, query: Query) -> object:
        start, end = query.get("start", ""), query.get("end", "9999")
        found: dict[str, list[dict[str, object]]] = {}
        for one in self._chosen(query, stocks=True):
            for action in one.splits:
                if start <= action.date <= end:
                    forward = action.new_rate > action.old_rate
                    found.setdefault("forward_splits" if forward else "reverse_splits", []).append(
                        {
                            "id": f"189bd849-ab9f-4b4d-aaaa-{action.date.replace('-', '')}0000",
                            "symbol": one.symbol,
                            "cusip": "816851109",
                            "new_rate": action.new_rate,
                            "old_rate": action.old_rate,
                            "process_date": action.date,
                            "ex_date": action.date,
                        }
                    )
        return {"corporate_actions": found, "next_page_token": None}


def _candle(row: Row) -> Candle:
    bar = row[2]
    assert isinstance(bar, Bar)
    return Candle(bar.t, bar.t, bar.o, bar.h, bar.l, bar.c, bar.v)


def _position(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(base64.b64decode(token).decode().removeprefix("row|"))
    except ValueError:
        raise Refused(400, "invalid page_token") from None


def trade_row(trade: Print, *, stock: bool) -> dict[str, object]:
    """A trade; the stream adds `T` and `S`."""
    row: dict[str, object] = {"t": stamp(trade.t), "p": trade.price, "s": trade.size, "i": trade.id}
    return row | ({"x": "V", "c": list(trade.conditions), "z": "C"} if stock else {"tks": trade.side})


def quote_row(one: Security) -> dict[str, object]:
    """The best bid and ask."""
    row: dict[str, object] = {
        "t": stamp(one.quoted_ms),
        "bp": one.bid[0],
        "bs": one.bid[1],
        "ap": one.ask[0],
        "as": one.ask[1],
    }
    return row | ({"bx": "V", "ax": "V", "c": ["R"], "z": "C"} if one.stock else {})


def book_row(one: Security) -> dict[str, object]:
    """The whole book."""
    return {
        "t": stamp(one.quoted_ms),
        "b": [{"p": price, "s": size} for price, size in sorted(one.bids.items(), reverse=True)],
        "a": [{"p": price, "s": size} for price, size in sorted(one.asks.items())],
    }


def snapshot(one: Security) -> dict[str, object]:
    """All that is known of one symbol now."""
    days: Sequence[Bar] = one.bars("1Day")
    return {
        "latestTrade": trade_row(one.prints[-1], stock=one.stock) if one.prints else None,
        "latestQuote": quote_row(one),
        "minuteBar": one.minutes[-1].row() if one.minutes else None,
        "dailyBar": days[-1].row() if days else None,
        "prevDailyBar": days[-2].row() if len(days) > 1 else None,
    }


def json_error(refused: Refused) -> web.Response:
    """The answer of a refusal."""
    return web.json_response(refused.body, status=refused.status)

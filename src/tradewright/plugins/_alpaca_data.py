"""Alpaca's market data over REST: bars, tickers, books, trades, splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tradewright.domain.bars import BarRow, Bars, PageOfBars
from tradewright.domain.errors import MalformedAnswerPluginError
from tradewright.domain.instruments import Split
from tradewright.domain.ticks import OrderBook, Ticker, Trade
from tradewright.domain.timeframes import DAY_MS, Timeframe
from tradewright.plugins import _alpaca_parse as parse
from tradewright.plugins._alpaca_client import ApiClient
from tradewright.plugins._alpaca_errors import malformed
from tradewright.plugins._alpaca_times import (
    TIMEFRAME_NAMES,
    date_text,
    rfc3339,
    their_opening,
)
from tradewright.runtime.clock import Clock

PAGE_MAX: Final = 10_000
ANSWERS_MAX: Final = 60
"""A page may come in more answers than one; past this many the venue is not answering the question."""
TRADES_BACK_MS: Final = 7 * DAY_MS
FIRST_SPLIT: Final = "1990-01-01"

_CRYPTO: Final = "/v1beta3/crypto/us"


class MarketData:
    """Reads what one call asks for. ``dropped`` is told how many rows could not be right."""

    def __init__(self, api: ApiClient, clock: Clock, feed: str, dropped: Callable[[int], None]) -> None:
        self._api = api
        self._clock = clock
        self._feed = feed
        self._dropped = dropped

    async def bars(
        self, symbol: str, timeframe: Timeframe, first_ms: int, end_ms: int, count: int, now_ms: int
    ) -> Bars:
        """The first ``count`` bars that open in ``[first_ms, end_ms)``, both aligned; a ``PageOfBars`` where
        some of them can't be right, and ``MalformedAnswerPluginError`` where none can."""
        stock = parse.is_stock(symbol)
        last_ms = min(timeframe.shift(end_ms, -1), timeframe.floor(now_ms))
        if count <= 0 or last_ms < first_ms:
            return Bars.empty()
        params = {
            "symbols": symbol,
            "timeframe": TIMEFRAME_NAMES[timeframe.name],
            "start": rfc3339(their_opening(first_ms, timeframe, stock=stock)),
            "end": rfc3339(their_opening(last_ms, timeframe, stock=stock)),  # inclusive
            "sort": "asc",
        }
        if stock:
            params |= {"adjustment": "raw", "feed": self._feed}
        rows: dict[int, BarRow] = {}
        with_bad = list[Any]()
        token: str | None = None
        for _ in range(ANSWERS_MAX):
            paged = params | {"limit": str(min(PAGE_MAX, count - len(rows)))}
            answer = await self._get(symbol, "bars", paged | ({"page_token": token} if token else {}))
            listed = _of_symbol(answer, "bars", symbol)
            found, bad = parse.bar_rows(listed, timeframe, stock=stock)
            self._dropped(bad)
            with_bad += listed if bad else ()
            rows.update((row[0], row) for row in found if first_ms <= row[0] < end_ms)
            token = _token(answer, before=token)
            if token is None or len(rows) >= count:
                page = Bars.from_unordered(rows.values())
                if not with_bad:
                    return page[:count]
                unknown = parse.bars_left_out(with_bad, page, timeframe, stock=stock)
                if not rows:
                    raise MalformedAnswerPluginError("None of Alpaca's bars can be right.", unknown=unknown)
                return PageOfBars.of(page[:count], unknown)
        raise malformed("its pages do not end")

    async def ticker(self, symbol: str) -> Ticker:
        """The snapshot of a market as a ticker."""
        last, best, day = await self.snapshot(symbol)
        return parse.ticker(last, best, day, self._clock.now_ms())

    async def snapshot(self, symbol: str) -> tuple[Trade | None, parse.Quote | None, parse.DayFigures]:
        """The last trade, the best quote and the day's figures."""
        stock = parse.is_stock(symbol)
        answer = await self._get(symbol, "snapshots", {"symbols": symbol} | self._feed_of(symbol))
        of_all = answer if stock else parse.table(answer.get("snapshots"), "the snapshots")
        one = parse.table(of_all.get(symbol), "the snapshot")
        day = parse.DayFigures.of(one.get("dailyBar"), one.get("prevDailyBar"))
        return parse.trade(one.get("latestTrade"), stock=stock), parse.quote(one.get("latestQuote")), day

    async def order_book(self, symbol: str) -> OrderBook:
        """The book of a pair; of a stock the one level that its best quote is."""
        if parse.is_stock(symbol):
            answer = await self._get(symbol, "quotes/latest", {"symbols": symbol} | self._feed_of(symbol))
            best = parse.quote(parse.table(answer.get("quotes"), "the quotes").get(symbol))
            if best is None or not best.sound:
                raise malformed("the best quote lacks a side, or is crossed")
            return best.book()
        answer = await self._get(symbol, "latest/orderbooks", {"symbols": symbol})
        return parse.order_book(parse.table(answer.get("orderbooks"), "the order books").get(symbol))

    async def trades(self, symbol: str, limit: int) -> Sequence[Trade]:
        """The newest ``limit`` trades of the last seven days, newest last."""
        params = {
            "symbols": symbol,
            "start": rfc3339(self._clock.now_ms() - TRADES_BACK_MS),
            "limit": str(min(max(limit, 1), PAGE_MAX)),
            "sort": "desc",
        }
        answer = await self._get(symbol, "trades", params | self._feed_of(symbol))
        found, bad = parse.trades(_of_symbol(answer, "trades", symbol), stock=parse.is_stock(symbol))
        self._dropped(bad)
        return tuple(found[-limit:])

    async def splits(self, symbol: str) -> Sequence[Split]:
        """All splits that have happened; pairs have none."""
        if not parse.is_stock(symbol):
            return ()
        now_ms = self._clock.now_ms()
        params = {
            "symbols": symbol,
            "types": "forward_split,reverse_split",
            "start": FIRST_SPLIT,
            "end": date_text(now_ms),
            "limit": "1000",
        }
        answers: list[Mapping[str, Any]] = []
        token: str | None = None
        for _ in range(ANSWERS_MAX):
            more = {"page_token": token} if token else {}
            answer = await self._api.get("data", "/v1/corporate-actions", params | more, exact=True)
            answers.append(parse.table(answer, "the corporate actions"))
            token = _token(answers[-1], before=token)
            if token is None:
                return tuple(parse.splits(answers, symbol, now_ms))
        raise malformed("its pages do not end")

    def _feed_of(self, symbol: str) -> dict[str, str]:
        return {"feed": self._feed} if parse.is_stock(symbol) else {}

    async def _get(self, symbol: str, what: str, params: Mapping[str, str]) -> Mapping[str, Any]:
        base = "/v2/stocks" if parse.is_stock(symbol) else _CRYPTO
        return parse.table(await self._api.get("data", f"{base}/{what}", params), "the answer")


def _of_symbol(answer: Mapping[str, Any], what: str, symbol: str) -> Sequence[Any]:
    """The rows of one symbol, since an answer may hold several."""
    by_symbol = answer.get(what)
    return () if by_symbol is None else parse.rows(parse.table(by_symbol, what).get(symbol), what)


def _token(answer: Mapping[str, Any], *, before: str | None) -> str | None:
    """What leads to the next answer, or None at the end."""
    token = answer.get("next_page_token")
    if not token:
        return None
    if not isinstance(token, str) or token == before:
        raise malformed("its pages do not go on")
    return token

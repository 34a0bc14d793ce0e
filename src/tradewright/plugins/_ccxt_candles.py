"""Asks an exchange for bars so that a page is always the earliest bars of the interval it is for.

CCXT leaves to each venue what `since` and `limit` mean. Some give the earliest bars from a time on; some
give the newest of a stretch of time; some know the newest few hundred bars alone, whatever is asked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from typing import Final, NamedTuple, TypeAlias

from tradewright.domain.bars import Bars, PageOfBars, unknown_in
from tradewright.domain.errors import MalformedAnswerPluginError
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.timeframes import Timeframe
from tradewright.plugins._ccxt_quirks import DataFacts

Ask: TypeAlias = Callable[[str, Timeframe, int, int, Mapping[str, object]], Awaitable[Bars]]
"""CCXT's ``fetch_ohlcv(symbol, timeframe, since, limit, params)``: what it gives, sorted, each time once."""

EMPTY_WINDOWS_MAX: Final = 12
WINDOW_BARS_MIN: Final = 20
_FRONT_CALLS_MAX: Final = 10
_BEGINS_MAX: Final = 4_096
_BEGINS_KNOWN_MS: Final = 600_000
"""How long nothing is asked that was older than all of an exchange's newest bars: they only become newer."""


class _Stretch(NamedTuple):
    """Bars, and up to when they are all that there are."""

    bars: Bars
    until: int


class CandleReader:
    """Pages of one exchange's bars.

    ``rows`` is how many bars one call gives at most, ``timeframes`` those that the exchange serves. A page
    that is not full holds all bars of its interval: what a venue left out at its end is asked for again.
    Where a row could not be right, or older bars were asked for than an exchange gives that knows its newest
    ones alone, the page says so (see ``PageOfBars``); where no row could be right,
    ``MalformedAnswerPluginError`` is raised.
    """

    def __init__(
        self,
        ask: Ask,
        facts: DataFacts,
        *,
        rows: int,
        timeframes: Sequence[Timeframe],
        now_ms: Callable[[], Awaitable[int]],
    ) -> None:
        self._ask = ask
        self._facts = facts
        self._rows = rows
        self._timeframes = timeframes
        self._now_ms = now_ms
        self._unknown = NO_INTERVALS
        self._refused = False
        self._begins: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()
        """When the oldest bar opened that an exchange gave that gives its newest ones, and when that was."""

    async def page(
        self, symbol: str, timeframe: Timeframe, start_ms: int, end_ms: int, most: int | None
    ) -> Bars:
        """The earliest bars that open in ``[start_ms, end_ms)``, at most ``most``, of those that the
        venue still serves."""
        its_own = copy(self)  # pages are read at the same time, and each learns of its own rows
        return await its_own._page(symbol, timeframe, start_ms, end_ms, most)

    async def _page(
        self, symbol: str, timeframe: Timeframe, start_ms: int, end_ms: int, most: int | None
    ) -> Bars:
        cursor = timeframe.ceil(max(start_ms, await self._served_from(timeframe)))
        end = timeframe.ceil(end_ms)
        wanted = min(self._rows, most or self._rows)
        found = Bars.empty()
        for _ in range(wanted + EMPTY_WINDOWS_MAX):
            if cursor >= end or len(found) >= wanted:
                break
            stretch = await self._next(symbol, timeframe, cursor, end, wanted - len(found))
            found, cursor = Bars.concat((found, stretch.bars)), stretch.until
        taken = IntervalSet.of((time, timeframe.end(time)) for time in found.time.tolist() if self._unknown)
        unknown = self._unknown.subtract(taken)
        if unknown and self._refused and not len(found):
            raise MalformedAnswerPluginError("None of the venue's bars can be right.", unknown=unknown)
        return PageOfBars.of(found[:wanted], unknown) if unknown else found[:wanted]

    async def _served_from(self, timeframe: Timeframe) -> int:
        """When the oldest bar opens that the venue still serves."""
        if self._facts.reach_bars is None:
            return 0
        forming = timeframe.floor(await self._now_ms())
        return max(0, timeframe.shift(forming, 1 - self._facts.reach_bars))

    async def _next(self, symbol: str, timeframe: Timeframe, first: int, end: int, wanted: int) -> _Stretch:
        """Some of the earliest bars from ``first`` on."""
        if self._facts.newest_only:
            return await self._newest(symbol, timeframe, first, end)
        if not self._facts.windowed:
            return await self._call(symbol, timeframe, first, end, min(wanted, timeframe.count(first, end)))
        bars = min(self._rows, max(wanted, WINDOW_BARS_MIN))
        window_end = min(end, timeframe.shift(first, bars))
        window = await self._window(symbol, timeframe, first, window_end)
        if len(window.bars) or window_end >= end or window.until < window_end:
            return window
        opened = await self._first_open(symbol, timeframe, window_end, end)
        return _Stretch(window.bars, end if opened is None else opened)

    async def _newest(self, symbol: str, timeframe: Timeframe, first: int, end: int) -> _Stretch:
        """Those of the newest bars that are asked for; of what is older than all of them nothing is known."""
        place, bars, now_ms = (symbol, timeframe.name), Bars.empty(), await self._now_ms()
        begins, seen_ms = self._begins.get(place, (0, 0))
        if end > begins or now_ms > seen_ms + _BEGINS_KNOWN_MS:
            answer = await self._ask(symbol, timeframe, first, self._rows, {})
            self._unknown, self._refused = unknown_in(answer).clip(first, end), bool(unknown_in(answer))
            bars, begins = answer.between(first, end), int(answer.time[0]) if len(answer) else 0
            self._begins[place] = begins, now_ms
            while len(self._begins) > _BEGINS_MAX:
                self._begins.popitem(last=False)
        self._unknown = self._unknown.union(IntervalSet.single(first, min(begins, end)))
        return _Stretch(bars, end)

    async def _window(
        self, symbol: str, timeframe: Timeframe, first: int, end: int, calls: int = _FRONT_CALLS_MAX
    ) -> _Stretch:
        """Bars of ``[first, end)``, which is no longer than a page.

        A venue may give fewer rows than were asked for, the newest ones: what lies before them is asked
        for until it is there, or is known to be empty.
        """
        if not calls:
            raise MalformedAnswerPluginError("The venue gives too few bars at a time.")
        found = await self._call(symbol, timeframe, first, end, timeframe.count(first, end))
        if not len(found.bars) or found.bars.time[0] == first:
            return found
        begins = int(found.bars.time[0])
        front = await self._window(symbol, timeframe, first, begins, calls - 1)
        if front.until < begins:
            return front
        return _Stretch(Bars.concat((front.bars, found.bars)), found.until)

    async def _call(self, symbol: str, timeframe: Timeframe, first: int, end: int, rows: int) -> _Stretch:
        """One call. That nothing was traded after its last bar is believed where a bar lies behind, or at
        the present, where it is asked for again soon."""
        params = await self._params(timeframe, first, end)
        try:
            answer = await self._ask(symbol, timeframe, first, rows, params)
        except MalformedAnswerPluginError as error:
            refused = error.unknown.clip(first, end)
            if not refused:
                raise
            until = refused.items[-1].end
            self._unknown, self._refused = self._unknown.union(IntervalSet.single(first, until)), True
            return _Stretch(Bars.empty(), until)
        self._unknown = self._unknown.union(unknown_in(answer).clip(first, end))
        bars = answer.between(first, end)
        if not len(bars) or answer.time[-1] >= end:
            return _Stretch(bars, end)
        last_end = timeframe.end(int(bars.time[-1]))
        if last_end < end and len(bars) < rows and end > timeframe.floor(await self._now_ms()):
            return _Stretch(bars, end)
        return _Stretch(bars, last_end)

    async def _params(self, timeframe: Timeframe, first: int, end: int) -> dict[str, object]:
        facts, params = self._facts, dict[str, object]()
        if facts.windowed:
            params["until"] = end - 1
        if facts.start_parameter is not None:
            params[facts.start_parameter] = first
        if facts.recent_bars is not None:
            border = timeframe.shift(timeframe.floor(await self._now_ms()), -facts.recent_bars)
            params |= facts.recent_params if first >= border else facts.older_params
        return params

    async def _first_open(self, symbol: str, timeframe: Timeframe, start: int, end: int) -> int | None:
        """When the earliest bar of ``[start, end)`` opens; looked for in coarser bars where pages of
        this timeframe would be many."""
        coarser = [
            other
            for other in self._timeframes
            if timeframe.nests_in(other) and timeframe.length_ms < other.length_ms < end - start
        ]
        if timeframe.count(start, end) <= self._rows or not coarser:
            return await self._first_open_by_windows(symbol, timeframe, start, end)
        coarse = max(coarser, key=lambda other: other.length_ms)
        cursor = start
        for _ in range(2):  # what is in the first coarse bar may lie before the start
            opened = await self._first_open(symbol, coarse, coarse.floor(cursor), end)
            if opened is None:
                return None
            bar_end = min(end, coarse.end(opened))
            found = await self._first_open(symbol, timeframe, max(cursor, opened), bar_end)
            if found is not None or bar_end >= end:
                return found
            cursor = bar_end
        return None

    async def _first_open_by_windows(
        self, symbol: str, timeframe: Timeframe, start: int, end: int
    ) -> int | None:
        cursor = timeframe.ceil(start)
        for _ in range(EMPTY_WINDOWS_MAX):
            if cursor >= end:
                return None
            window_end = min(end, timeframe.shift(cursor, self._rows))
            window = await self._window(symbol, timeframe, cursor, window_end)
            if len(window.bars):
                return int(window.bars.time[0])
            cursor = window_end
        return None

"""Pages of bars where a venue's rows can't be right, however it understands what it is asked."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support.ledger import START_MS
from tradewright.domain.bars import Bars, unknown_in
from tradewright.domain.errors import MalformedAnswerPluginError
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.timeframes import MINUTE_MS, ONE_MINUTE, Timeframe
from tradewright.plugins import _ccxt_parse as parse
from tradewright.plugins._ccxt_candles import CandleReader
from tradewright.plugins._ccxt_quirks import DataFacts, data_facts

NOW_MS = START_MS + 300 * MINUTE_MS + 7_000
ROWS = 50


def at(minute: int) -> int:
    return START_MS + minute * MINUTE_MS


def minutes(*numbers: int) -> IntervalSet:
    return IntervalSet.of((at(number), at(number + 1)) for number in numbers)


MINUTES = Bars.from_rows([(at(number), 10.0, 12.0, 9.0, 11.0, 5.0) for number in range(400)])


class Venue:
    """Gives the earliest rows from a time on or, ``windowed``, the newest of a stretch; some are nonsense."""

    def __init__(self, *, windowed: bool, bad: set[int]) -> None:
        self.calls = 0
        self._windowed = windowed
        self._bad = {at(number) for number in bad}
        facts = DataFacts(windowed=windowed)
        self.reader = CandleReader(self._ask, facts, rows=ROWS, timeframes=[ONE_MINUTE], now_ms=self._now_ms)

    async def page(self, first: int, end: int, most: int | None = None) -> Bars:
        return await self.reader.page("BTC/USDT", ONE_MINUTE, at(first), at(end), most)

    async def _now_ms(self) -> int:
        return NOW_MS

    async def _ask(
        self, symbol: str, timeframe: Timeframe, since: int, limit: int, params: Mapping[str, object]
    ) -> Bars:
        self.calls += 1
        until = params.get("until", NOW_MS)
        assert isinstance(until, int)
        there = MINUTES.between(since, until + 1)
        rows = (there[-limit:] if self._windowed else there[:limit]).rows()
        told = [[t, o, low / 2 if t in self._bad else h, low, c, v] for t, o, h, low, c, v in rows]
        return parse.page_of_bars(told, timeframe)[0]


@pytest.mark.parametrize("windowed", [False, True])
@pytest.mark.parametrize("bad", [{20}, {10}, {39}, {10, 11, 12}, {38, 39}, {15, 25, 35}])
async def test_a_page_tells_of_what_it_could_not_read(windowed: bool, bad: set[int]) -> None:
    venue = Venue(windowed=windowed, bad=bad)
    page = await venue.page(10, 40)
    assert page.time.tolist() == [at(number) for number in range(10, 40) if number not in bad]
    assert unknown_in(page) == minutes(*bad)
    assert venue.calls < 10


@pytest.mark.parametrize("windowed", [False, True])
async def test_bars_behind_a_page_of_nonsense_are_found(windowed: bool) -> None:
    page = await Venue(windowed=windowed, bad=set(range(10, 110))).page(10, 120)
    assert page.time.tolist() == [at(number) for number in range(110, 120)]
    assert unknown_in(page) == minutes(*range(10, 110))


@pytest.mark.parametrize("windowed", [False, True])
async def test_where_nothing_can_be_read_nothing_is_said_to_be_empty(windowed: bool) -> None:
    venue = Venue(windowed=windowed, bad=set(range(10, 20)))
    for most in (None, 1):
        with pytest.raises(MalformedAnswerPluginError) as caught:
            await venue.page(10, 20, most)
        assert caught.value.unknown == minutes(*range(10, 20))


async def test_of_a_venue_that_gives_its_newest_bars_nothing_older_is_known() -> None:
    calls: list[int] = []

    async def ask(symbol: str, timeframe: Timeframe, since: int, limit: int, params: object) -> Bars:
        calls.append(limit)
        return MINUTES.between(at(250), NOW_MS)[-limit:]

    async def now_ms() -> int:
        return NOW_MS

    facts = data_facts("gemini")
    reader = CandleReader(ask, facts, rows=ROWS, timeframes=[ONE_MINUTE], now_ms=now_ms)
    page = await reader.page("BTC/USD", ONE_MINUTE, at(240), at(260), 5)
    assert page.time.tolist() == [at(number) for number in range(251, 256)]
    assert unknown_in(page) == minutes(*range(240, 251))
    for first, end in ((0, 200), (200, 240)):
        older = await reader.page("BTC/USD", ONE_MINUTE, at(first), at(end), None)
        assert (len(older), unknown_in(older)) == (0, minutes(*range(first, end)))
    assert calls == [ROWS], "what is older than its newest bars is asked for in vain"
    newer = await reader.page("BTC/USD", ONE_MINUTE, at(290), at(310), 1)
    assert (newer.time.tolist(), unknown_in(newer)) == ([at(290)], IntervalSet())


async def test_pages_that_are_read_at_once_know_nothing_of_each_other() -> None:
    venue = Venue(windowed=False, bad={20})
    assert unknown_in(await venue.page(10, 40)) == minutes(20)
    assert unknown_in(await venue.page(30, 60)) == IntervalSet()

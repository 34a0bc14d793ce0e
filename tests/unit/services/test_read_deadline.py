"""One read waits for its venue for five seconds in all, whatever of it is slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from tests.support.houses import MINUTES, NOW, House, series
from tests.support.ledger import START_MS, SYMBOL, LedgerPlugin, ledger_plugin
from tests.support.loop_time import LoopTime, driven_loop
from tradewright.domain.bars import Bars
from tradewright.domain.errors import TimeoutPluginError
from tradewright.domain.instruments import Instrument, InstrumentKey, Split
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, TIMEFRAMES, Timeframe
from tradewright.services.adjusted_bars import AdjustedBars
from tradewright.services.data_orchestrator import READ_DEADLINE_S, BarsAnswer
from tradewright.services.data_sources.plugin import CLOCK_DOUBT_MS
from tradewright.testing.clock import DrivenClock

SPLIT = Split(START_MS + 2 * DAY_MS, Decimal(4))
STORED = (START_MS, START_MS + HOUR_MS)


class SlowPlugin(LedgerPlugin):
    """A ledger each of whose methods takes its time."""

    slow_s: ClassVar[dict[str, float]]
    asked: ClassVar[list[str]]

    async def _linger(self, what: str) -> None:
        self.asked.append(what)
        await asyncio.sleep(self.slow_s.get(what, 0.0))

    async def fetch_instruments(self) -> Sequence[Instrument]:
        await self._linger("listing")
        return await super().fetch_instruments()

    async def venue_time_ms(self) -> int:
        await self._linger("time")
        return await super().venue_time_ms()

    async def fetch_splits(self, symbol: str) -> Sequence[Split]:
        await self._linger("splits")
        return await super().fetch_splits(symbol)

    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        await self._linger("first bar" if limit == 1 else timeframe.name)
        return await super().fetch_ohlcv(symbol, timeframe, start_ms=start_ms, end_ms=end_ms, limit=limit)


def slow_house(market: str = "crypto", **slow_s: float) -> House:
    kind = ledger_plugin(MINUTES, native=("1m", "1h", "1d", "1w"))
    more = {"slow_s": {name.replace("_", " "): each for name, each in slow_s.items()}, "asked": []}
    own = type("OwnSlowPlugin", (SlowPlugin,), {**vars(kind), **more, "market": market})
    return House(own, DrivenClock(NOW))


@pytest.fixture
async def time() -> AsyncIterator[LoopTime]:
    with driven_loop() as driven:
        yield driven


async def took_s(time: LoopTime, reading: Coroutine[Any, Any, Any], most_s: float = 12.0) -> float:
    """How long it took until it had an answer or an error."""
    began_s = time.now()
    task = asyncio.create_task(reading)
    while not task.done() and time.now() - began_s < most_s:
        await time.advance(0.1)
    assert task.done(), f"it took longer than {most_s} s"
    task.exception()
    return time.now() - began_s


async def warm(place: House) -> None:
    """Instruments and an hour of minutes are stored."""
    slow = dict(place.plugin.slow_s)  # type: ignore[attr-defined]
    place.plugin.slow_s.clear()  # type: ignore[attr-defined]
    await place.ask("1m", *STORED)
    place.plugin.slow_s.update(slow)  # type: ignore[attr-defined]


@pytest.mark.parametrize("slow", ["time", "first bar", "1m"])
async def test_whatever_is_slow_the_stored_part_comes_in_time(time: LoopTime, slow: str) -> None:
    place = slow_house()
    await warm(place)
    place.restart()
    place.plugin.slow_s[slow] = 60.0  # type: ignore[attr-defined]
    answers: list[BarsAnswer] = []

    async def read() -> None:
        start = START_MS - DAY_MS if slow == "first bar" else STORED[0]
        answers.append(await place.ask("1m", start, START_MS + 9 * HOUR_MS, limit=5_000))

    assert await took_s(time, read()) <= READ_DEADLINE_S + 0.5
    (answer,) = answers
    assert int(answer.bars.time[0]) == int(MINUTES.time[0])
    assert "not_fetched" in {gap.reason for gap in answer.gaps}
    assert not answer.final
    if slow != "first bar":  # without it nothing but the time before the listing is in doubt
        assert [problem.code for problem in answer.problems] == ["provider_timeout"]


async def test_what_is_slow_together_is_in_time_together(time: LoopTime) -> None:
    place = slow_house(listing=2.0, time=2.0, first_bar=2.0)
    place.plugin.slow_s["1m"] = 2.0  # type: ignore[attr-defined]
    assert await took_s(time, place.ask("1m", limit=50)) <= READ_DEADLINE_S + 0.5
    assert place.plugin.asked[:3] == ["listing", "time", "1m"]  # type: ignore[attr-defined]


async def test_a_slow_listing_is_an_error_in_time_and_the_next_read_finds_it(time: LoopTime) -> None:
    place = slow_house(listing=9.0)
    errors: list[TimeoutPluginError] = []

    async def read() -> None:
        with pytest.raises(TimeoutPluginError) as caught:
            await place.ask("1m", limit=50)
        errors.append(caught.value)

    assert await took_s(time, read()) <= READ_DEADLINE_S + 0.5
    assert "still being asked" in errors[0].message
    await time.advance(5.0)
    assert len((await place.ask("1m", limit=50)).bars) == 50
    assert place.plugin.asked.count("listing") == 1  # type: ignore[attr-defined]


async def test_haste_is_not_the_venues_failure(time: LoopTime) -> None:
    """A listing that took nearly all of the time leaves too little for the clock to fail in."""
    place = slow_house(listing=4.5, time=2.0)
    assert await took_s(time, place.ask("1m", limit=50)) <= READ_DEADLINE_S + 0.5
    assert place.orchestrator.venue.door("crypto", "ledger").is_open
    answer = await read_in(time, place, limit=50)
    assert len(answer.bars) == 50
    assert answer.problems == ()


async def read_in(time: LoopTime, place: House, **more: int) -> BarsAnswer:
    answers: list[BarsAnswer] = []

    async def read() -> None:
        answers.append(await place.ask("1m", **more))

    await took_s(time, read())
    return answers[0]


async def test_who_joins_later_with_less_time_does_not_wait_for_longer(time: LoopTime) -> None:
    place = slow_house()
    await warm(place)
    place.plugin.slow_s["1m"] = 60.0  # type: ignore[attr-defined]
    window = (STORED[0], START_MS + 9 * HOUR_MS)
    patient = asyncio.create_task(place.ask("1m", *window, limit=5_000))
    await time.advance(0.2)
    hasty = place.orchestrator.get_bars(
        series("1m"), start_ms=window[0], end_ms=window[1], limit=5_000, deadline_s=time.now() + 1.0
    )
    assert await took_s(time, hasty) <= 1.5
    assert not patient.done()
    await time.advance(5.0)
    assert len((await patient).bars) > 0


class Desk:
    """Stocks with a split, read through the adjusted view."""

    def __init__(self, **slow_s: float) -> None:
        self.house = slow_house("stocks", **slow_s)
        self.house.plugin.splits = (SPLIT,)
        self.key = InstrumentKey("stocks", "ledger", SYMBOL)
        self.open()

    def open(self) -> None:
        house = self.house
        self.bars = AdjustedBars(house.orchestrator, house.markets, house.instruments, house.clock)

    async def ask(self, timeframe: str = "1d", limit: int = 50) -> BarsAnswer:
        return await self.bars.get_bars(self.key.series(TIMEFRAMES[timeframe]), limit=limit)


async def test_slow_splits_leave_the_bars_raw_in_time_and_are_there_later(time: LoopTime) -> None:
    desk = Desk(splits=7.0)
    answers: list[BarsAnswer] = []

    async def read() -> None:
        answers.append(await desk.ask())

    assert await took_s(time, read()) <= READ_DEADLINE_S + 0.5
    assert [(each.source, each.code) for each in answers[0].problems] == [("splits", "provider_timeout")]
    await time.advance(3.0)
    later = await desk.ask()
    assert later.problems == ()
    assert float(later.bars.close[0]) == float(answers[0].bars.close[0]) / 4
    assert desk.house.plugin.split_questions == 1
    await desk.bars.close()


async def test_bars_and_splits_and_the_days_of_a_split_share_one_time(time: LoopTime) -> None:
    desk = Desk(splits=4.0)
    desk.house.plugin.slow_s["1w"] = 4.0  # type: ignore[attr-defined]
    desk.house.plugin.slow_s["1d"] = 4.0  # type: ignore[attr-defined]
    assert await took_s(time, desk.ask("1w")) <= READ_DEADLINE_S + 0.5
    await desk.bars.close()


async def test_many_readers_ask_for_splits_once(time: LoopTime) -> None:
    desk = Desk(splits=1.0)
    await desk.bars.get_bars(desk.key.series(TIMEFRAMES["1d"]), adjustment="raw")
    readers = [
        asyncio.create_task(desk.ask(timeframe, limit))
        for timeframe in ("1h", "4h", "1d")
        for limit in (5, 6, 7)
    ]
    await time.advance(1.5)
    answers = await asyncio.gather(*readers)
    assert all(answer.problems == () for answer in answers)
    assert desk.house.plugin.split_questions == 1
    await desk.bars.close()


async def test_a_symbol_that_is_not_listed_is_not_asked_for_splits() -> None:
    desk = Desk()
    desk.key = InstrumentKey("stocks", "ledger", "NONE/USDT")
    with pytest.raises(Exception, match="lists no"):
        await desk.ask()
    await DrivenClock.settle()
    assert desk.house.plugin.split_questions == 0
    await desk.bars.close()


async def test_the_last_measured_offset_holds_while_the_venue_is_down() -> None:
    offset_ms = 90_000

    class AheadPlugin(SlowPlugin):
        async def venue_time_ms(self) -> int:
            self._fail()
            return self.clock.now_ms() + offset_ms

        def measured_time_ms(self) -> int | None:
            return self.clock.now_ms() + offset_ms

    base = slow_house()
    place = House(type("Own", (AheadPlugin,), dict(vars(base.plugin))), base.clock)
    await place.ask("1m", limit=5)
    covered = IntervalSet.single(START_MS, NOW + offset_ms - SlowPlugin.settling_ms)
    await place.bars.write(SeriesBars(series("1m"), MINUTES.between(*covered.items[0]), covered))
    place.plugin.failure = TimeoutPluginError("ledger did not answer in time.")
    await place.ask("1m", limit=5, end_ms=None)
    async with place.markets.plugin("crypto", "ledger") as plugin:
        moment = await place.orchestrator.venue.moment(
            "crypto", plugin, asyncio.get_running_loop().time() + 5
        )
    assert moment.now_ms == NOW + offset_ms
    assert moment.final_ms == moment.now_ms - plugin.settling_ms


async def test_a_time_that_is_only_our_own_makes_nothing_final_for_ten_minutes() -> None:
    class GuessingPlugin(SlowPlugin):
        time_is_guessed = True

    base = slow_house()
    place = House(type("Own", (GuessingPlugin,), dict(vars(base.plugin))), base.clock)
    async with place.markets.plugin("crypto", "ledger") as plugin:
        moment = await place.orchestrator.venue.moment(
            "crypto", plugin, asyncio.get_running_loop().time() + 5
        )
    assert moment.now_ms == NOW
    assert moment.final_ms == NOW - plugin.settling_ms - CLOCK_DOUBT_MS


@pytest.mark.parametrize(("later_s", "joined"), [(0.5, True), (2.0, False)])
async def test_who_asks_for_the_newest_bars_waits_for_no_answer_that_began_long_before(
    time: LoopTime, later_s: float, *, joined: bool
) -> None:
    """What feeds tell follows a read of now; an older one may show a minute as it was before its end."""
    place = slow_house()
    await warm(place)
    place.plugin.slow_s["1m"] = 3.0  # type: ignore[attr-defined]
    first = asyncio.create_task(place.orchestrator.get_bars(series("1m"), limit=50))
    await time.advance(later_s)
    await place.clock.advance(60)
    second = asyncio.create_task(place.orchestrator.get_bars(series("1m"), limit=50))
    await time.advance(8.0)
    one, other = await first, await second
    assert bool(other.bars.time[-1] == one.bars.time[-1]) is joined
    assert (other is one) is joined

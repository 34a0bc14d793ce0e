"""Split-adjusted answers over a venue whose raw bars jump."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from tests.support.houses import House, assert_same
from tests.support.ledger import START_MS, SYMBOL, ledger_plugin, random_minutes, unreachable
from tradewright.domain.bars import Bars
from tradewright.domain.errors import (
    CredentialsRequired,
    InvalidInput,
    PluginError,
    PluginFeatureNotSupportedError,
)
from tradewright.domain.instruments import InstrumentKey, SeriesKey, Split
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import DAY_MS, TIMEFRAMES
from tradewright.services.adjusted_bars import AdjustedBars
from tradewright.services.data_orchestrator import BarsAnswer
from tradewright.services.data_sources.door import FAILURE_MEMORY_S
from tradewright.testing.clock import DrivenClock

SPLIT = Split(START_MS + 9 * DAY_MS, Decimal(4))  # a Wednesday, and within the month
NOW = START_MS + 19 * DAY_MS
SMOOTH = resample(random_minutes(3, 18 * 1440, quiet=0), TIMEFRAMES["1h"])
BEFORE = SMOOTH.time < SPLIT.time
FACTOR = np.where(BEFORE, 4.0, 1.0)
RAW = Bars(
    SMOOTH.time,
    SMOOTH.open * FACTOR,
    SMOOTH.high * FACTOR,
    SMOOTH.low * FACTOR,
    SMOOTH.close * FACTOR,
    SMOOTH.volume / FACTOR,
)


class Desk:
    """A house of stocks, and the adjusted view of it."""

    def __init__(self, splits: tuple[Split, ...] | None) -> None:
        kind = ledger_plugin(RAW, native=("1h", "1d", "1w", "1M"))
        kind.market, kind.splits = "stocks", splits
        self.house = House(kind, DrivenClock(NOW))
        self.kind = kind
        self.open()

    def open(self) -> None:
        house = self.house
        self.bars = AdjustedBars(house.orchestrator, house.markets, house.instruments, house.clock)

    async def ask(self, timeframe: str, **more: object) -> BarsAnswer:
        return await self.bars.get_bars(key(timeframe), start_ms=START_MS, limit=1_000, **more)  # type: ignore[arg-type]


def key(timeframe: str, market: str = "stocks") -> SeriesKey:
    return InstrumentKey(market, "ledger", SYMBOL).series(TIMEFRAMES[timeframe])


@pytest.mark.parametrize("timeframe", ["1h", "4h", "1d", "1w", "1M"])
async def test_charts_see_no_split(timeframe: str) -> None:
    answer = await Desk((SPLIT,)).ask(timeframe)
    assert_same(answer.bars, resample(SMOOTH, TIMEFRAMES[timeframe]))


async def test_raw_bars_are_as_they_were_traded() -> None:
    answer = await Desk((SPLIT,)).ask("1d", adjustment="raw")
    assert_same(answer.bars, resample(RAW, TIMEFRAMES["1d"]))


async def test_splits_are_asked_for_once_a_day() -> None:
    desk = Desk((SPLIT,))
    await desk.ask("1d")
    desk.house.restart()
    desk.open()
    await desk.ask("1h")
    assert desk.kind.split_questions == 1
    await desk.house.clock.advance(DAY_MS / 1000)
    await desk.ask("1h")
    assert desk.kind.split_questions == 2


async def test_a_dead_provider_leaves_the_splits_that_are_known_and_is_told() -> None:
    desk = Desk((SPLIT,))
    first = await desk.ask("1d", end_ms=NOW - DAY_MS)
    await desk.house.clock.advance(2 * DAY_MS / 1000)
    desk.kind.failure = unreachable()
    answer = await desk.ask("1d", end_ms=NOW - DAY_MS)
    assert answer.bars.equals(first.bars)
    assert first.final
    assert not answer.final, "what has a problem may be another answer soon"
    assert ("splits", "provider_unavailable") in [(each.source, each.code) for each in answer.problems]


async def test_a_provider_that_failed_just_now_is_not_waited_for_again() -> None:
    desk = Desk((SPLIT,))
    await desk.ask("1d", end_ms=NOW - DAY_MS)
    await desk.house.clock.advance(2 * DAY_MS / 1000)
    desk.kind.failure = unreachable()
    await desk.ask("1d", end_ms=NOW - DAY_MS)
    desk.kind.failure, asked = None, desk.kind.split_questions
    assert (await desk.ask("1d", end_ms=NOW - DAY_MS)).problems
    assert desk.kind.split_questions == asked
    await desk.house.clock.advance(FAILURE_MEMORY_S)
    assert not (await desk.ask("1d", end_ms=NOW - DAY_MS)).problems
    assert desk.kind.split_questions == asked + 1


@pytest.mark.parametrize(("timeframe", "start"), [("1w", START_MS + 7 * DAY_MS), ("1M", START_MS)])
async def test_a_bar_with_a_split_in_it_is_left_out_where_its_days_can_not_be_had(
    timeframe: str, start: int
) -> None:
    desk = Desk((SPLIT,))
    await desk.house.clock.advance(20 * DAY_MS / 1000)  # the month is over
    await desk.ask(timeframe, adjustment="raw")
    await desk.ask(timeframe, end_ms=START_MS)  # learns of the split
    desk.kind.failure = unreachable()
    end = TIMEFRAMES[timeframe].end(start)
    answer = await desk.ask(timeframe, end_ms=end)
    assert start not in answer.bars.time.tolist()
    assert [(gap.start, gap.end, gap.reason) for gap in answer.gaps] == [(start, end, "not_fetched")]
    assert [problem.code for problem in answer.problems] == ["provider_unavailable"]
    assert not answer.final


@pytest.mark.parametrize("failure", [unreachable(), CredentialsRequired("The operator has set no key.")])
async def test_splits_that_were_never_known_leave_stored_bars_raw_and_are_told(
    failure: PluginError | CredentialsRequired,
) -> None:
    desk = Desk((SPLIT,))
    raw = await desk.ask("1d", adjustment="raw", end_ms=NOW - DAY_MS)
    desk.kind.failure = failure
    answer = await desk.ask("1d", end_ms=NOW - DAY_MS)
    assert answer.bars.equals(raw.bars)
    assert not answer.final
    (problem,) = answer.problems
    assert (problem.source, problem.code) == ("splits", failure.code)
    assert problem.detail.startswith("Prices are not adjusted for splits")
    with pytest.raises(type(failure)):
        await desk.ask("1d", adjustment="split", end_ms=NOW - DAY_MS)


async def test_who_can_not_adjust_says_so() -> None:
    desk = Desk(None)
    with pytest.raises(PluginFeatureNotSupportedError):
        await desk.ask("1d", adjustment="split")
    assert_same((await desk.ask("1d")).bars, resample(RAW, TIMEFRAMES["1d"]))
    with pytest.raises(InvalidInput):
        await desk.bars.get_bars(key("1d", "crypto"), adjustment="raw")

"""A bar that is corrected while somebody reads it: what was read before is never shown afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.support.houses import MINUTES, NOW, House, assert_same, series
from tests.support.ledger import START_MS, ledger_plugin
from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import Coverage, SeriesBars
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, ONE_MINUTE, TIMEFRAMES, Timeframe
from tradewright.storage.memory import MemoryBarStore
from tradewright.testing.clock import DrivenClock

END_MS = START_MS + DAY_MS
CORRECTED_MS = int(MINUTES.time[30])


class _SlowReads(MemoryBarStore):
    """Hands over what it read only after something else happened."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def _happen(self, call: str) -> None:
        self.calls.append(call)
        happening, self.meanwhile = self.meanwhile, None
        if happening is not None:
            await happening()

    async def read_with_coverage(self, key: SeriesKey, start_ms: int, end_ms: int) -> tuple[Bars, Coverage]:
        found = await super().read_with_coverage(key, start_ms, end_ms)
        await self._happen("read_with_coverage")
        return found

    async def read_resampled(
        self, instrument: InstrumentKey, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> Bars:
        found = await super().read_resampled(instrument, timeframe, start_ms, end_ms)
        await self._happen("read_resampled")
        return found

    async def read_resampled_with_coverage(
        self, instrument: InstrumentKey, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> tuple[Bars, Coverage, int]:
        minutes = instrument.series(ONE_MINUTE)
        coverage, revision = await self.coverage_with_revision(minutes, start_ms, end_ms)
        found = await super().read_resampled(instrument, timeframe, start_ms, end_ms), coverage, revision
        await self._happen("read_resampled_with_coverage")
        return found


def corrected() -> Bars:
    """The minutes as they are after the correction."""
    rows: list[BarRow] = [
        (time, open_, high + 1, low, close, volume + 1) if time == CORRECTED_MS else row
        for row in MINUTES.between(START_MS, END_MS).rows()
        for time, open_, high, low, close, volume in (row,)
    ]
    return Bars.from_rows(rows)


async def store(bars: MemoryBarStore, minutes: Bars) -> None:
    """Keep these minutes, all that there are."""
    await bars.write(SeriesBars(series("1m"), minutes, IntervalSet.single(START_MS, END_MS)))


@pytest.mark.parametrize("met", [False, True])
@pytest.mark.parametrize("timeframe", ["1m", "1h", "5m"])
async def test_what_was_read_before_a_correction_is_not_remembered_after_it(
    timeframe: str, met: bool
) -> None:
    bars = _SlowReads()
    place = House(ledger_plugin(MINUTES), DrivenClock(NOW), bars)
    await place.ask("1m", limit=1)  # the listing is read
    await store(bars, MINUTES.between(START_MS, END_MS))
    asked = (timeframe, START_MS, START_MS + 10 * HOUR_MS, 1_000)
    if met:  # so that the cache holds something else of the series
        await place.ask(timeframe, START_MS + 12 * HOUR_MS, END_MS, 1_000)

    bars.meanwhile = lambda: store(bars, corrected())
    await place.ask(*asked)
    assert bars.meanwhile is None, "the correction came while the store was read"

    now_there = resample(corrected(), TIMEFRAMES[timeframe]).between(START_MS, START_MS + 10 * HOUR_MS)
    for _ in range(2):  # from the store, then from the cache
        assert_same((await place.ask(*asked)).bars, now_there)


async def test_what_is_read_while_nothing_is_corrected_is_remembered() -> None:
    """The same, to show that the cache is in use here."""
    bars = _SlowReads()
    place = House(ledger_plugin(MINUTES), DrivenClock(NOW), bars)
    await store(bars, MINUTES.between(START_MS, END_MS))
    first = await place.ask("1m", START_MS, START_MS + 60 * MINUTE_MS)
    again = await place.ask("1m", START_MS, START_MS + 60 * MINUTE_MS)
    assert [part.source for part in first.sources] == ["db"]
    assert [part.source for part in again.sources] == ["cache"]
    assert_same(again.bars, first.bars)


async def test_a_series_that_was_not_read_yet_takes_one_call_and_then_comes_from_the_cache() -> None:
    bars = _SlowReads()
    place = House(ledger_plugin(MINUTES), DrivenClock(NOW), bars)
    await store(bars, MINUTES.between(START_MS, END_MS))
    asked = ("1h", START_MS, START_MS + 10 * HOUR_MS, 1_000)
    first = await place.ask(*asked)
    assert bars.calls == ["read_resampled_with_coverage"]
    again = await place.ask(*asked)
    assert bars.calls == ["read_resampled_with_coverage"]
    assert len(first.bars) == 10
    assert_same(again.bars, first.bars)
    await place.ask("1h", START_MS, START_MS + 12 * HOUR_MS, 1_000)
    assert bars.calls == ["read_resampled_with_coverage", "read_resampled"], "only what was not asked before"

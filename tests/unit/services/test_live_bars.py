"""What feeds close is stored, with no more coverage than they followed."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tests.support.stored_minutes import stored_minutes
from tests.unit.services.streaming_rig import BTC, START_MS, Rig, stream
from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.errors import StorageUnavailable
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.timeframes import MINUTE_MS, ONE_MINUTE
from tradewright.plugins.base import BarUpdate
from tradewright.services.feeds.keeping import Keeper
from tradewright.services.feeds.live_bar_writer import LiveBarWriter
from tradewright.storage.memory import MemoryBarStore
from tradewright.testing.clock import DrivenClock

KEY = BTC.series(ONE_MINUTE)


def at(index: int) -> int:
    return START_MS + index * MINUTE_MS


def row(index: int, close: float = 100.0) -> BarRow:
    return (at(index), 100.0, 150.0, 50.0, close, 1.0)


class Sink:
    """Remembers what it is given."""

    def __init__(self) -> None:
        self.given: list[SeriesBars] = []

    def keep(self, data: SeriesBars) -> None:
        self.given.append(data)

    def told(self) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Openings and coverage of each, as indices of minutes."""
        return [
            (
                [(time - START_MS) // MINUTE_MS for time in data.bars.time.tolist()],
                [((s - START_MS) // MINUTE_MS, (e - START_MS) // MINUTE_MS) for s, e in data.covered],
            )
            for data in self.given
        ]


def test_a_flagged_minute_covers_itself_and_a_quiet_one_waits_for_a_page() -> None:
    sink = Sink()
    keeper = Keeper(KEY, sink, at(0))
    keeper.take_bar(row(0))
    keeper.take_bar(row(2))
    assert sink.told() == [([0], [(0, 1)]), ([2], [(2, 3)])]
    assert (keeper.through_ms, keeper.ask_from_ms) == (at(1), at(0))
    keeper.take_page([row(0), row(2), row(3)], at(4))
    assert sink.told()[2:] == [([2, 3], [(1, 4)])], "bars lie on both sides of the quiet minute"
    assert keeper.through_ms == at(4)


def test_a_minute_that_a_page_does_not_tell_of_is_not_covered() -> None:
    sink = Sink()
    Keeper(KEY, sink, at(0)).take_page([row(0), row(3)], at(4), IntervalSet.single(at(1), at(2)))
    (data,) = sink.given
    assert data.covered == IntervalSet.of([(at(0), at(1)), (at(2), at(4))])


@pytest.mark.parametrize(
    ("rows", "settled", "given"),
    [
        ([], 5.0, []),
        ([row(3)], 3.5, []),
        ([row(1)], 5.0, [([1], [(1, 2)])]),
        ([row(1), row(6)], 5.5, [([1], [(1, 5)])]),
        ([row(1), row(3), row(4)], 4.9, [([1, 3], [(1, 4)])]),
    ],
)
def test_a_page_covers_what_has_settled_between_its_bars(
    rows: list[BarRow], settled: float, given: list[object]
) -> None:
    sink = Sink()
    Keeper(KEY, sink, at(0)).take_page(rows, round(START_MS + settled * MINUTE_MS))
    assert sink.told() == given


def test_what_no_market_can_have_made_is_not_handed_over() -> None:
    sink = Sink()
    keeper = Keeper(KEY, sink, at(0))
    keeper.take_bar((at(0), 100.0, 90.0, 50.0, 100.0, 1.0))
    keeper.take_bar((at(0), 100.0, float("inf"), 50.0, 100.0, 1.0))
    keeper.take_bar((at(0) + 1, 100.0, 100.0, 100.0, 100.0, 1.0))
    keeper.take_page([(at(1), 100.0, 150.0, -1.0, 100.0, 1.0), row(2)], at(9))
    assert sink.given == []


@pytest.mark.parametrize("flags", [True, False])
async def test_minutes_that_a_feed_follows_are_stored_whole(flags: bool) -> None:
    chance = random.Random(3)
    async with Rig(flags=flags) as rig:
        rig.venue.trade(100)
        await rig.view(stream())
        for _ in range(120):
            await rig.clock.advance(chance.uniform(5, 45) if chance.random() < 0.9 else 150)
            rig.venue.trade(round(chance.uniform(90, 110), 2))
        await rig.clock.advance(5)
        stored = await stored_minutes(rig)
        assert len(stored) == 1, "without a hole, quiet minutes too"
        assert stored.items[0].start <= START_MS + 2 * MINUTE_MS
        assert stored.items[0].end >= rig.clock.now_ms() - 8 * MINUTE_MS


async def test_flagged_minutes_are_stored_within_seconds_and_without_a_call() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        await rig.view(stream())
        calls = rig.venue.rest_calls
        for _ in range(90):
            await rig.clock.advance(4)
            rig.venue.trade(100)
        await rig.clock.advance(2)
        assert (await stored_minutes(rig)).contains(START_MS, START_MS + 5 * MINUTE_MS)
        assert rig.venue.rest_calls <= calls + 1, "one for the quiet minute before the feed began"


async def test_a_correction_reaches_the_store_and_raises_its_revision() -> None:
    async with Rig() as rig:
        rig.venue.corrects = True
        rig.venue.trade(100)
        viewer = await rig.view(stream())
        five = await rig.view(stream(timeframe="5m"))
        for _ in range(14):
            await rig.clock.advance(30)
            rig.venue.trade(100)
        await rig.clock.advance(2)
        revision = await rig.store.revision(KEY)
        high = (START_MS + MINUTE_MS, 100.0, 150.0, 100.0, 100.0, 4.0)
        rig.venue.send("ohlcv", BarUpdate(Bars.from_rows([high]), True))
        await rig.clock.advance(2)
        assert (await rig.store.read(KEY, high[0], high[0] + 1)).rows() == [high]
        assert await rig.store.revision(KEY) > revision
        assert viewer.corrections == [high]
        assert [bar[2] for bar in five.corrections] == [150.0], "the closed bar above it is told again"


async def test_a_minute_that_a_stream_left_out_is_told_and_stored_once_the_venue_is_asked() -> None:
    async with Rig(flags=False) as rig:
        rig.venue.corrects = True
        viewer = await rig.view(stream())
        for minute in range(10):
            rig.venue.mute = minute == 3
            for _ in range(3):
                rig.venue.trade(100 + minute)
                await rig.clock.advance(20)
        await rig.clock.advance(200)
        assert (await stored_minutes(rig)).contains(START_MS + MINUTE_MS, START_MS + 8 * MINUTE_MS)
        assert START_MS + 3 * MINUTE_MS in viewer.rows


async def test_data_of_a_testnet_are_never_stored() -> None:
    async with Rig(testnet=True) as rig:
        rig.venue.trade(100)
        await rig.view(stream())
        for _ in range(30):
            await rig.clock.advance(30)
            rig.venue.trade(100)
        assert await rig.store.series(BTC) == ()


class FailingStore(MemoryBarStore):
    """Refuses for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.up = True
        self.writes = 0

    async def write_many(self, batches: Sequence[SeriesBars]) -> None:
        self.writes += 1
        if not self.up:
            raise StorageUnavailable("The disk is full.")
        await super().write_many(batches)


def key(number: int) -> InstrumentKey:
    return InstrumentKey("crypto", "scripted", f"S{number}/USDT")


def bar(number: int, index: int, close: float = 100.0) -> SeriesBars:
    covered = IntervalSet.single(at(index), at(index + 1))
    return SeriesBars(key(number).series(ONE_MINUTE), Bars.from_rows([row(index, close)]), covered)


async def test_what_closes_together_is_written_together() -> None:
    store, clock = FailingStore(), DrivenClock(START_MS)
    writer = LiveBarWriter(store, clock)
    writer.start()
    for number in range(450):
        writer.keep(bar(number, 0))
        writer.keep(bar(number, 1))
    await clock.advance(1.1)
    assert store.writes == 1
    assert (await store.coverage(key(449).series(ONE_MINUTE), 0, 2**53)).complete == IntervalSet.single(
        at(0), at(2)
    )
    await writer.close()


async def test_a_store_that_fails_gets_everything_once_it_works_and_the_newest_word_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, clock = FailingStore(), DrivenClock(START_MS)
    writer = LiveBarWriter(store, clock, rng=random.Random(1))
    writer.start()
    store.up = False
    writer.keep(bar(1, 0))
    await clock.advance(20)
    writer.keep(bar(1, 0, close=77.0))
    writer.keep(bar(1, 1))
    await clock.advance(20)
    assert await store.series(key(1)) == ()
    assert caplog.text.count("can't be stored") == 1
    store.up = True
    await clock.advance(40)
    found, known = await store.read_with_coverage(key(1).series(ONE_MINUTE), 0, 2**53)
    assert found.rows() == [row(0, 77.0), row(1)]
    assert known.complete == IntervalSet.single(at(0), at(2))
    await writer.close()


async def test_what_another_keeper_may_know_better_by_now_only_fills_what_is_unknown() -> None:
    """As after a pause of the whole process, in which another server took the feed over."""
    store, clock = FailingStore(), DrivenClock(START_MS)
    writer = LiveBarWriter(store, clock)
    writer.start()
    ours = True
    writer.keep(bar(1, 0), lambda: ours)
    writer.keep(bar(1, 1), lambda: ours)
    writer.keep(bar(2, 0), lambda: True)
    await store.write(bar(1, 0, close=77.0))
    await store.write(bar(2, 0, close=77.0))
    ours = False
    await clock.advance(2)
    found, known = await store.read_with_coverage(key(1).series(ONE_MINUTE), 0, 2**53)
    assert found.rows() == [row(0, 77.0), row(1)]
    assert known.complete == IntervalSet.single(at(0), at(2))
    assert (await store.read(key(2).series(ONE_MINUTE), 0, 2**53)).rows() == [row(0)]
    await writer.close()


async def test_what_waits_is_bounded_and_what_is_dropped_is_not_covered() -> None:
    store, clock = FailingStore(), DrivenClock(START_MS)
    writer = LiveBarWriter(store, clock, bars_max=10)
    writer.start()
    store.up = False
    for number in range(30):
        writer.keep(bar(number, 0))
        await clock.advance(2)
    store.up = True
    await writer.close()
    kept = [n for n in range(30) if (await store.coverage(key(n).series(ONE_MINUTE), 0, 2**53)).complete]
    assert kept == list(range(20, 30)), "the newest; closing writes what waits"


async def test_a_hole_left_by_calls_that_failed_is_closed_once_they_succeed() -> None:
    async with Rig(flags=False) as rig:
        rig.venue.trade(100)
        viewer, five = await rig.view(stream()), await rig.view(stream(timeframe="5m"))
        await rig.clock.advance(61)
        rig.venue.trade(101)
        rig.venue.rest_up = rig.venue.streams_up = False
        rig.venue.cut()
        for _ in range(8):
            await rig.clock.advance(30)
            rig.venue.trade(102)
        rig.venue.streams_up = True
        for _ in range(20):
            await rig.clock.advance(30)
            rig.venue.trade(103)
        late = await rig.view(stream())
        assert late.snapshots[-1].problems
        assert len(viewer.rows) < len(rig.venue.bars("1m"))
        rig.venue.rest_up = True
        await rig.clock.advance(50)
        for one, name in ((viewer, "1m"), (late, "1m"), (five, "5m")):
            assert [row[:5] for row in one.series()] == [row[:5] for row in rig.venue.bars(name)]
        resyncs = len(viewer.resyncs)
        await rig.clock.advance(100)
        assert len(viewer.resyncs) == resyncs, "once"


async def test_what_can_never_be_stored_keeps_no_other_bars_from_it(caplog: pytest.LogCaptureFixture) -> None:
    clock, store = DrivenClock(START_MS), MemoryBarStore()
    writer = LiveBarWriter(store, clock)
    writer.start()

    def closed(symbol: str, minute: int, price: float) -> None:
        at = START_MS + minute * MINUTE_MS
        bars = Bars.from_rows([(at, price, price, price, price, 1.0)])
        key = InstrumentKey("crypto", "simulated", symbol).series(ONE_MINUTE)
        writer.keep(SeriesBars(key, bars, IntervalSet.single(at, at + MINUTE_MS)))

    closed("A/USD", 0, 5.0)
    closed("BAD/USD", 0, -1.0)  # which no store takes
    closed("C/USD", 0, 5.0)
    await clock.advance(5)
    closed("C/USD", 1, 6.0)
    await clock.advance(90)
    for symbol, count in (("A/USD", 1), ("C/USD", 2), ("BAD/USD", 0)):
        key = InstrumentKey("crypto", "simulated", symbol).series(ONE_MINUTE)
        assert len(await store.read(key, START_MS, START_MS + 10 * MINUTE_MS)) == count, symbol
    assert "task live bars/write failed" in {record.getMessage() for record in caplog.records}
    await writer._tasks.close()

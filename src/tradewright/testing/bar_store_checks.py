"""The promises of ``BarStore`` about bars and coverage, each as a check."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from typing import Final

import numpy as np

from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import BarStore, Coverage, ImportCounts, SeriesBars, StoredBarDiffers
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import MINUTE_MS, ONE_DAY, ONE_HOUR, TIMEFRAMES
from tradewright.testing.bar_store_rollup_checks import expect_resampled
from tradewright.testing.store_material import (
    ALL_TIME,
    KEY,
    Check,
    OpenStores,
    StoreModel,
    Stores,
    bars_at,
    batch,
    minute,
    minutes,
    minutes_of,
    random_batch,
    random_intervals,
    row_at,
)


async def _expect(store: BarStore, key: SeriesKey, bars: Bars, coverage: Coverage, why: str) -> None:
    found, known = await store.read_with_coverage(key, *ALL_TIME)
    assert found.equals(bars), f"{why}: bars {found.rows()} instead of {bars.rows()}"
    assert known == coverage, f"{why}: coverage {known} instead of {coverage}"


async def check_empty(stores: Stores) -> None:
    """An unknown series has no bars, no coverage, no extent, and is not listed."""
    store = stores.bars
    assert len(await store.read(KEY, *ALL_TIME)) == 0
    assert await store.coverage(KEY, *ALL_TIME) == Coverage()
    assert await store.extent(KEY) is None
    assert await store.series(KEY.instrument) == ()
    await store.write(SeriesBars(KEY, Bars.empty(), NO_INTERVALS))
    assert await store.series(KEY.instrument) == (), "writing nothing makes no series"
    assert await store.import_bars([], replace=False) == ImportCounts(0, 0, 0)


async def check_ranges(stores: Stores) -> None:
    """Reads are half-open, ascending, bit for bit; coverage is clipped."""
    store = stores.bars
    await store.write(batch([0, 1, 3, 7], (0, 8)))
    every = bars_at([0, 1, 3, 7])
    for start in range(-1, 9):
        for end in range(-1, 10):
            found, known = await store.read_with_coverage(KEY, minute(start), minute(end))
            assert found.equals(every.between(minute(start), minute(end))), (start, end)
            assert known == Coverage(minutes((max(start, 0), min(end, 8)))), (start, end)
            openings = await store.read_openings(KEY, minute(start), minute(end))
            assert openings.dtype == np.int64
            assert openings.tolist() == found.time.tolist(), (start, end)
    inner = await store.coverage(KEY, minute(2) + 1, minute(3) - 1)
    assert inner.complete == IntervalSet.single(minute(2) + 1, minute(3) - 1)
    assert (await store.read(KEY, minute(1) + 1, minute(3) + 1)).equals(bars_at([3]))
    columns = (await store.read(KEY, *ALL_TIME)).columns()
    assert [column.dtype for column in columns] == [np.int64, *[np.float64] * 5]
    assert await store.extent(KEY) == (minute(0), minute(7))


async def check_replacing(stores: Stores) -> None:
    """A write replaces bars of its times, removes others inside what it covers, and leaves the rest."""
    store = stores.bars
    await store.write(batch([0, 1, 2, 3, 4, 5], (0, 6)))
    await store.write(batch([3], version=1))
    rows = bars_at([0, 1, 2, 4, 5]).merged_with(bars_at([3], 1))
    await _expect(store, KEY, rows, Coverage(minutes((0, 6))), "a bar without coverage")
    await store.write(batch([2], (1, 4), version=2))
    rows = bars_at([0, 4, 5]).merged_with(bars_at([2], 2))
    await _expect(store, KEY, rows, Coverage(minutes((0, 6))), "covered without bars")
    await store.write(batch([8, 10], (9, 10)))
    rows = rows.merged_with(bars_at([8, 10]))
    await _expect(store, KEY, rows, Coverage(minutes((0, 6), (9, 10))), "bars outside what they cover")


async def check_coverage_merges(stores: Stores) -> None:
    """Touching and overlapping intervals become one; complete beats outage, whichever came first."""
    store = stores.bars

    async def extend(complete: IntervalSet, outage: IntervalSet) -> Coverage:
        await store.write(SeriesBars(KEY, Bars.empty(), complete), outage=outage)
        return await store.coverage(KEY, *ALL_TIME)

    assert await extend(minutes((0, 2)), minutes((4, 6))) == Coverage(minutes((0, 2)), minutes((4, 6)))
    assert await extend(minutes((2, 3)), minutes((6, 8))) == Coverage(minutes((0, 3)), minutes((4, 8)))
    assert await extend(minutes((3, 4)), NO_INTERVALS) == Coverage(minutes((0, 4)), minutes((4, 8)))
    assert await extend(minutes((5, 6)), NO_INTERVALS) == Coverage(
        minutes((0, 4), (5, 6)), minutes((4, 5), (6, 8))
    )
    assert await extend(NO_INTERVALS, minutes((0, 10))) == Coverage(
        minutes((0, 4), (5, 6)), minutes((4, 5), (6, 10))
    )
    assert await extend(minutes((4, 5)), NO_INTERVALS) == Coverage(minutes((0, 6)), minutes((6, 10)))
    assert await extend(minutes((7, 9), (-5, -3)), minutes((-4, -2))) == Coverage(
        minutes((-5, -3), (0, 6), (7, 9)), minutes((-3, -2), (6, 7), (9, 10))
    )
    assert await extend(minutes((-10, 20)), minutes((-10, 20))) == Coverage(minutes((-10, 20)))


async def check_series_apart(stores: Stores) -> None:
    """Series do not mix, whatever their names; those of an instrument are listed."""
    store = stores.bars
    names = ["BTC/USDT", "btc/usdt", "A'; DROP TABLE bars; --", 'B"%_*', "C\r\nD", "ETH/USDT:USDT", "é"]
    keys = [SeriesKey("crypto", "venue", name, "1m") for name in names]
    for version, key in enumerate(keys):
        await store.write(batch([version], (version, version + 1), version=version, key=key))
    for version, key in enumerate(keys):
        rows = bars_at([version], version)
        await _expect(store, key, rows, Coverage(minutes((version, version + 1))), key.symbol)
        assert await store.series(key.instrument) == (key,)
    instrument = InstrumentKey("crypto", "other", "BTC/USDT")
    hours, days, months = (instrument.series(TIMEFRAMES[name]) for name in ("1h", "1d", "1M"))
    await store.write(SeriesBars(days, Bars.empty(), IntervalSet.single(0, 86_400_000)))
    await store.write(SeriesBars(months, Bars.from_rows([row_at(0, 1)]), NO_INTERVALS))
    await store.write(SeriesBars(hours, Bars.empty(), NO_INTERVALS), outage=IntervalSet.single(0, 3_600_000))
    assert set(await store.series(instrument)) == {hours, days, months}
    assert await store.extent(days) is None, "coverage alone has no extent"
    assert await store.extent(months) == (0, 0)


async def check_refusals(stores: Stores) -> None:
    """Nothing impossible is stored, and a refused call changes nothing."""
    store = stores.bars
    await store.write(batch([0], (0, 1)))
    good = row_at(minute(1), 0)
    bad: list[list[BarRow]] = [
        [good, good],
        [row_at(minute(2), 0), good],
        [row_at(minute(1) + 1, 0)],
        *[
            [_changed(good, column, value)]
            for column in range(1, 6)
            for value in (np.nan, np.inf, -np.inf, -1.0)
        ],
        *[[_changed(good, column, 0.0)] for column in range(1, 5)],
        [_changed(good, 2, good[3])],
        [_changed(good, 3, good[2])],
    ]
    for rows in bad:
        data = SeriesBars(KEY, Bars.from_rows(rows), minutes((1, 3)))
        for writing in (
            store.write(data, outage=minutes((5, 6))),
            store.import_bars([batch([3], (3, 4)), data], replace=True),
        ):
            try:
                await writing
            except ValueError:
                continue
            raise AssertionError(f"{rows} was stored")
    await _expect(store, KEY, bars_at([0]), Coverage(minutes((0, 1))), "after refusals")


def _changed(row: BarRow, column: int, value: float) -> BarRow:
    time, *values = row
    values[column - 1] = value
    opening, high, low, close, volume = values
    return (time, opening, high, low, close, volume)


async def _refusal(store: BarStore, batches: list[SeriesBars]) -> StoredBarDiffers:
    try:
        await store.import_bars(batches, replace=False)
    except StoredBarDiffers as error:
        return error
    raise AssertionError("an import was taken that contradicts what is stored")


async def check_import(stores: Stores) -> None:
    """An import is counted, is refused where it contradicts, and is whole or not at all."""
    store = stores.bars
    other = SeriesKey("stocks", "venue", "SPY", "1m")
    told: list[int] = []
    batches = [batch([0, 1, 4], (0, 5)), batch([2], (2, 3), key=other)]
    assert await store.import_bars(batches, replace=False, progress=told.append) == ImportCounts(4, 0, 0)
    assert sum(told) == 4
    assert await store.import_bars(batches, replace=False) == ImportCounts(0, 4, 0)
    for at, bars in (
        (1, bars_at([0, 4]).merged_with(bars_at([1], 1))),  # another bar
        (0, bars_at([1, 4])),  # none at a covered time, first
        (4, bars_at([0, 1, 2])),  # none at a covered time, last
        (0, bars_at([1, 4], 1)),  # of several, the earliest
    ):
        error = await _refusal(store, [batch([7], (7, 8), key=other), SeriesBars(KEY, bars, minutes((0, 5)))])
        assert (error.key, error.time_ms) == (KEY, minute(at)), error
    await _expect(store, KEY, bars_at([0, 1, 4]), Coverage(minutes((0, 5))), "after refused imports")
    await _expect(store, other, bars_at([2]), Coverage(minutes((2, 3))), "the other half of a refused import")
    replaced = SeriesBars(KEY, bars_at([1], 3).merged_with(bars_at([2, 3])), minutes((0, 4)))
    assert await store.import_bars([replaced], replace=True) == ImportCounts(2, 0, 2)
    rows = bars_at([2, 3, 4]).merged_with(bars_at([1], 3))
    await _expect(store, KEY, rows, Coverage(minutes((0, 5))), "after replacing")
    sparse = batch([3, 9], (9, 10))
    assert await store.import_bars([sparse], replace=False) == ImportCounts(1, 1, 0)
    rows = rows.merged_with(bars_at([9]))
    await _expect(store, KEY, rows, Coverage(minutes((0, 5), (9, 10))), "after a sparse import")


async def check_long_import(stores: Stores) -> None:
    """An import of many bars, with holes, is compared bar by bar with what is there."""
    store = stores.bars
    indices = [index for index in range(50_000) if index % 1_000 != 17]
    data = batch(indices, (0, 50_000))
    assert await store.import_bars([data], replace=False) == ImportCounts(len(indices), 0, 0)
    late = SeriesBars(KEY, data.bars.merged_with(bars_at([40_017])), data.covered)
    assert await store.import_bars([late], replace=False) == ImportCounts(1, len(indices), 0)
    assert (await _refusal(store, [data])).time_ms == minute(40_017)
    scattered = SeriesBars(KEY, data.bars.take(np.arange(0, len(indices), 7)), NO_INTERVALS)
    counts = await store.import_bars([scattered], replace=False)
    assert counts == ImportCounts(0, len(scattered.bars), 0)
    assert await store.import_bars([data], replace=True) == ImportCounts(0, len(indices), 1)
    await _expect(store, KEY, data.bars, Coverage(data.covered), "after long imports")


async def check_random_history(stores: Stores, seed: int = 1, steps: int = 400) -> None:
    """After any sequence of writes and imports the store is what a dict and two sets say."""
    chance = random.Random(seed)  # noqa: S311  # reproducible, and nobody's secret
    model = StoreModel()
    for step in range(steps):
        data = random_batch(chance)
        outage = random_intervals(chance) if chance.random() < 0.3 else NO_INTERVALS
        act = chance.random()
        if act < 0.2:
            await note_both(stores.bars, model, data.covered, answered_ms=step)
        elif act < 0.7:
            await write_both(stores.bars, model, data, outage)
        else:
            await import_both(stores.bars, model, data, replace=chance.random() < 0.5)
        start, end = sorted(chance.choices(range(-3, 45), k=2))
        await compare(stores.bars, model, minute(start), minute(end), f"seed {seed}, step {step}")


async def note_both(store: BarStore, model: StoreModel, empty: IntervalSet, answered_ms: int) -> None:
    revision = await store.revision(KEY)
    await store.note_empty(KEY, empty, answered_ms)
    model.note_empty(empty, answered_ms)
    assert await store.revision(KEY) == revision, "an empty answer contradicts nothing"


async def write_both(store: BarStore, model: StoreModel, data: SeriesBars, outage: IntervalSet) -> None:
    surprises, revision = model.surprises, await store.revision(KEY)
    await store.write(data, outage=outage)
    model.write(data, outage)
    await _expect_revision(store, revision, raised=model.surprises > surprises)


async def _expect_revision(store: BarStore, before: int, *, raised: bool) -> None:
    after = await store.revision(KEY)
    assert after > before if raised else after == before, f"revision {before}, then {after}; {raised=}"


async def import_both(store: BarStore, model: StoreModel, data: SeriesBars, *, replace: bool) -> None:
    contradicted = model.contradicted(data)
    surprises, revision = model.surprises, await store.revision(KEY)
    old = set(model.rows)
    if contradicted and not replace:
        assert (await _refusal(store, [data])).time_ms == contradicted[0]
        await _expect_revision(store, revision, raised=False)
        return
    counts = await store.import_bars([data], replace=replace)
    model.write(data, NO_INTERVALS)
    await _expect_revision(store, revision, raised=model.surprises > surprises)
    inserted = len(set(data.bars.time.tolist()) - old)
    kept = len(data.bars) - inserted - len([time for time in contradicted if time in data.bars.time])
    assert counts == ImportCounts(inserted, kept, len(contradicted)), counts


async def compare(
    store: BarStore, model: StoreModel, start_ms: int, end_ms: int, why: str, key: SeriesKey = KEY
) -> None:
    found, known = await store.read_with_coverage(key, start_ms, end_ms)
    rows = [model.rows[time] for time in sorted(model.rows) if start_ms <= time < end_ms]
    assert found.rows() == rows, why
    for kind, intervals, expected in (
        ("complete", known.complete, model.complete),
        ("outage", known.outage, model.outage),
    ):
        assert intervals == IntervalSet.of(intervals), f"{why}: {kind} is not merged: {intervals}"
        assert minutes_of(intervals) == {time for time in expected if start_ms <= time < end_ms}, why
    empty = await store.empty_answers(key, start_ms, end_ms)
    noted = {time: each.answered_ms for each in empty for time in minutes_of([(each.start, each.end)])}
    expected_empty = {time: at for time, at in model.empty.items() if start_ms <= time < end_ms}
    assert noted == expected_empty, f"{why}: empty answers {empty}"
    assert all(one.end <= two.start for one, two in pairwise(empty)), f"{why}: not ascending: {empty}"
    minutes_there = Bars.from_rows([model.rows[time] for time in sorted(model.rows)])
    for timeframe in (TIMEFRAMES["5m"], ONE_HOUR, ONE_DAY):
        await expect_resampled(store, key.instrument, minutes_there, timeframe, start_ms, end_ms)
    extent = (min(model.rows), max(model.rows)) if model.rows else None
    assert await store.extent(key) == extent, why
    held = bool(model.rows or model.complete or model.outage)
    assert await store.series(key.instrument) == ((key,) if held else ()), why


async def check_readers_beside_writer(stores: Stores, rounds: int = 60) -> None:
    """A reader sees each write whole or not yet, and bars and coverage of one moment."""
    store = stores.bars
    width = 200
    done = asyncio.Event()
    whole_hours = [
        resample(bars_at(list(range(0, width, 1 + version % 2)), version), ONE_HOUR)
        for version in range(rounds)
    ]

    async def write() -> None:
        for version in range(rounds):
            # Even versions have every bar, odd ones every other, and each covers one minute more.
            indices = list(range(0, width, 1 + version % 2))
            await store.write(batch(indices, (0, width), (width + 1, width + 2 + version), version=version))
        done.set()

    async def read() -> int:
        seen = 0
        while not done.is_set() or not seen:
            bars, known = await store.read_with_coverage(KEY, *ALL_TIME)
            if len(bars):
                version = (known.complete.items[-1].end - minute(width + 2)) // MINUTE_MS
                expected = bars_at(list(range(0, width, 1 + version % 2)), version)
                assert bars.equals(expected), f"a torn read at version {version}"
                seen += 1
            hours = await store.read_resampled(KEY.instrument, ONE_HOUR, *ALL_TIME)
            assert not len(hours) or any(hours.equals(each) for each in whole_hours), "torn hours"
            await asyncio.sleep(0)
        return seen

    async with asyncio.timeout(60):
        await asyncio.gather(write(), read(), read(), read())


async def check_a_check(stores: Stores) -> None:
    """A store that works says so, as often as it is asked, and holds what it held."""
    await stores.bars.check()
    await stores.bars.write(batch([0], (0, 2)))
    async with asyncio.timeout(30):
        await asyncio.gather(*(stores.bars.check() for _ in range(5)), stores.bars.write(batch([1], (1, 2))))
    await _expect(stores.bars, KEY, bars_at([0, 1]), Coverage(minutes((0, 2))), "after checks")


async def check_bars_survive_restart(open_stores: OpenStores) -> None:
    """What was written and imported is there after the store was closed and opened again."""
    name = "check_bars_survive_restart"
    async with open_stores(name) as stores:
        await stores.bars.write(batch([0, 1], (0, 3)), outage=minutes((5, 6)))
        await stores.bars.import_bars([batch([4], (4, 5))], replace=False)
    for _ in range(2):
        async with open_stores(name) as stores:
            known = Coverage(minutes((0, 3), (4, 5)), minutes((5, 6)))
            await _expect(stores.bars, KEY, bars_at([0, 1, 4]), known, "after a restart")
            assert await stores.bars.series(KEY.instrument) == (KEY,)


SEQUENCE_CHECKS: Final[tuple[Check, ...]] = (
    check_empty,
    check_ranges,
    check_replacing,
    check_coverage_merges,
    check_series_apart,
    check_refusals,
    check_import,
    check_long_import,
    check_random_history,
    check_readers_beside_writer,
    check_a_check,
)

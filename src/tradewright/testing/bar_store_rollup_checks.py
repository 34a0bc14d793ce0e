"""The promises of ``BarStore.read_resampled``, each as a check."""

from __future__ import annotations

import random
from typing import Final

import numpy as np

from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, Interval, IntervalSet
from tradewright.domain.ports import BarStore, SeriesBars, StoredBarDiffers
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, TIMEFRAMES, Timeframe
from tradewright.testing.store_material import ALL_TIME, KEY, Check, OpenStores, Stores, row_at

VOLUME_TOLERANCE: Final = 1e-12
HIGHER: Final = tuple(TIMEFRAMES.values())[1:]
NEW_YEAR_MS: Final = 1_609_459_200_000
"""2021-01-01, a Friday: a year, a month and, three days later, a week begin."""


async def expect_resampled(
    store: BarStore, instrument: InstrumentKey, minutes: Bars, to: Timeframe, start_ms: int, end_ms: int
) -> None:
    """The store's bars of ``to`` are those that ``minutes`` make, which are all that it holds."""
    found = await store.read_resampled(instrument, to, start_ms, end_ms)
    expected = resample(minutes, to).between(start_ms, end_ms)
    where = f"{to} in [{start_ms}, {end_ms})"
    assert found.time.tolist() == expected.time.tolist(), f"openings of {where}"
    bars, coverage, revision = await store.read_resampled_with_coverage(instrument, to, start_ms, end_ms)
    assert bars.equals(found), f"bars beside the coverage, of {where}"
    of_minutes = await store.coverage_with_revision(instrument.series(TIMEFRAMES["1m"]), start_ms, end_ms)
    assert (coverage, revision) == of_minutes, f"the coverage and the revision beside {where}"
    openings = await store.read_resampled_openings(instrument, to, start_ms, end_ms)
    assert openings.tolist() == found.time.tolist(), f"openings alone of {where}"
    for name in ("open", "high", "low", "close"):
        one, other = getattr(found, name), getattr(expected, name)
        assert np.array_equal(one, other), f"{name} of {where}: {one} instead of {other}"
    assert np.allclose(found.volume, expected.volume, rtol=VOLUME_TOLERANCE, atol=0), f"volume of {where}"


async def _expect_all(store: BarStore, instrument: InstrumentKey, start_ms: int, end_ms: int) -> None:
    minutes = await store.read(instrument.series(TIMEFRAMES["1m"]), *ALL_TIME)
    for to in HIGHER:
        await expect_resampled(store, instrument, minutes, to, start_ms, end_ms)


def _some_minutes(chance: random.Random, start_ms: int, count: int, density: float) -> Bars:
    """Possible bars with numbers that nothing else has, at some of the minutes from ``start_ms`` on."""
    return Bars.from_rows(
        [
            _some_row(chance, start_ms + index * MINUTE_MS)
            for index in range(count)
            if chance.random() < density
        ]
    )


def _some_row(chance: random.Random, time_ms: int) -> BarRow:
    opening, close = chance.uniform(90, 110), chance.uniform(90, 110)
    high, low = max(opening, close) + chance.random(), min(opening, close) - chance.random()
    return (time_ms, opening, high, low, close, chance.choice((0.0, chance.random(), chance.random() * 1e9)))


async def check_resampled_ranges(stores: Stores) -> None:
    """A range is about openings: a bar that opens inside belongs to it whole, any other not at all."""
    store, chance = stores.bars, random.Random(2)  # noqa: S311  # reproducible, and nobody's secret
    for around in (0, NEW_YEAR_MS):  # before 1970 as well as after
        start = around - 2 * HOUR_MS - 7 * MINUTE_MS
        bars = _some_minutes(chance, start, 40 * 60, 0.6)
        await store.write(SeriesBars(KEY, bars, IntervalSet.single(start, start + 40 * HOUR_MS)))
    await _expect_all(store, KEY.instrument, *ALL_TIME)
    await _expect_all(store, KEY.instrument, NEW_YEAR_MS, NEW_YEAR_MS)
    await _expect_all(store, KEY.instrument, NEW_YEAR_MS + 1, NEW_YEAR_MS)
    edges = [shift * HOUR_MS for shift in (-25, -1, 0, 1, 13, 24)]
    for start in (NEW_YEAR_MS + edge + odd for edge in edges for odd in (-1, 0, 1, 30 * MINUTE_MS)):
        for end in (start + 1, start + HOUR_MS, start + DAY_MS - 1, start + 40 * DAY_MS):
            await _expect_all(store, KEY.instrument, start, end)
    found = await store.read_resampled(KEY.instrument, TIMEFRAMES["1m"], *ALL_TIME)
    assert found.equals(await store.read(KEY, *ALL_TIME)), "minutes are made of minutes"


async def check_resampled_of_minutes_alone(stores: Stores) -> None:
    """Bars that a venue gave of a higher timeframe are not resampled, and no minutes make no bars."""
    store, instrument = stores.bars, KEY.instrument
    other = InstrumentKey(instrument.market, "other", instrument.symbol)
    for to in HIGHER:
        opening = to.floor(NEW_YEAR_MS)
        native = Bars.from_rows([row_at(opening, 5)])
        for each in (instrument, other):
            covered = IntervalSet.single(opening, to.end(opening))
            await store.write(SeriesBars(each.series(to), native, covered))
    await store.write(SeriesBars(KEY, Bars.empty(), IntervalSet.single(NEW_YEAR_MS, NEW_YEAR_MS + DAY_MS)))
    await store.note_empty(KEY, IntervalSet.single(NEW_YEAR_MS - DAY_MS, NEW_YEAR_MS), NEW_YEAR_MS)
    for to in HIGHER:
        assert not len(await store.read_resampled(instrument, to, *ALL_TIME)), f"{to} of no minutes"
    minutes = Bars.from_rows([row_at(NEW_YEAR_MS + 5 * MINUTE_MS, 1)])
    await store.import_bars([SeriesBars(KEY, minutes, NO_INTERVALS)], replace=True)
    await _expect_all(store, instrument, *ALL_TIME)
    for to in HIGHER:
        assert not len(await store.read_resampled(other, to, *ALL_TIME)), "of another provider's minutes"
        opening = to.floor(NEW_YEAR_MS)
        native = await store.read(instrument.series(to), *ALL_TIME)
        assert native.equals(Bars.from_rows([row_at(opening, 5)])), f"the venue's own bar of {to}"


async def check_resampled_corrections(stores: Stores) -> None:
    """A corrected, an added and a removed minute show in every bar that holds it, a refused one in none."""
    store, to = stores.bars, TIMEFRAMES["1h"]
    key = SeriesKey("crypto", "venue", "ETH/USDT", "1m")
    minutes = Bars.from_rows([row_at(NEW_YEAR_MS + index * MINUTE_MS, 1) for index in range(180)])
    covered = IntervalSet.single(NEW_YEAR_MS, NEW_YEAR_MS + 3 * HOUR_MS)
    await store.write(SeriesBars(key, minutes, covered))
    for index in (0, 59, 60, 90, 179):  # the first and the last of an hour, and one within
        for version in (40, 0, 1):  # a new high, a new low, and back
            one = Bars.from_rows([row_at(NEW_YEAR_MS + index * MINUTE_MS, version)])
            await store.write(SeriesBars(key, one, NO_INTERVALS))
            await _expect_all(store, key.instrument, *ALL_TIME)
        opening = NEW_YEAR_MS + index * MINUTE_MS
        gone = IntervalSet.single(opening, opening + MINUTE_MS)
        await store.write(SeriesBars(key, Bars.empty(), gone))
        await _expect_all(store, key.instrument, *ALL_TIME)
    for version in (40, 0):  # one minute amid others that stay, from within an hour to within another
        stored = await store.read(key, NEW_YEAR_MS + 30 * MINUTE_MS, NEW_YEAR_MS + 150 * MINUTE_MS)
        page = stored.merged_with(Bars.from_rows([row_at(NEW_YEAR_MS + 80 * MINUTE_MS, version)]))
        around = IntervalSet.single(NEW_YEAR_MS + 30 * MINUTE_MS, NEW_YEAR_MS + 150 * MINUTE_MS)
        await store.write(SeriesBars(key, page, around))
        await _expect_all(store, key.instrument, *ALL_TIME)
    before = await store.read_resampled(key.instrument, to, *ALL_TIME)
    try:
        both = [SeriesBars(key, minutes, NO_INTERVALS), SeriesBars(key, minutes[1:], covered)]
        await store.import_bars(both, replace=False)
    except StoredBarDiffers:
        pass
    else:
        raise AssertionError("an import was taken that contradicts what is stored")
    await _expect_all(store, key.instrument, *ALL_TIME)
    assert len(before) == 3
    middle = IntervalSet.single(NEW_YEAR_MS + HOUR_MS, NEW_YEAR_MS + 2 * HOUR_MS)
    await store.write(SeriesBars(key, Bars.empty(), middle))
    found = await store.read_resampled(key.instrument, to, *ALL_TIME)
    assert found.time.tolist() == [NEW_YEAR_MS, NEW_YEAR_MS + 2 * HOUR_MS], "an hour of which nothing is left"
    await store.write(SeriesBars(key, Bars.empty(), covered))
    for each in HIGHER:
        assert not len(await store.read_resampled(key.instrument, each, *ALL_TIME)), f"{each} of what is gone"


async def check_resampled_long_import(stores: Stores) -> None:
    """Weeks of minutes that come in one import are resampled as if they had come one by one."""
    store, chance = stores.bars, random.Random(5)  # noqa: S311  # reproducible, and nobody's secret
    start, count = NEW_YEAR_MS - 3 * DAY_MS + 17 * MINUTE_MS, 45 * 24 * 60 + 11
    bars = _some_minutes(chance, start, count, 0.97)
    covered = IntervalSet.single(start, start + count * MINUTE_MS)
    await store.import_bars([SeriesBars(KEY, bars, covered)], replace=False)
    await _expect_all(store, KEY.instrument, *ALL_TIME)
    thinner = SeriesBars(KEY, bars.take(np.arange(0, len(bars), 400)), covered)
    await store.import_bars([thinner], replace=True)
    await _expect_all(store, KEY.instrument, *ALL_TIME)


async def check_resampled_history(stores: Stores, seed: int = 3, steps: int = 60) -> None:
    """After any sequence of writes, imports, corrections and removals of minutes, every higher timeframe
    is what resampling them gives."""
    store, chance = stores.bars, random.Random(seed)  # noqa: S311  # reproducible, and nobody's secret
    for _ in range(steps):
        data = random_stretch(chance)
        if chance.random() < 0.5:
            await store.write(data)
        else:
            try:
                await store.import_bars([data], replace=chance.random() < 0.7)
            except StoredBarDiffers:
                continue
        somewhere = int(data.bars.time[0]) if len(data.bars) else NEW_YEAR_MS
        middle = somewhere + chance.randrange(-DAY_MS, DAY_MS)
        await _expect_all(store, KEY.instrument, middle - chance.randrange(40 * DAY_MS), middle)
        await _expect_all(store, KEY.instrument, middle, middle + chance.randrange(40 * DAY_MS))
    await _expect_all(store, KEY.instrument, *ALL_TIME)


def random_stretch(chance: random.Random) -> SeriesBars:
    """Some minutes of ten weeks around a new year: one, some hours, some days; covered in any way or not."""
    count = chance.choice((1, 1, 2, 60, 61, 24 * 60, chance.randrange(1, 3 * 24 * 60)))
    start = NEW_YEAR_MS + chance.choice((0, 0, 30 * DAY_MS, chance.randrange(-20, 50) * DAY_MS))
    start += chance.choice((0, 0, HOUR_MS, -MINUTE_MS, chance.randrange(-2_000, 2_000) * MINUTE_MS))
    bars = _some_minutes(chance, start, count, chance.choice((0.0, 0.02, 0.9, 1.0)))
    whole = Interval(start, start + count * MINUTE_MS)
    kind = chance.random()
    if kind < 0.5:
        return SeriesBars(KEY, bars, IntervalSet((whole,)))
    if kind < 0.7:
        half = IntervalSet.single(start, start + count // 2 * MINUTE_MS)
        return SeriesBars(KEY, bars, half)
    if kind < 0.85:
        pieces = IntervalSet.of(
            (start + piece * HOUR_MS, start + piece * HOUR_MS + 20 * MINUTE_MS)
            for piece in range(0, count // 60 + 1, 5)
        )
        return SeriesBars(KEY, bars, pieces)
    return SeriesBars(KEY, bars, NO_INTERVALS)


async def check_resampled_survives_restart(open_stores: OpenStores) -> None:
    """What was made of minutes is there after the store was closed and opened again, and goes on."""
    chance = random.Random(4)  # noqa: S311  # reproducible, and nobody's secret
    name = "check_resampled_survives_restart"
    for day in range(3):
        async with open_stores(name) as stores:
            if day:
                await _expect_all(stores.bars, KEY.instrument, *ALL_TIME)
                assert len(await stores.bars.read(KEY, *ALL_TIME)), "minutes after a restart"
            bars = _some_minutes(chance, NEW_YEAR_MS + day * 20 * HOUR_MS + MINUTE_MS, 20 * 60, 0.8)
            await stores.bars.write(SeriesBars(KEY, bars, NO_INTERVALS))
            await _expect_all(stores.bars, KEY.instrument, *ALL_TIME)


ROLLUP_CHECKS: Final[tuple[Check, ...]] = (
    check_resampled_ranges,
    check_resampled_of_minutes_alone,
    check_resampled_corrections,
    check_resampled_long_import,
    check_resampled_history,
)

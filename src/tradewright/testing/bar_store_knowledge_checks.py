"""The promises of ``BarStore`` about what it knows beside bars and coverage, each as a check."""

from __future__ import annotations

from typing import Final

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import BarStore, EmptyAnswer, NotedSilence, SeriesBars, StoredBarDiffers
from tradewright.domain.timeframes import TIMEFRAMES
from tradewright.testing.store_material import (
    ALL_TIME,
    KEY,
    Check,
    OpenStores,
    Stores,
    bars_at,
    batch,
    minute,
    minutes,
)


async def check_revision(stores: Stores) -> None:
    """A revision rises when what was known turns out otherwise, and stays where more becomes known."""
    store = stores.bars
    other = KEY.instrument.series(TIMEFRAMES["1h"])
    assert await store.revision(KEY) == 0, "of an unknown series"
    seen = 0

    async def after(data: SeriesBars, outage: IntervalSet = NO_INTERVALS, *, raised: bool, why: str) -> None:
        nonlocal seen
        await store.write(data, outage=outage)
        now = await store.revision(KEY)
        coverage = await store.coverage(KEY, 0, minute(40))
        both = await store.coverage_with_revision(KEY, 0, minute(40))
        assert both == (coverage, now), f"{why}: the coverage and the revision together are others"
        assert now > seen if raised else now == seen, f"{why}: revision {seen}, then {now}"
        seen = now

    none = batch([])
    await after(batch([0, 1, 3], (0, 4)), raised=False, why="the first bars")
    await after(batch([0, 1, 3], (0, 4)), raised=False, why="the same write again")
    await after(batch([4, 5], (4, 6)), raised=False, why="more bars and coverage")
    await after(batch([10, 12]), raised=False, why="bars alone")
    await after(batch([11]), raised=False, why="a bar where nothing is known")
    await after(batch([10, 11, 12], (9, 14)), raised=False, why="coverage of what is there")
    await after(none, minutes((20, 24)), raised=False, why="an outage")
    await after(none, minutes((0, 30)), raised=False, why="an outage around what is complete")
    await after(batch([3], version=1), raised=True, why="another bar")
    await after(batch([3], version=1), raised=False, why="that bar again")
    await after(batch([0, 1], (0, 4)), raised=True, why="a bar is removed")
    await after(batch([0, 1, 2], (0, 4)), raised=True, why="a trade where none was known")
    await after(batch([0, 1, 4], (0, 2), (4, 6)), raised=True, why="one of two intervals removes a bar")
    await after(batch([20, 21], (20, 22)), raised=True, why="an outage becomes complete")
    await after(batch([20, 21], (20, 22)), raised=False, why="which it is already")
    await after(batch([23]), raised=True, why="a bar in an outage")
    await after(batch([], (26, 27)), raised=True, why="an outage becomes complete, without a trade")
    assert await store.revision(other) == 0, "each series has its own"


async def check_revision_after_imports(stores: Stores) -> None:
    """An import raises the revision of the series it contradicts, where it may, and of no other."""
    store = stores.bars
    other = KEY.instrument.series(TIMEFRAMES["1h"])
    hours = SeriesBars(other, Bars.empty(), IntervalSet.single(0, 3_600_000))
    data = batch(list(range(100)), (0, 100))
    await store.import_bars([data, hours], replace=False)
    await store.import_bars([data, hours, batch([100], (100, 101))], replace=True)
    assert await store.revision(KEY) == 0, "new bars, and the same again"
    changed = SeriesBars(KEY, data.bars.merged_with(bars_at([50], 1)), data.covered)
    try:
        await store.import_bars([changed], replace=False)
    except StoredBarDiffers:
        assert await store.revision(KEY) == 0, "after a refused import"
    else:
        raise AssertionError("an import was taken that contradicts what is stored")
    await store.import_bars([changed, hours], replace=True)
    replaced = await store.revision(KEY)
    assert replaced > 0, "after an import that replaced a bar"
    await store.import_bars([SeriesBars(KEY, data.bars[:40], data.covered)], replace=True)
    removed = await store.revision(KEY)
    assert removed > replaced, "after an import that removed bars"
    await store.import_bars([batch([90])], replace=False)
    assert await store.revision(KEY) > removed, "after an import of a bar where none was known to be"
    assert await store.revision(other) == 0, "each series has its own"


async def _expect_empty(store: BarStore, why: str, *expected: tuple[int, int, int]) -> None:
    found = await store.empty_answers(KEY, *ALL_TIME)
    known = tuple(EmptyAnswer(minute(start), minute(end), at) for start, end, at in expected)
    assert found == known, f"{why}: {found} instead of {known}"


async def check_empty_answers(stores: Stores) -> None:
    """An empty answer stays as it was noted first, and gives way to what is covered or an outage."""
    store = stores.bars
    await _expect_empty(store, "of an unknown series")
    await store.note_empty(KEY, NO_INTERVALS, 1)
    await _expect_empty(store, "nothing was noted")
    await store.note_empty(KEY, minutes((2, 10)), 1)
    await store.note_empty(KEY, minutes((0, 4), (8, 12), (20, 22)), 2)
    noted = [(0, 2, 2), (2, 10, 1), (10, 12, 2), (20, 22, 2)]
    await _expect_empty(store, "an earlier note stays", *noted)
    assert await store.series(KEY.instrument) == (), "an empty answer is neither a bar nor coverage"
    assert await store.stored_instruments() == ()
    assert await store.coverage(KEY, *ALL_TIME) == (await store.read_with_coverage(KEY, *ALL_TIME))[1]
    clipped = await store.empty_answers(KEY, minute(1) + 5, minute(11) - 5)
    assert clipped == (
        EmptyAnswer(minute(1) + 5, minute(2), 2),
        EmptyAnswer(minute(2), minute(10), 1),
        EmptyAnswer(minute(10), minute(11) - 5, 2),
    ), "clipped to the range"
    for start, end in ((12, 20), (22, 30), (5, 5), (6, 5), (-9, 0)):
        assert await store.empty_answers(KEY, minute(start), minute(end)) == (), (start, end)
    await store.write(batch([5], (4, 6)))
    await store.write(batch([]), outage=minutes((11, 21)))
    left = [(0, 2, 2), (2, 4, 1), (6, 10, 1), (10, 11, 2), (21, 22, 2)]
    await _expect_empty(store, "covered or an outage", *left)
    await store.note_empty(KEY, minutes((0, 30)), 3)
    left.append((22, 30, 3))
    await _expect_empty(store, "nothing is noted of what is known", *left)
    await store.import_bars([batch([], (1, 7), (21, 40))], replace=True)
    await _expect_empty(store, "after an import", (0, 1, 2), (7, 10, 1), (10, 11, 2))
    other = KEY.instrument.series(TIMEFRAMES["1h"])
    await store.write(SeriesBars(other, Bars.empty(), IntervalSet.single(0, 2**50)))
    await _expect_empty(store, "another series", (0, 1, 2), (7, 10, 1), (10, 11, 2))
    await store.note_empty(other, IntervalSet.single(2**50, 2**50 + 1), 4)
    assert await store.empty_answers(other, *ALL_TIME) == (EmptyAnswer(2**50, 2**50 + 1, 4),)


async def check_noted_silences(stores: Stores) -> None:
    """Empty answers of all series can be found by when they were noted, the oldest first."""
    store = stores.bars
    other = KEY.instrument.series(TIMEFRAMES["1h"])
    assert await store.noted_silences(after_ms=0, until_ms=2**60, limit=9) == ()
    await store.note_empty(KEY, minutes((2, 4)), 20)
    await store.note_empty(other, minutes((60, 120)), 10)
    await store.note_empty(KEY, minutes((7, 9)), 30)
    hour = NotedSilence(other, EmptyAnswer(minute(60), minute(120), 10))
    first, second = (
        NotedSilence(KEY, EmptyAnswer(minute(start), minute(end), at))
        for start, end, at in ((2, 4, 20), (7, 9, 30))
    )
    assert await store.noted_silences(after_ms=0, until_ms=2**60, limit=9) == (hour, first, second)
    assert await store.noted_silences(after_ms=10, until_ms=30, limit=9) == (first, second), "(after, until]"
    assert await store.noted_silences(after_ms=0, until_ms=29, limit=1) == (hour,), "the oldest notes"
    await store.write(batch([2], (2, 4)))
    assert await store.noted_silences(after_ms=0, until_ms=2**60, limit=9) == (hour, second), (
        "what is covered is no silence any more"
    )


async def check_stored_instruments(stores: Stores) -> None:
    """Instruments with a bar or coverage are listed once, ascending, a page at a time."""
    store = stores.bars
    assert await store.stored_instruments() == ()
    symbols = ["BTC/USDT", "ADA/USDT", "btc/usdt", "éa", "zz", "Ω", "A'; --"]
    keys = [
        InstrumentKey("crypto", provider, symbol) for provider in ("venue", "other") for symbol in symbols
    ]
    keys.append(InstrumentKey("stocks", "a_first_provider", "A"))
    for index, key in enumerate(keys):
        if index % 3:
            await store.write(batch([0], key=key.series(TIMEFRAMES["1m"])))
        if index % 3 == 0 or index % 2:
            day = IntervalSet.single(0, 86_400_000)
            await store.write(SeriesBars(key.series(TIMEFRAMES["1d"]), Bars.empty(), day))
    silent = InstrumentKey("crypto", "venue", "SILENT").series(TIMEFRAMES["1m"])
    await store.note_empty(silent, minutes((0, 5)), 1)
    expected = tuple(sorted(keys))
    assert await store.stored_instruments() == expected
    for limit in (1, 2, 7, len(keys), len(keys) + 1):
        paged: list[InstrumentKey] = []
        while page := await store.stored_instruments(after=paged[-1] if paged else None, limit=limit):
            assert len(page) <= limit
            assert not paged or page[0] > paged[-1], "not after the last of the page before"
            paged.extend(page)
        assert tuple(paged) == expected, f"in pages of {limit}"
    between = InstrumentKey("crypto", "venue", "C")
    assert await store.stored_instruments(after=between, limit=1) == (
        min(key for key in keys if key > between),
    )


async def check_description(stores: Stores) -> None:
    """A store says what it stands on, in a sentence."""
    found = await stores.bars.describe()
    assert found.kind in ("memory", "sqlite", "postgresql", "timescaledb"), found
    assert found.detail.strip(), found
    assert "\n" not in found.detail, found


async def check_knowledge_survives_restart(open_stores: OpenStores) -> None:
    """Revisions and empty answers are there after the store was closed and opened again, and go on."""
    name = "check_knowledge_survives_restart"
    async with open_stores(name) as stores:
        await stores.bars.write(batch([0, 1], (0, 2)))
        await stores.bars.write(batch([0], version=1))
        await stores.bars.note_empty(KEY, minutes((2, 5)), 7)
        seen = await stores.bars.revision(KEY)
        assert seen > 0
    async with open_stores(name) as stores:
        assert await stores.bars.revision(KEY) == seen, "a revision after a restart"
        await _expect_empty(stores.bars, "after a restart", (2, 5, 7))
        await stores.bars.note_empty(KEY, minutes((0, 6)), 8)
        await _expect_empty(stores.bars, "after a restart", (2, 5, 7), (5, 6, 8))
        await stores.bars.write(batch([0], version=2))
        assert await stores.bars.revision(KEY) > seen
        assert await stores.bars.stored_instruments() == (KEY.instrument,)


KNOWLEDGE_CHECKS: Final[tuple[Check, ...]] = (
    check_revision,
    check_revision_after_imports,
    check_empty_answers,
    check_noted_silences,
    check_stored_instruments,
    check_description,
)

"""Bars that come in any order, twice, corrected late, of many series at once: the store holds what was said
last."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, ONE_HOUR, ONE_MINUTE
from tradewright.testing.bar_store_checks import compare
from tradewright.testing.store_material import (
    KEY,
    START_MS,
    Check,
    StoreModel,
    Stores,
    batch,
    minute,
    minutes,
    row_at,
)

_MINUTES: Final = 90
"""So many, over an end of an hour."""


async def check_deliveries(stores: Stores) -> None:
    """Whatever the order in which pages, single bars and corrections come, the last word holds."""
    await check_shuffled_deliveries(stores, range(100))


async def check_shuffled_deliveries(stores: Stores, seeds: Iterable[int]) -> None:
    """The same for these seeds, each with a series of its own."""
    for seed in seeds:
        chance, model = random.Random(seed), StoreModel()  # noqa: S311  # reproducible, nobody's secret
        key = InstrumentKey("crypto", "venue", f"S{seed}/USDT").series(ONE_MINUTE)
        for data in _deliveries(chance, key):
            if chance.random() < 0.5:
                await stores.bars.write(data)
            else:
                await stores.bars.import_bars([data], replace=True)
            model.write(data, NO_INTERVALS)
        await compare(stores.bars, model, minute(-1), minute(_MINUTES + 1), f"seed {seed}", key)
        assert (await stores.bars.revision(key) > 0) == (model.surprises > 0), f"seed {seed}"


def _deliveries(chance: random.Random, key: SeriesKey) -> list[SeriesBars]:
    """Pages that cover all minutes, some twice or with single bars before them, and corrections, shuffled;
    some corrections come last."""
    traded = [index for index in range(_MINUTES) if chance.random() < 0.8]
    edges = sorted({0, _MINUTES, *(chance.randrange(_MINUTES) for _ in range(4))})
    pages = [_page(chance, key, traded, start, end) for start, end in pairwise(edges)]
    singles = [SeriesBars(key, Bars.from_rows([row_at(minute(at), 0)]), NO_INTERVALS) for at in traded[::7]]
    corrected = [_correction(chance, key, chance.randrange(_MINUTES)) for _ in range(6)]
    given = [*pages, *chance.sample(pages, 2), *singles, *corrected[:3]]
    chance.shuffle(given)
    return [*given, *corrected[3:]]


def _page(chance: random.Random, key: SeriesKey, traded: list[int], start: int, end: int) -> SeriesBars:
    """A page as a venue may give it: rows in any order, some twice."""
    rows = [row_at(minute(index), 0) for index in traded if start <= index < end]
    rows += rows[: chance.randrange(3)]
    chance.shuffle(rows)
    return SeriesBars(key, Bars.from_unordered(rows), minutes((start, end)))


def _correction(chance: random.Random, key: SeriesKey, at: int) -> SeriesBars:
    """One minute is otherwise, or had no trade after all."""
    rows = [row_at(minute(at), chance.randrange(1, 4))] if chance.random() < 0.8 else []
    return SeriesBars(key, Bars.from_rows(rows), minutes((at, at + 1)))


async def check_many(stores: Stores, steps: int = 90) -> None:
    """Writing many series at once leaves what writing them one by one does, as live markets bring them: the
    next minutes, quiet ones, a few at once, now and then an earlier one, over an end of a day."""
    chance = random.Random(5)  # noqa: S311  # reproducible, nobody's secret
    keys = [InstrumentKey("crypto", "venue", f"M{number}/USDT").series(ONE_MINUTE) for number in range(4)]
    models, ends = {key: StoreModel() for key in keys}, dict.fromkeys(keys, 0)
    first = (DAY_MS - START_MS % DAY_MS) // MINUTE_MS - steps
    for step in range(steps):
        batches = []
        for key in keys:
            if step == 10:
                await stores.bars.note_empty(key, minutes((first + 40, first + 45)), step)
                models[key].note_empty(minutes((first + 40, first + 45)), step)
            if chance.random() < 0.8:
                start = max(0, ends[key] + chance.choice((0, 0, 0, 0, 0, 0, 0, 1, -1, -3)))
                end = ends[key] = start + chance.choice((1, 1, 1, 1, 2, 5))
                batches.append(_minutes_of(chance, key, first + start, first + end))
        revisions = {data.key: await stores.bars.revision(data.key) for data in batches}
        surprises = {key: model.surprises for key, model in models.items()}
        await stores.bars.write_many(batches)
        for data in batches:
            models[data.key].write(data, NO_INTERVALS)
            raised = await stores.bars.revision(data.key) > revisions[data.key]
            assert raised == (models[data.key].surprises > surprises[data.key]), f"step {step}"
    for key in keys:
        ranges = minute(first - 1), minute(first + 6 * steps)
        await compare(stores.bars, models[key], *ranges, f"{key.symbol} of many", key)


def _minutes_of(chance: random.Random, key: SeriesKey, start: int, end: int) -> SeriesBars:
    traded = [index for index in range(start, end) if chance.random() < 0.8]
    rows = [row_at(minute(index), chance.randrange(2)) for index in traded]
    return SeriesBars(key, Bars.from_rows(rows), minutes((start, end)))


async def check_many_of_all_kinds(stores: Stores) -> None:
    """Other timeframes, bars without coverage and coverage without bars may be among the many; all of them
    are refused together, and two of one series are."""
    hours = KEY.instrument.series(ONE_HOUR)
    other = InstrumentKey("crypto", "venue", "OTHER/USDT").series(ONE_MINUTE)
    hour = SeriesBars(hours, Bars.from_rows([row_at(0, 0)]), IntervalSet.single(0, HOUR_MS))
    await stores.bars.write_many([])
    await stores.bars.write_many([batch([0, 2], (0, 3)), hour, batch([5], key=other)])
    await stores.bars.write_many([batch([], (3, 6)), hour, batch([6], (5, 6), (8, 9), key=other)])
    found, known = await stores.bars.read_with_coverage(KEY, minute(0), minute(9))
    assert (found.time.tolist(), known.complete) == ([minute(0), minute(2)], minutes((0, 6)))
    assert (await stores.bars.read(hours, 0, 1)).equals(hour.bars)
    found, known = await stores.bars.read_with_coverage(other, minute(0), minute(9))
    assert (found.time.tolist(), known.complete) == ([minute(6)], minutes((5, 6), (8, 9)))
    time, *values = row_at(minute(7), 0)
    impossible = SeriesBars(KEY, Bars.from_rows([(time, *values[:4], -1.0)]), minutes((7, 8)))
    for refused in ([batch([7], (7, 8)), batch([8], (8, 9))], [batch([7], (7, 8), key=other), impossible]):
        try:
            await stores.bars.write_many(refused)
        except ValueError:
            pass
        else:
            raise AssertionError(f"{refused} was stored")
    assert await stores.bars.extent(KEY) == (minute(0), minute(2))
    assert await stores.bars.extent(other) == (minute(6), minute(6))


DELIVERY_CHECKS: Final[tuple[Check, ...]] = (check_deliveries, check_many, check_many_of_all_kinds)

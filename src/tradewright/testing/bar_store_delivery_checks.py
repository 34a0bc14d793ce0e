"""Bars that come in any order, twice, and corrected late: the store holds what was said last."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import NO_INTERVALS
from tradewright.domain.ports import SeriesBars
from tradewright.domain.timeframes import ONE_MINUTE
from tradewright.testing.bar_store_checks import compare
from tradewright.testing.store_material import (
    Check,
    StoreModel,
    Stores,
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


DELIVERY_CHECKS: Final[tuple[Check, ...]] = (check_deliveries,)

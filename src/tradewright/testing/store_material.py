"""What the checks of stores work with: the stores, made-up bars, and the obvious model of a bar store."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import (
    BarStore,
    InstrumentStore,
    SeriesBars,
)
from tradewright.domain.timeframes import MINUTE_MS

START_MS: Final = 1_600_000_020_000
"""An aligned minute from which the checks count."""
ALL_TIME: Final = (-(2**70), 2**70)
KEY: Final = SeriesKey("crypto", "venue", "BTC/USDT", "1m")


@dataclass(frozen=True, slots=True)
class Stores:
    """A bar store and the instrument store beside it."""

    bars: BarStore
    instruments: InstrumentStore


OpenStores: TypeAlias = Callable[[str], AbstractAsyncContextManager[Stores]]
Check: TypeAlias = Callable[[Stores], Awaitable[None]]


def minute(index: int) -> int:
    """The opening of the ``index``-th minute of the checks."""
    return START_MS + index * MINUTE_MS


def minutes(*ranges: tuple[int, int]) -> IntervalSet:
    """Intervals given by indices of minutes."""
    return IntervalSet.of((minute(start), minute(end)) for start, end in ranges)


def bars_at(indices: list[int], version: int = 0) -> Bars:
    """A possible bar for each minute; ``version`` changes its numbers."""
    return Bars.from_rows([row_at(minute(index), version) for index in indices])


def batch(
    indices: list[int], *covered: tuple[int, int], version: int = 0, key: SeriesKey = KEY
) -> SeriesBars:
    """Bars and what they cover, by indices of minutes."""
    return SeriesBars(key, bars_at(indices, version), minutes(*covered))


def row_at(time_ms: int, version: int) -> BarRow:
    base = 100.0 + (time_ms // MINUTE_MS) % 97 / 7 + version / 3
    return (time_ms, base, base + 1 / 3, base - 0.1, base + 0.07, version * 1e-9)


@dataclass
class StoreModel:
    """The obvious store: a dict of bars, two sets of minutes, and when a minute's answer was empty.

    ``surprises`` counts the writes after which something that was known before is otherwise.
    """

    rows: dict[int, BarRow] = field(default_factory=dict)
    complete: set[int] = field(default_factory=set)
    outage: set[int] = field(default_factory=set)
    empty: dict[int, int] = field(default_factory=dict)
    surprises: int = 0

    def write(self, data: SeriesBars, outage: IntervalSet) -> None:
        covered, known = minutes_of(data.covered), self.complete | self.outage
        added = set(data.bars.time.tolist()) - set(self.rows)
        self.surprises += bool(self.contradicted(data) or added & known or covered & self.outage)
        self.rows = {time: row for time, row in self.rows.items() if time not in covered}
        self.rows.update((row[0], row) for row in data.bars.rows())
        self.complete |= covered
        self.outage = (self.outage | minutes_of(outage)) - self.complete
        known = self.complete | self.outage
        self.empty = {time: answered for time, answered in self.empty.items() if time not in known}

    def note_empty(self, empty: IntervalSet, answered_ms: int) -> None:
        for time in minutes_of(empty) - self.complete - self.outage:
            self.empty.setdefault(time, answered_ms)

    def contradicted(self, data: SeriesBars) -> list[int]:
        """The times at which an import differs from what is here."""
        theirs = {row[0]: row for row in data.bars.rows()}
        covered = minutes_of(data.covered)
        return sorted(
            time
            for time, row in self.rows.items()
            if (time in theirs and theirs[time] != row) or (time in covered and time not in theirs)
        )


def minutes_of(intervals: Iterable[tuple[int, int]]) -> set[int]:
    return {time for start, end in intervals for time in range(start, end, MINUTE_MS)}


def random_batch(chance: random.Random) -> SeriesBars:
    covered = random_intervals(chance) if chance.random() < 0.8 else NO_INTERVALS
    inside = [time for time in sorted(minutes_of(covered)) if chance.random() < 0.7]
    outside = [minute(chance.randrange(40)) for _ in range(chance.choice((0, 0, 1, 3)))]
    version = chance.choice((0, 0, 0, 1, 2))
    times = sorted({*inside, *outside})
    return SeriesBars(KEY, Bars.from_rows([row_at(time, version) for time in times]), covered)


def random_intervals(chance: random.Random) -> IntervalSet:
    starts = [chance.randrange(40) for _ in range(chance.choice((1, 1, 2, 4)))]
    return minutes(*((start, start + chance.randrange(1, 9)) for start in starts))

"""How new bars and coverage meet stored ones: the rules that all bar stores share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import Coverage, EmptyAnswer, ImportCounts, StoredBarDiffers
from tradewright.domain.timeframes import Times


def extended(known: Coverage, complete: IntervalSet, outage: IntervalSet) -> Coverage:
    """``known`` with more of both kinds; where both are claimed, ``complete`` holds."""
    all_complete = known.complete.union(complete)
    return Coverage(all_complete, known.outage.union(outage).subtract(all_complete))


def outside(noted: Iterable[EmptyAnswer], known: IntervalSet) -> tuple[EmptyAnswer, ...]:
    """What is left of empty answers where ``known`` says more."""
    return tuple(
        EmptyAnswer(start, end, each.answered_ms)
        for each in noted
        for start, end in IntervalSet.single(each.start, each.end).subtract(known)
    )


def clipped(noted: Iterable[EmptyAnswer], start_ms: int, end_ms: int) -> tuple[EmptyAnswer, ...]:
    """The parts of empty answers inside ``[start_ms, end_ms)``."""
    parts = ((max(each.start, start_ms), min(each.end, end_ms), each.answered_ms) for each in noted)
    return tuple(EmptyAnswer(*part) for part in parts if part[0] < part[1])


def newly_empty(
    empty: IntervalSet, noted: Iterable[EmptyAnswer], known: IntervalSet, answered_ms: int
) -> tuple[EmptyAnswer, ...]:
    """The empty answers that are to be noted beside those that are, where nothing is known."""
    taken = known.union(IntervalSet.of((each.start, each.end) for each in noted))
    return tuple(EmptyAnswer(start, end, answered_ms) for start, end in empty.subtract(taken))


class Spans:
    """An interval set as columns, to ask of many times at once whether they lie inside."""

    def __init__(self, intervals: IntervalSet) -> None:
        bounds = np.array(intervals.items, dtype=np.int64).reshape(-1, 2)
        self._starts, self._ends = np.ascontiguousarray(bounds[:, 0]), np.ascontiguousarray(bounds[:, 1])

    def contain(self, times: Times) -> NDArray[np.bool_]:
        """Which of the times lie inside."""
        if not len(self._starts):
            return np.zeros(len(times), dtype=np.bool_)
        index = np.searchsorted(self._starts, times, side="right") - 1
        within: NDArray[np.bool_] = (index >= 0) & (times < self._ends[index])
        return within


@dataclass(frozen=True, slots=True)
class Difference:
    """What an import changes in a stretch of a series."""

    new: Bars
    changed: Bars
    removed: Times
    unchanged: int

    def contradicts(self, known: Spans) -> bool:
        """Whether something that was known before turns out otherwise: a bar, or that there was none."""
        return bool(len(self.changed) or len(self.removed) or known.contain(self.new.time).any())

    @property
    def touched(self) -> Times:
        """The times at which anything changes, ascending."""
        return np.sort(np.concatenate((self.new.time, self.changed.time, self.removed)))

    @property
    def counts(self) -> ImportCounts:
        """The same in numbers; a stored bar that gives way to nothing counts as replaced."""
        return ImportCounts(len(self.new), self.unchanged, len(self.changed) + len(self.removed))


def difference(key: SeriesKey, stored: Bars, imported: Bars, covered: Spans, *, replace: bool) -> Difference:
    """Compare an import with what is stored; both hold all their bars of the stretch in question.

    ``StoredBarDiffers`` is raised for the earliest contradiction unless ``replace``.
    """
    place = np.searchsorted(stored.time, imported.time)
    known = np.zeros(len(imported), dtype=np.bool_)
    reachable = place < len(stored)
    known[reachable] = stored.time[place[reachable]] == imported.time[reachable]
    same = known.copy()
    for mine, theirs in zip(imported.columns()[1:], stored.columns()[1:], strict=True):
        same[known] &= mine[known] == theirs[place[known]]
    unmatched = covered.contain(stored.time)
    unmatched[place[known]] = False
    changed, removed = known & ~same, stored.time[unmatched]
    if not replace and (changed.any() or len(removed)):
        raise StoredBarDiffers(key, min([*imported.time[changed][:1].tolist(), *removed[:1].tolist()]))
    return Difference(imported.take(~known), imported.take(changed), removed, int(same.sum()))


def total(counts: Iterable[ImportCounts]) -> ImportCounts:
    """The sum of them."""
    inserted = unchanged = replaced = 0
    for each in counts:
        inserted += each.inserted
        unchanged += each.unchanged
        replaced += each.replaced
    return ImportCounts(inserted, unchanged, replaced)

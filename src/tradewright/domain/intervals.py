"""Sets of half-open time intervals ``[start, end)`` in epoch milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Interval(NamedTuple):
    """``start`` belongs to it, ``end`` does not."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class IntervalSet:
    """Disjoint, ascending, non-touching intervals; immutable."""

    items: tuple[Interval, ...] = ()

    @classmethod
    def of(cls, intervals: Iterable[tuple[int, int]]) -> IntervalSet:
        """The union of any intervals; empty ones are dropped, touching ones merged."""
        merged: list[Interval] = []
        for start, end in sorted(interval for interval in intervals if interval[0] < interval[1]):
            if merged and start <= merged[-1].end:
                merged[-1] = Interval(merged[-1].start, max(merged[-1].end, end))
            else:
                merged.append(Interval(start, end))
        return cls(tuple(merged))

    @classmethod
    def single(cls, start: int, end: int) -> IntervalSet:
        """The one interval ``[start, end)``, or nothing where it is empty."""
        return cls((Interval(start, end),)) if start < end else cls()

    def __iter__(self) -> Iterator[Interval]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __bool__(self) -> bool:
        return bool(self.items)

    def union(self, other: IntervalSet) -> IntervalSet:
        """What lies in either."""
        return IntervalSet.of((*self.items, *other.items))

    def intersect(self, other: IntervalSet) -> IntervalSet:
        """What lies in both."""
        result: list[Interval] = []
        mine, theirs = iter(self.items), iter(other.items)
        a, b = next(mine, None), next(theirs, None)
        while a is not None and b is not None:
            start, end = max(a.start, b.start), min(a.end, b.end)
            if start < end:
                result.append(Interval(start, end))
            if a.end < b.end:
                a = next(mine, None)
            else:
                b = next(theirs, None)
        return IntervalSet(tuple(result))

    def subtract(self, other: IntervalSet) -> IntervalSet:
        """What lies in this and not in the other."""
        result: list[Interval] = []
        holes = other.items
        first = 0
        for start, end in self.items:
            while first < len(holes) and holes[first].end <= start:
                first += 1
            index = first
            while index < len(holes) and holes[index].start < end:
                if start < holes[index].start:
                    result.append(Interval(start, holes[index].start))
                start = max(start, holes[index].end)
                index += 1
            if start < end:
                result.append(Interval(start, end))
        return IntervalSet(tuple(result))

    def clip(self, start: int, end: int) -> IntervalSet:
        """The part inside ``[start, end)``."""
        return self.intersect(IntervalSet.single(start, end))

    def touching(self, other: IntervalSet) -> IntervalSet:
        """Those of the intervals, whole, that share some time with the other set."""
        result: list[Interval] = []
        theirs = other.items
        index = 0
        for item in self.items:
            while index < len(theirs) and theirs[index].end <= item.start:
                index += 1
            if index < len(theirs) and theirs[index].start < item.end:
                result.append(item)
        return IntervalSet(tuple(result))

    def bridged(self, shorter_than_ms: int) -> IntervalSet:
        """The set with every gap between two intervals filled that is shorter than this."""
        result: list[Interval] = []
        for item in self.items:
            if result and item.start - result[-1].end < shorter_than_ms:
                result[-1] = Interval(result[-1].start, item.end)
            else:
                result.append(item)
        return IntervalSet(tuple(result))

    def contains(self, start: int, end: int) -> bool:
        """Whether all of ``[start, end)`` lies inside."""
        return any(item.start <= start and end <= item.end for item in self.items)

    @property
    def length_ms(self) -> int:
        """The sum of the lengths."""
        return sum(item.end - item.start for item in self.items)


NO_INTERVALS = IntervalSet()
"""The empty set."""

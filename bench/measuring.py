"""Times a piece of work beside its peer in the same run, and prints what came of it.

Absolute times belong to one machine; the ratio is what is claimed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

RUNS = 5


@dataclass(frozen=True, slots=True)
class Result:
    """Medians of both, in seconds; ``ratio`` says how much of the limit's speed the product reaches: 1 is
    the speed of the limit, 0.5 half of it."""

    name: str
    ours_s: float
    limit_s: float
    ratio: float
    ratio_min: float

    @classmethod
    def of_pairs(
        cls, name: str, ours_s: Sequence[float], limit_s: Sequence[float], *, ratio_min: float
    ) -> Result:
        """What came of pairs that were measured side by side.

        The ratio is the median of the pairs' own, since what else the machine does at a time hits both
        halves of a pair, but not every pair alike.
        """
        ratio = statistics.median(limit / ours for ours, limit in zip(ours_s, limit_s, strict=True))
        return cls(name, statistics.median(ours_s), statistics.median(limit_s), ratio, ratio_min)

    @property
    def kept(self) -> bool:
        """Whether the promise holds."""
        return self.ratio >= self.ratio_min


def compare(
    name: str, ours: Callable[[], object], limit: Callable[[], object], *, ratio_min: float, runs: int = RUNS
) -> Result:
    """Run both in turn, one pair after the other, in which each comes first every other time."""
    times: tuple[list[float], list[float]] = ([], [])
    pair = list(zip((ours, limit), times, strict=True))
    for _ in range(runs):
        for work, taken in pair:
            began = time.perf_counter()
            work()
            taken.append(time.perf_counter() - began)
        pair.reverse()
    return Result.of_pairs(name, *times, ratio_min=ratio_min)


def report(results: list[Result]) -> int:
    """Print one line for each result; return 0 when every promise is kept."""
    print(f"{'':50} {'ours':>10} {'limit':>10} {'ratio':>7} {'promised':>9}")
    for each in results:
        ours, limit = f"{each.ours_s * 1000:.2f} ms", f"{each.limit_s * 1000:.2f} ms"
        verdict = "" if each.kept else "  BROKEN"
        digits = 2 if each.ratio_min >= 0.1 else 4
        ratios = f"{each.ratio:>7.{digits}f} {each.ratio_min:>9.{digits}f}"
        print(f"{each.name:50} {ours:>10} {limit:>10} {ratios}{verdict}")
    return 0 if all(each.kept for each in results) else 1

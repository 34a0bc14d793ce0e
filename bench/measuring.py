"""Times a piece of work beside its peer in the same run, and prints what came of it.

Absolute times belong to one machine; the ratio is what is claimed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

RUNS = 5


@dataclass(frozen=True, slots=True)
class Result:
    """Medians of both, in seconds; ``ratio`` says how much of the limit's speed the product reaches."""

    name: str
    ours_s: float
    limit_s: float
    ratio_min: float

    @property
    def ratio(self) -> float:
        """The limit's time divided by ours: 1 is the speed of the limit, 0.5 half of it."""
        return self.limit_s / self.ours_s

    @property
    def kept(self) -> bool:
        """Whether the promise holds."""
        return self.ratio >= self.ratio_min


def compare(
    name: str, ours: Callable[[], object], limit: Callable[[], object], *, ratio_min: float, runs: int = RUNS
) -> Result:
    """Run both in turn, so that what else the machine does hits both, and take medians."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for work, taken in zip((ours, limit), times, strict=True):
            began = time.perf_counter()
            work()
            taken.append(time.perf_counter() - began)
    return Result(name, statistics.median(times[0]), statistics.median(times[1]), ratio_min)


def report(results: list[Result]) -> int:
    """Print one line for each result; return 0 when every promise is kept."""
    print(f"{'':44} {'ours':>10} {'limit':>10} {'ratio':>7} {'promised':>9}")
    for each in results:
        ours, limit = f"{each.ours_s * 1000:.2f} ms", f"{each.limit_s * 1000:.2f} ms"
        verdict = "" if each.kept else "  BROKEN"
        print(f"{each.name:44} {ours:>10} {limit:>10} {each.ratio:>7.2f} {each.ratio_min:>9.2f}{verdict}")
    return 0 if all(each.kept for each in results) else 1

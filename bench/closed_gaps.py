"""What the counts of closed gaps come to, in the same words for every program that makes gaps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Cuts(Protocol):
    """One history of cuts."""

    closed_s: list[float]
    minutes: int

    async def run(self, gaps: int) -> None:
        """Make so many gaps and wait until each is closed."""
        ...


async def count_closed_gaps(
    cuts: Callable[[int], Cuts], gaps: int, first_seed: int, *, of_a_seed: int, within_s: float
) -> int:
    """Cut, and print how long the gaps took; 1 where one took longer than ``within_s``."""
    began_s, closed_s, minutes, seed = time.monotonic(), list[float](), 0, first_seed
    while len(closed_s) < gaps:
        one = cuts(seed)
        await one.run(min(of_a_seed, gaps - len(closed_s)))
        closed_s += one.closed_s
        minutes += one.minutes
        seed += 1
    closed_s.sort()
    in_time = sum(each <= within_s for each in closed_s)
    print(f"seeds {first_seed} to {seed - 1}, {time.monotonic() - began_s:.0f} s:")
    print(f"{in_time} of {len(closed_s)} gaps with {minutes:,} minutes closed within {within_s:.0f} s;")
    print(
        f"p50 {closed_s[len(closed_s) // 2]:.1f} s, p99 {closed_s[len(closed_s) * 99 // 100]:.1f} s,", end=" "
    )
    print(f"longest {closed_s[-1]:.1f} s.")
    return int(in_time < len(closed_s))

"""When bars are equal to true ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradewright.domain.bars import Bars

PRICES: Final = ("open", "high", "low", "close")


def check_bars(found: Bars, truths: Sequence[Bars]) -> None:
    """Each bar is one of the true ones: times and prices to the bit, volume within what summing in another
    order may cost."""
    right = np.zeros(len(found), dtype=np.bool_)
    there = np.zeros(len(found), dtype=np.bool_)
    for truth in truths:
        if not len(truth):
            continue
        index = np.minimum(np.searchsorted(truth.time, found.time), len(truth) - 1)
        same_time = truth.time[index] == found.time
        there |= same_time
        right |= same_time & _same_values(found, truth.take(index))
    assert there.all(), f"bars that there are not: {found.time[~there][:3].tolist()}"
    assert right.all(), f"{(~right).sum()} bars with other values, at {found.time[~right][:3].tolist()}"


def _same_values(found: Bars, truth: Bars) -> NDArray[np.bool_]:
    same = np.isclose(found.volume, truth.volume, rtol=1e-12, atol=0)
    for name in PRICES:
        same &= getattr(found, name) == getattr(truth, name)
    return same


def check_same_times(found: Bars, expected: Bars) -> None:
    """They are the same bars, by their times."""
    mine, theirs = set(found.time.tolist()), set(expected.time.tolist())
    assert mine == theirs, (
        f"{len(mine - theirs)} bars too many, {len(theirs - mine)} missing, first {min(mine ^ theirs)}"
    )

"""A random walk that can be entered anywhere.

Time is cut into cells of half a year, each cell again and again in halves, down to minutes. A cell has
a mass (the variance of the walk in it: how much happens) and an increment of the walk. Halving a cell
splits the mass in a random ratio, so that quiet and wild times cluster on every scale, and the
increment as a Brownian bridge does. A minute's value thus takes about twenty steps to compute, a range
of n minutes about 2n, and no value depends on where the computation began.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from tradewright.plugins._simulated_random import Floats, Ints, bits, gauss, make_key, uniform

_TOP_LEVEL: Final = 18
_TOP_MINUTES: Final = 1 << _TOP_LEVEL
_CYCLE_CELLS: Final = 5
_ANCHOR_SPREAD: Final = 330.0  # of the increments over a cell, whose variance is 2**18 = 512²
_CYCLE_SPREAD: Final = 500.0
_UNEVENNESS: Final = 0.21
_PROFILED_LEVEL: Final = 14  # cells up to 11 days follow the profile, which is nearly even over longer ones


class Profile(Protocol):
    """How activity is spread over the day and the week, apart from chance."""

    def elapsed(self, minutes: Ints) -> Floats:
        """Market time that has passed at the beginning of each minute; ascends strictly."""
        ...


@dataclass(frozen=True, slots=True)
class Path:
    """The walk at the beginning of ``n + 1`` consecutive minutes, and the mass of the ``n`` minutes.

    A calm mean minute has mass 1; the walk's variance is the mass.
    """

    value: Floats
    mass: Floats


@dataclass(frozen=True, slots=True)
class _Cells:
    """Neighbouring cells of one level: number, value of the walk at the start, increment, mass."""

    index: Ints
    value: Floats
    increment: Floats
    mass: Floats

    def __getitem__(self, part: slice) -> _Cells:
        return _Cells(self.index[part], self.value[part], self.increment[part], self.mass[part])


class Walk:
    """The walk of one factor, such as the value of a currency; deterministic in ``seed`` and ``name``."""

    def __init__(self, seed: int, name: str, profile: Profile) -> None:
        self._key = make_key(seed, "walk", name)
        self._profile = profile

    def path(self, first_minute: int, count: int) -> Path:
        """The walk in ``count`` minutes from ``first_minute`` on (minutes since the epoch)."""
        last = first_minute + count  # one more than asked for: the end of the last is the start of the next
        cells = self._top(first_minute >> _TOP_LEVEL, last >> _TOP_LEVEL)
        for level in range(_TOP_LEVEL - 1, -1, -1):
            cells = self._halve(cells, level)
            start = (first_minute >> level) - int(cells.index[0])
            end = (last >> level) - int(cells.index[0]) + 1
            cells = cells[start:end]
        return Path(cells.value, cells.mass[:-1])

    def _top(self, first: int, last: int) -> _Cells:
        index = np.arange(first, last + 2, dtype=np.int64)
        anchor = gauss(bits(self._key, index, np.full_like(index, -1))) * _ANCHOR_SPREAD
        cycle = index // _CYCLE_CELLS
        before, after = (
            gauss(bits(self._key, number, np.full_like(index, -2))) for number in (cycle, cycle + 1)
        )
        share = (index % _CYCLE_CELLS) / _CYCLE_CELLS
        anchor += (before + (after - before) * share) * _CYCLE_SPREAD
        mass = (0.6 + 0.8 * uniform(bits(self._key, index, np.full_like(index, -3)))) * _TOP_MINUTES
        return _Cells(index[:-1], anchor[:-1], np.diff(anchor), mass[:-1])

    def _halve(self, cells: _Cells, level: int) -> _Cells:
        """The cells of ``level`` (2**level minutes) that make up those of the level above."""
        random = bits(self._key + level + 1, cells.index)
        share = 0.5 + _UNEVENNESS * (2.0 * uniform(random * np.uint64(0xD1342543DE82EF95)) - 1.0)
        if level < _PROFILED_LEVEL:
            share = self._profiled(share, cells.index, level)
        bridge = np.sqrt(share * (1.0 - share) * cells.mass) * gauss(random)
        index = np.repeat(cells.index * 2, 2)
        index[1::2] += 1
        left = share * cells.increment + bridge
        left_mass = share * cells.mass
        return _Cells(
            index,
            _interleave(cells.value, cells.value + left),
            _interleave(left, cells.increment - left),
            _interleave(left_mass, cells.mass - left_mass),
        )

    def _profiled(self, share: Floats, index: Ints, level: int) -> Floats:
        edges = np.arange(int(index[0]) * 2, int(index[-1]) * 2 + 3, dtype=np.int64) << level
        passed = np.diff(self._profile.elapsed(edges))
        left, right = share * passed[::2], (1.0 - share) * passed[1::2]
        return left / (left + right)


def _interleave(left: Floats, right: Floats) -> Floats:
    both = np.empty(2 * len(left), dtype=np.float64)
    both[::2] = left
    both[1::2] = right
    return both

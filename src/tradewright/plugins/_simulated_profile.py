"""When the simulated markets are busy, and when they are open."""

from __future__ import annotations

from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tradewright.domain.intervals import IntervalSet
from tradewright.domain.timeframes import MINUTE_MS
from tradewright.plugins._simulated_random import Floats, Ints

Flags: TypeAlias = NDArray[np.bool_]

_DAY: Final = 1_440
_WEEK: Final = 7 * _DAY
_FIRST_MONDAY: Final = 4 * _DAY
_BUSIEST_MINUTE: Final = 15 * 60
_WEEKEND_FACTOR: Final = 0.7
_NIGHT_MASS: Final = 70.0  # what happens between two sessions, in minutes of a session


class Hours(Protocol):
    """The hours of a market; minutes are counted from the epoch."""

    activity_scale: float
    """Brings the walk's mass of a mean trading minute to 1."""

    def elapsed(self, minutes: Ints) -> Floats:
        """Market time that has passed at the beginning of each minute; ascends strictly."""
        ...

    def is_open(self, minutes: Ints) -> Flags:
        """In which of the minutes there is trading."""
        ...

    def last_open_ms(self, time_ms: int) -> int:
        """``time_ms`` while the market is open, else the last ms of the session before, or 0."""
        ...


class AllHours:
    """Never closed; busiest in the afternoon of Europe and the morning of America, calm at weekends."""

    activity_scale = 1.0

    def __init__(self) -> None:
        minute = np.arange(_WEEK, dtype=np.int64)
        phase = (minute - _BUSIEST_MINUTE + _DAY // 2) % _DAY / _DAY
        density = 0.6 + 16.0 * (phase * (1.0 - phase)) ** 2
        density *= np.where(minute >= 5 * _DAY, _WEEKEND_FACTOR, 1.0)
        self._passed = np.concatenate(([0.0], np.cumsum(density)))
        self._passed *= _WEEK / self._passed[-1]

    def elapsed(self, minutes: Ints) -> Floats:
        since = minutes - _FIRST_MONDAY
        return (since - since % _WEEK).astype(np.float64) + self._passed[since % _WEEK]

    def is_open(self, minutes: Ints) -> Flags:
        return np.ones(len(minutes), dtype=np.bool_)

    def last_open_ms(self, time_ms: int) -> int:
        return time_ms


class SessionHours:
    """Open in sessions; busiest at their beginning and end. Overnight the price moves, unseen."""

    activity_scale = 0.22

    def __init__(self, sessions: IntervalSet) -> None:
        edges = [edge // MINUTE_MS for session in sessions for edge in session]
        self._edges = np.array(edges, dtype=np.int64)
        masses = np.diff(self._edges).astype(np.float64)
        masses[1::2] = _NIGHT_MASS
        self._masses = np.concatenate((masses, [_NIGHT_MASS]))
        self._lengths = np.concatenate((np.diff(self._edges).astype(np.float64), [float(_DAY)]))
        self._passed = np.concatenate(([0.0], np.cumsum(masses)))

    def _segment(self, minutes: Ints) -> Ints:
        return np.searchsorted(self._edges, minutes, side="right").astype(np.int64) - 1

    def elapsed(self, minutes: Ints) -> Floats:
        segment = np.maximum(self._segment(minutes), 0)
        share = (minutes - self._edges[segment]) / self._lengths[segment]
        middle = 2.0 * share - 1.0
        busy = 0.7 * share + 0.15 * (middle * middle * middle + 1.0)
        spent: Floats = np.where(segment % 2 == 0, busy, share) * self._masses[segment]
        return self._passed[segment] + spent

    def is_open(self, minutes: Ints) -> Flags:
        result: Flags = self._segment(minutes) % 2 == 0
        return result

    def last_open_ms(self, time_ms: int) -> int:
        segment = int(self._segment(np.array([time_ms // MINUTE_MS], dtype=np.int64))[0])
        if segment < 0:
            return 0
        return time_ms if segment % 2 == 0 else int(self._edges[segment]) * MINUTE_MS - 1

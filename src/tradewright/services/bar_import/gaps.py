"""Where bars are missing between the first and the last, counted in the hours in which they are expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tradewright.domain.intervals import Interval, IntervalSet
from tradewright.domain.timeframes import DAY_MS, Timeframe, Times
from tradewright.runtime.calendars import AlwaysOpenCalendar, TradingCalendar

LONG_MS: Final = DAY_MS
"""How much trading time without a row a file is believed to be without a trade in."""


@dataclass(frozen=True, slots=True)
class GapCount:
    """How many gaps there are, how many bars are missing in all, and how many in the longest."""

    gaps: int = 0
    missing: int = 0
    longest: int = 0


def count_gaps(times: Times, timeframe: Timeframe, calendar: TradingCalendar) -> GapCount:
    """The gaps between ascending openings, of which there is at least one."""
    if isinstance(calendar, AlwaysOpenCalendar) and timeframe.unit == "fixed":
        return _of(np.diff(times) // timeframe.length_ms - 1)
    expected = _expected(int(times[0]), int(times[-1]), timeframe, calendar)
    index = np.searchsorted(expected, times)
    known = np.isin(times, expected, assume_unique=True)
    return _of(np.diff(index[known]) - 1)


def long_gaps(times: Times, timeframe: Timeframe, calendar: TradingCalendar) -> IntervalSet:
    """Of the gaps between ascending openings those of more than ``LONG_MS`` of trading time, and of more than
    one bar: so long a stretch is rather missing from a file than without a trade."""
    most_ms = max(LONG_MS, timeframe.length_ms)
    found = []
    for row in np.flatnonzero(np.diff(times) > most_ms).tolist():
        start, end = timeframe.end(int(times[row])), int(times[row + 1])
        if start < end and calendar.open_intervals(start, end).length_ms > most_ms:
            found.append(Interval(start, end))
    return IntervalSet(tuple(found))


def _expected(first_ms: int, last_ms: int, timeframe: Timeframe, calendar: TradingCalendar) -> Times:
    """Openings of the bars that hold a part of a session, from the first bar to the last."""
    sessions = calendar.open_intervals(first_ms, timeframe.end(last_ms))
    opens = [timeframe.opens(timeframe.floor(start), end) for start, end in sessions]
    return np.unique(np.concatenate(opens)) if opens else np.empty(0, dtype=np.int64)


def _of(missing_between: Times) -> GapCount:
    gaps = missing_between[missing_between > 0]
    return GapCount(len(gaps), int(gaps.sum()), int(gaps.max())) if len(gaps) else GapCount()

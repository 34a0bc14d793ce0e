"""When a market is open. Session calendars come from ``exchange_calendars``, imported at first use."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any, Final, Protocol

import numpy as np

from tradewright.domain.instruments import ALWAYS_OPEN
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.timeframes import DAY_MS, MINUTE_MS, Timeframe

BEFORE_HOURS_MS: Final = 330 * MINUTE_MS
AFTER_HOURS_MS: Final = 240 * MINUTE_MS
"""New York trades from 4:00 to 20:00, with sessions from 9:30 to 16:00."""
_FIRST_SESSIONS: Final = ("1990-01-01", "1997-01-01", "2008-01-01", "2017-01-01", "2021-01-01")
"""Of some exchanges less is known: the first of these that their calendar can begin with counts."""
_AHEAD_MS: Final = 366 * DAY_MS
_RENEWED_AFTER_MS: Final = 90 * DAY_MS


class TradingCalendar(Protocol):
    """The regular sessions of a market."""

    def open_intervals(self, start_ms: int, end_ms: int) -> IntervalSet:
        """The parts of ``[start_ms, end_ms)`` in which bars are expected."""
        ...

    def traded_intervals(self, start_ms: int, end_ms: int) -> IntervalSet:
        """The parts of ``[start_ms, end_ms)`` in which there may be bars: the sessions and, around them,
        the hours in which some trade, from which none is expected."""
        ...

    def next_open_ms(self, time_ms: int) -> int | None:
        """When the market opens at or after ``time_ms``; None while it is open, or where nobody knows."""
        ...


def follows_sessions(calendar: TradingCalendar, timeframe: Timeframe) -> bool:
    """Whether a bar is made of the sessions alone: days and longer, where the market closes. Intraday bars
    hold what was traded outside of them, too."""
    return timeframe.length_ms >= DAY_MS and not isinstance(calendar, AlwaysOpenCalendar)


class AlwaysOpenCalendar:
    """A market that never closes."""

    def open_intervals(self, start_ms: int, end_ms: int) -> IntervalSet:
        return IntervalSet.single(start_ms, end_ms)

    def traded_intervals(self, start_ms: int, end_ms: int) -> IntervalSet:
        return IntervalSet.single(start_ms, end_ms)

    def next_open_ms(self, time_ms: int) -> int | None:
        return None


class SessionCalendar:
    """Sessions with an opening and a close, given as two ascending arrays of epoch ms."""

    def __init__(
        self, opens_ms: np.ndarray[Any, np.dtype[np.int64]], closes_ms: np.ndarray[Any, np.dtype[np.int64]]
    ) -> None:
        self._opens = opens_ms
        self._closes = closes_ms

    def open_intervals(self, start_ms: int, end_ms: int) -> IntervalSet:
        first = int(np.searchsorted(self._closes, start_ms, side="right"))
        last = int(np.searchsorted(self._opens, end_ms, side="left"))
        sessions = zip(self._opens[first:last].tolist(), self._closes[first:last].tolist(), strict=True)
        return IntervalSet.of((max(o, start_ms), min(c, end_ms)) for o, c in sessions)

    def traded_intervals(self, start_ms: int, end_ms: int) -> IntervalSet:
        sessions = self.open_intervals(start_ms - AFTER_HOURS_MS, end_ms + BEFORE_HOURS_MS)
        widened = IntervalSet.of((o - BEFORE_HOURS_MS, c + AFTER_HOURS_MS) for o, c in sessions)
        return widened.clip(start_ms, end_ms)

    def next_open_ms(self, time_ms: int) -> int | None:
        session = int(np.searchsorted(self._closes, time_ms, side="right"))
        if session >= len(self._opens) or self._opens[session] <= time_ms:
            return None
        return int(self._opens[session])


class Calendars:
    """Finds a calendar by the name that an instrument carries; keeps each of them for some months."""

    def __init__(self) -> None:
        self._always_open = AlwaysOpenCalendar()
        self._known: dict[str, tuple[int, TradingCalendar]] = {}
        self._lock = asyncio.Lock()

    async def get(self, name: str, now_ms: int) -> TradingCalendar:
        """The calendar of that name: ``24/7`` or an ISO exchange code; ``KeyError`` where there is none."""
        if name == ALWAYS_OPEN:
            return self._always_open
        calendar = self._kept(name, now_ms)
        if calendar is None:
            async with self._lock:
                calendar = self._kept(name, now_ms)
                if calendar is None:
                    calendar = await asyncio.to_thread(load_session_calendar, name, now_ms)
                    self._known[name] = now_ms, calendar
        return calendar

    def _kept(self, name: str, now_ms: int) -> TradingCalendar | None:
        """The calendar, unless it was loaded so long ago that its last sessions come near."""
        loaded_ms, calendar = self._known.get(name, (0, None))
        return calendar if now_ms - loaded_ms < _RENEWED_AFTER_MS else None


def load_session_calendar(name: str, now_ms: int) -> SessionCalendar:
    """The sessions of an exchange from 1990, or as far back as they are known, to a year from now; slow,
    since it imports pandas."""
    import exchange_calendars

    # Its use of pandas is not ours to mend, and a warning on the console helps nobody.
    warnings.filterwarnings("ignore", category=DeprecationWarning, message="Series.values returning")
    if name not in exchange_calendars.get_calendar_names(include_aliases=False):
        raise KeyError(name)
    end = str(np.datetime64(now_ms + _AHEAD_MS, "ms").astype("datetime64[D]"))
    schedule = _longest_calendar(name, end).schedule
    opens, closes = (
        schedule[column].dt.tz_localize(None).to_numpy("datetime64[ms]").astype(np.int64)
        for column in ("open", "close")
    )
    return SessionCalendar(opens, closes)


def _longest_calendar(name: str, end: str) -> Any:
    import exchange_calendars

    for start in _FIRST_SESSIONS[:-1]:
        try:
            return exchange_calendars.get_calendar(name, start=start, end=end)
        except (ValueError, NotImplementedError):
            continue
    return exchange_calendars.get_calendar(name, start=_FIRST_SESSIONS[-1], end=end)

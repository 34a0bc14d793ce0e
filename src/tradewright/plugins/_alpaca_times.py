"""Alpaca's timeframes and time stamps, and how they become ours.

Intraday bars open at whole multiples of UTC. Bars of a day and longer are stamped with midnight of their
first date: of New York for stocks, of UTC for crypto; ours are stamped 00:00 UTC of that date.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from tradewright.domain.timeframes import DAY_MS, TIMEFRAMES, Timeframe

TIMEFRAME_NAMES: Final[Mapping[str, str]] = {
    # Bars of two to twelve hours are left out: for stocks nobody promises that they begin at the same
    # hours of UTC in winter and in summer. They are made of hours instead.
    "1m": "1Min",
    "3m": "3Min",
    "5m": "5Min",
    "15m": "15Min",
    "30m": "30Min",
    "1h": "1Hour",
    "1d": "1Day",
    "1w": "1Week",
    "1M": "1Month",
}
"""The timeframes whose bars are aligned as ours are, and what Alpaca calls them."""

OFFERED: Final = tuple(TIMEFRAMES[name] for name in TIMEFRAME_NAMES)

_NEW_YORK: Final = ZoneInfo("America/New_York")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


def time_ms(text: object) -> int | None:
    """Epoch milliseconds of an RFC 3339 time, cut, not rounded; None for what is none."""
    if not isinstance(text, str) or len(text) > 40:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else (moment - _EPOCH) // _MS


def rfc3339(at_ms: int) -> str:
    """The time as Alpaca reads it, to the millisecond."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def date_text(at_ms: int) -> str:
    """The date in UTC: ``2024-01-03``."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).date().isoformat()


def date_ms(text: object) -> int | None:
    """00:00 UTC of a date such as ``2024-01-03``; None for what is none."""
    if not isinstance(text, str) or len(text) != 10:
        return None
    return time_ms(f"{text}T00:00:00Z")


def their_opening(open_ms: int, timeframe: Timeframe, *, stock: bool) -> int:
    """When Alpaca says that the bar opens which for us opens at the aligned ``open_ms``."""
    if not stock or timeframe.length_ms < DAY_MS:
        return open_ms
    date = (_EPOCH + timedelta(milliseconds=open_ms)).replace(tzinfo=None)
    return (date.replace(tzinfo=_NEW_YORK) - _EPOCH) // _MS


def our_opening(their_ms: int, timeframe: Timeframe, *, stock: bool) -> int | None:
    """When a bar opens for us that Alpaca stamped ``their_ms``; None where it is not aligned as promised."""
    if stock and timeframe.length_ms >= DAY_MS:
        local = (_EPOCH + timedelta(milliseconds=their_ms)).astimezone(_NEW_YORK)
        if local.time() != datetime.min.time():
            return None
        their_ms = (local.replace(tzinfo=UTC) - _EPOCH) // _MS
    return their_ms if timeframe.floor(their_ms) == their_ms else None

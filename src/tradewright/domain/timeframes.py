"""Timeframes and their exact alignment to UTC.

A bar's time is the time it opens. Weeks open on Monday 00:00 UTC, months on the first.
All times are integer epoch milliseconds; arrays are int64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tradewright.domain.errors import UnknownTimeframe

Times: TypeAlias = NDArray[np.int64]

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
WEEK_MS: Final = 7 * DAY_MS
_FIRST_MONDAY_MS: Final = 4 * DAY_MS  # 1970-01-05; the epoch is a Thursday
_LONGEST_MONTH_MS: Final = 31 * DAY_MS


@dataclass(frozen=True, slots=True)
class Timeframe:
    """One of the thirteen timeframes; get it by ``Timeframe.parse("5m")``.

    ``length_ms`` is the exact length, for a month the longest one.
    """

    name: str
    length_ms: int
    offset_ms: int = 0
    unit: Literal["fixed", "month"] = "fixed"

    @staticmethod
    def parse(name: str) -> Timeframe:
        """The timeframe of that name; ``UnknownTimeframe`` where there is none."""
        try:
            return TIMEFRAMES[name]
        except KeyError:
            known = ", ".join(TIMEFRAMES)
            raise UnknownTimeframe(
                f"There is no timeframe of this name; there are {known}.", {"timeframe": f"one of {known}"}
            ) from None

    def __str__(self) -> str:
        return self.name

    def floor(self, time_ms: int) -> int:
        """When the bar that contains ``time_ms`` opens."""
        if self.unit == "month":
            return _month_start(_month_index(time_ms))
        return (time_ms - self.offset_ms) // self.length_ms * self.length_ms + self.offset_ms

    def ceil(self, time_ms: int) -> int:
        """The first opening at or after ``time_ms``."""
        floor = self.floor(time_ms)
        return floor if floor == time_ms else self.end(floor)

    def end(self, open_ms: int) -> int:
        """When the bar that opens at ``open_ms`` (an aligned time) ends and the next one opens."""
        return self.shift(open_ms, 1)

    def shift(self, open_ms: int, bars: int) -> int:
        """The opening that lies ``bars`` bars after (or, negative, before) the aligned ``open_ms``."""
        if self.unit == "month":
            return _month_start(_month_index(open_ms) + bars)
        return open_ms + bars * self.length_ms

    def count(self, start_ms: int, end_ms: int) -> int:
        """How many bars open in ``[start_ms, end_ms)``."""
        first, last = self.ceil(start_ms), self.ceil(end_ms)
        if last <= first:
            return 0
        if self.unit == "month":
            return _month_index(last) - _month_index(first)
        return (last - first) // self.length_ms

    def floor_array(self, times: Times) -> Times:
        """``floor`` of each of the times."""
        if self.unit == "month":
            months = times.astype("datetime64[ms]").astype("datetime64[M]")
            return months.astype("datetime64[ms]").astype(np.int64)
        result: Times = (times - self.offset_ms) // self.length_ms * self.length_ms + self.offset_ms
        return result

    def end_array(self, opens: Times) -> Times:
        """``end`` of each of the openings."""
        if self.unit == "month":
            months = opens.astype("datetime64[ms]").astype("datetime64[M]") + 1
            return months.astype("datetime64[ms]").astype(np.int64)
        result: Times = opens + self.length_ms
        return result

    def opens(self, start_ms: int, end_ms: int) -> Times:
        """All openings in ``[start_ms, end_ms)``, ascending."""
        first, count = self.ceil(start_ms), self.count(start_ms, end_ms)
        if self.unit == "month":
            months = np.arange(_month_index(first), _month_index(first) + count).astype("datetime64[M]")
            return months.astype("datetime64[ms]").astype(np.int64)
        return first + np.arange(count, dtype=np.int64) * self.length_ms

    def nests_in(self, coarser: Timeframe) -> bool:
        """Whether every bar of ``coarser`` consists of whole bars of this timeframe."""
        if self is coarser:
            return True
        if self.unit == "month" or self.length_ms >= coarser.length_ms:
            return False
        if coarser.unit == "month":
            return DAY_MS % self.length_ms == 0
        return (
            coarser.length_ms % self.length_ms == 0
            and (coarser.offset_ms - self.offset_ms) % self.length_ms == 0
        )


def _month_index(time_ms: int) -> int:
    return int(np.datetime64(time_ms, "ms").astype("datetime64[M]").astype(np.int64))


def _month_start(index: int) -> int:
    return int(np.datetime64(index, "M").astype("datetime64[ms]").astype(np.int64))


TIMEFRAMES: Final[dict[str, Timeframe]] = {
    timeframe.name: timeframe
    for timeframe in (
        Timeframe("1m", MINUTE_MS),
        Timeframe("3m", 3 * MINUTE_MS),
        Timeframe("5m", 5 * MINUTE_MS),
        Timeframe("15m", 15 * MINUTE_MS),
        Timeframe("30m", 30 * MINUTE_MS),
        Timeframe("1h", HOUR_MS),
        Timeframe("2h", 2 * HOUR_MS),
        Timeframe("4h", 4 * HOUR_MS),
        Timeframe("6h", 6 * HOUR_MS),
        Timeframe("12h", 12 * HOUR_MS),
        Timeframe("1d", DAY_MS),
        Timeframe("1w", WEEK_MS, offset_ms=_FIRST_MONDAY_MS),
        Timeframe("1M", _LONGEST_MONTH_MS, unit="month"),
    )
}

ONE_MINUTE: Final = TIMEFRAMES["1m"]
ONE_HOUR: Final = TIMEFRAMES["1h"]
ONE_DAY: Final = TIMEFRAMES["1d"]

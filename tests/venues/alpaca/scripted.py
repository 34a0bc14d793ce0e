"""A security whose every minute is known for good, the future too, and told as it comes on a clock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from tests.venues.alpaca.securities import HOUR_MS, MINUTE_MS, NEW_YORK, Bar, Print, Security
from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.timeframes import DAY_MS, TIMEFRAMES, Timeframe, Times

LATE_MS: Final = 30_000
"""So long after its end some minutes are told anew: trades were reported late."""
BEFORE_MS: Final = 5 * HOUR_MS + HOUR_MS // 2
AFTER_MS: Final = 4 * HOUR_MS
_NAMES: Final = {
    "1Min": "1m",
    "3Min": "3m",
    "5Min": "5m",
    "15Min": "15m",
    "30Min": "30m",
    "1Hour": "1h",
    "1Day": "1d",
    "1Week": "1w",
    "1Month": "1M",
}


@dataclass(frozen=True, slots=True)
class Session:
    """One day of an exchange: 00:00 UTC of its date, and when it opens and closes."""

    date_ms: int
    opens_ms: int
    closes_ms: int


def new_york(
    first: date, days: int, *, closed: Collection[date] = (), early: Collection[date] = ()
) -> list[Session]:
    """The sessions of so many days: from 9:30 to 16:00, or to 13:00 on ``early`` days."""
    found = []
    for day in (first + timedelta(days=number) for number in range(days)):
        if day.weekday() < 5 and day not in closed:
            close = time(13 if day in early else 16)
            found.append(Session(_ms(day, time(), UTC), _ms(day, time(9, 30)), _ms(day, close)))
    return found


def _ms(day: date, at: time, zone: object = NEW_YORK) -> int:
    return int(datetime.combine(day, at, tzinfo=zone).timestamp()) * 1000  # type: ignore[arg-type]


class Hours:
    """When a market is open: in these sessions, with less going on for some hours before and after; without
    sessions always."""

    def __init__(self, sessions: Sequence[Session] = ()) -> None:
        self.sessions = sessions
        self._opens = np.array([one.opens_ms for one in sessions], dtype=np.int64)
        self._closes = np.array([one.closes_ms for one in sessions], dtype=np.int64)
        self._dates = np.array([one.date_ms for one in sessions], dtype=np.int64)

    def regular(self, times: Times) -> NDArray[np.bool_]:
        """Which of the times lie in a session."""
        return self._inside(times, 0, 0)

    def extended(self, times: Times) -> NDArray[np.bool_]:
        """Which of them lie in a session or in the hours around one."""
        return self._inside(times, BEFORE_MS, AFTER_MS)

    def _inside(self, times: Times, before_ms: int, after_ms: int) -> NDArray[np.bool_]:
        if not self.sessions:
            return np.ones(len(times), dtype=np.bool_)
        number = np.searchsorted(self._opens - before_ms, times, "right") - 1
        return (number >= 0) & (times < self._closes[number] + after_ms)

    def openings(self, times: Times, timeframe: Timeframe) -> Times:
        """When the bar opens that holds each of the times; a day is a session with the hours around it."""
        if self.sessions and timeframe.length_ms >= DAY_MS:
            number = np.searchsorted(self._opens - BEFORE_MS, times, "right") - 1
            times = self._dates[np.maximum(number, 0)]
        return timeframe.floor_array(times)

    def bars(self, minutes: Bars, timeframe: Timeframe) -> Bars:
        """The bars as the venue makes them: of a day and longer the prices are those of the sessions, the
        volume is all of it."""
        found = grouped(minutes, self.openings(minutes.time, timeframe))
        if not self.sessions or timeframe.length_ms < DAY_MS:
            return found
        priced = self.bars_of_sessions(minutes, timeframe)
        volume = found.volume[np.searchsorted(found.time, priced.time)]
        return Bars(priced.time, priced.open, priced.high, priced.low, priced.close, volume)

    def bars_of_sessions(self, minutes: Bars, timeframe: Timeframe) -> Bars:
        """The bars of the regular minutes alone."""
        regular = minutes.take(self.regular(minutes.time))
        return grouped(regular, self.openings(regular.time, timeframe))


def grouped(minutes: Bars, openings: Times) -> Bars:
    """One bar of the minutes of each opening; both ascend."""
    if not len(minutes):
        return minutes
    starts = np.flatnonzero(np.diff(openings, prepend=openings[0] - 1))
    ends = np.append(starts[1:], len(minutes)) - 1
    return Bars(
        openings[starts],
        minutes.open[starts],
        np.maximum.reduceat(minutes.high, starts),
        np.minimum.reduceat(minutes.low, starts),
        minutes.close[ends],
        np.add.reduceat(minutes.volume, starts),
    )


class ScriptedSecurity(Security):
    """A minute is told from its end on; every third one at first without what was reported late. Bars of
    other timeframes consist of the minutes that are told."""

    def __init__(self, symbol: str, truth: Bars, hours: Hours, now_ms: Callable[[], int]) -> None:
        super().__init__(symbol, symbol)
        self.hours = hours
        self._truth = truth
        self._now_ms = now_ms
        self._whole: dict[str, Bars] = {}
        price = float(truth.open[0])
        self.prints.append(Print(1, int(truth.time[0]), price, 1, "B"))
        self.bid, self.ask = (price - 0.01, 1.0), (price + 0.01, 1.0)
        self.bids, self.asks = dict([self.bid]), dict([self.ask])

    @property
    def truth(self) -> Bars:
        """All minutes, those of the future too."""
        return self._truth

    def revise(self, row: BarRow) -> None:
        """The venue corrects a minute: from now on this is the truth."""
        self._truth = self._truth.merged_with(Bars.from_rows([row]))
        self._whole.clear()

    def all_bars(self, timeframe: Timeframe) -> Bars:
        """The bars of all of time, stamped as ours are."""
        if timeframe.name not in self._whole:
            self._whole[timeframe.name] = self.hours.bars(self._truth, timeframe)
        return self._whole[timeframe.name]

    def bars(self, timeframe: str) -> Sequence[Bar]:
        found = TIMEFRAMES[_NAMES[timeframe]]
        now_ms, whole = self._now_ms(), self.all_bars(found)
        # The minutes from here on are not told for good yet, and so are the bars that hold them.
        open_ms = (now_ms - MINUTE_MS - LATE_MS) // MINUTE_MS * MINUTE_MS + MINUTE_MS
        passing = int(self.hours.openings(np.array([open_ms], dtype=np.int64), found)[0])
        fresh = self._minutes_told(passing - DAY_MS, now_ms)
        fresh = fresh.take(self.hours.openings(fresh.time, found) >= passing)
        told = Bars.concat([whole.between(0, passing), self.hours.bars(fresh, found)])
        return _Told(told, by_date=self.stock and found.length_ms >= DAY_MS)

    def _minutes_told(self, start_ms: int, now_ms: int) -> Bars:
        minutes = self._truth.between(start_ms, now_ms - MINUTE_MS + 1)
        if not len(minutes) or minutes.time[-1] <= now_ms - MINUTE_MS - LATE_MS:
            return minutes
        time_ms, opened, _, _, close, volume = minutes[-1:].rows()[0]
        if time_ms // MINUTE_MS % 3:
            return minutes
        early = (time_ms, opened, max(opened, close), min(opened, close), close, round(volume / 2, 8))
        return minutes.merged_with(Bars.from_rows([early]))


class _Told(Sequence[Bar]):
    """Bars with the venue's stamps, made when they are looked at: days of stocks begin at midnight in New
    York."""

    def __init__(self, bars: Bars, *, by_date: bool) -> None:
        self._bars = bars
        self._by_date = by_date

    def __len__(self) -> int:
        return len(self._bars)

    @overload
    def __getitem__(self, index: int) -> Bar: ...

    @overload
    def __getitem__(self, index: slice) -> list[Bar]: ...

    def __getitem__(self, index: int | slice) -> Bar | list[Bar]:
        if isinstance(index, slice):
            return [self._told(row) for row in self._bars[index].rows()]
        number = range(len(self))[index]
        return self._told(self._bars[number : number + 1].rows()[0])

    def _told(self, row: BarRow) -> Bar:
        opened, first, high, low, last, volume = row
        return Bar(_midnight(opened) if self._by_date else opened, first, high, low, last, volume)


def _midnight(date_ms: int) -> int:
    return _ms(datetime.fromtimestamp(date_ms / 1000, UTC).date(), time())

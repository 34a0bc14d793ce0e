"""Which minutes of a feed may be stored: those that the venue itself closed, and those it was asked for
after they had settled. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Protocol

from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.timeframes import MINUTE_MS, ONE_MINUTE


class LiveBarStore(Protocol):
    """Who stores what all feeds close, a little later."""

    def keep(self, data: SeriesBars, still_ours: Callable[[], bool] = ...) -> None:
        """Take final bars with what they cover; returns at once, and stores them when it can. What is known
        already is replaced only while they are ``still_ours`` to tell."""
        ...


class BarSink(Protocol):
    """Who stores what feeds close."""

    def keep(self, data: SeriesBars) -> None:
        """Take final bars with what they cover; returns at once, and stores them when it can."""
        ...


class TermSink:
    """A sink for as long as one process keeps a feed: what it left waiting, paused perhaps, must not be
    written over what the next keeper knows better."""

    def __init__(self, store: LiveBarStore, still_ours: Callable[[], bool]) -> None:
        self._store = store
        self._still_ours = still_ours

    def keep(self, data: SeriesBars) -> None:
        """Hand the bars on."""
        self._store.keep(data, self._still_ours)


class Keeper:
    """Hands the minutes of one symbol to a sink, each with coverage that nothing can be missing in.

    ``through_ms`` is how far that has come: what lies before was handed over, or is left to whoever
    reads it from the venue later.
    """

    def __init__(self, key: SeriesKey, sink: BarSink, through_ms: int) -> None:
        self._key = key
        self._sink = sink
        self._last_bar_ms: int | None = None
        self.through_ms = through_ms

    @property
    def ask_from_ms(self) -> int:
        """From where a page must reach: between two bars of one answer a minute without one had no trade."""
        return self.through_ms if self._last_bar_ms is None else self._last_bar_ms

    def go_on_from(self, through_ms: int) -> None:
        """Leave all before that to others."""
        self.through_ms, self._last_bar_ms = through_ms, None

    def take_bar(self, row: BarRow) -> None:
        """The venue itself said that this is how the minute ended. One that had no trade before it
        stays open until a page tells so."""
        time = row[0]
        if not self._hand_over([row], time, time + MINUTE_MS):
            return
        if time == self.through_ms:
            self.through_ms = time + MINUTE_MS
            self._last_bar_ms = time

    def take_page(self, rows: Sequence[BarRow], settled_ms: int, unknown: IntervalSet = NO_INTERVALS) -> None:
        """An answer with every minute from ``ask_from_ms`` on, as of which those that ended by
        ``settled_ms`` no longer change. Minutes without a bar count where bars lie on both sides of them, but
        for those that are ``unknown``."""
        settled = [row for row in rows if row[0] + MINUTE_MS <= settled_ms]
        if not settled:
            return
        end = settled[-1][0] + MINUTE_MS
        if len(settled) < len(rows):
            end = max(end, ONE_MINUTE.floor(settled_ms))
        if end <= self.through_ms:
            return
        start = max(settled[0][0], self.through_ms)
        if self._hand_over([row for row in settled if row[0] >= start], start, end, unknown):
            self._last_bar_ms = settled[-1][0]
        self.through_ms = end

    def _hand_over(
        self, rows: Sequence[BarRow], start: int, end: int, unknown: IntervalSet = NO_INTERVALS
    ) -> bool:
        if not all(_possible(row) for row in rows):
            return False
        covered = IntervalSet.single(start, end).subtract(unknown)
        self._sink.keep(SeriesBars(self._key, Bars.from_rows(rows), covered))
        return True


def _possible(row: BarRow) -> bool:
    """Whether a market can have made the minute."""
    time, opened, high, low, close, volume = row
    sound = 0 < low <= min(opened, close) and max(opened, close) <= high and volume >= 0
    return sound and isfinite(high) and isfinite(volume) and time % MINUTE_MS == 0

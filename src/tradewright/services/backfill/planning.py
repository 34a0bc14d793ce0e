"""Which part of a stretch of history is fetched next, and how far it reaches."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from tradewright.domain.intervals import Interval, IntervalSet
from tradewright.services.data_sources.base import BarRequest
from tradewright.services.data_sources.paging import LEAD_BARS_MAX

_SPREAD_MAX: Final = 16.0


class Planner:
    """Cuts stretches into chunks of whole pages, so that several can be read at once without any bar
    being read twice.

    ``stretches`` may hold closed time; it costs nothing, and pages go over it.
    """

    def __init__(self, request: BarRequest, page_bars: int, chunk_pages: int, *, newest_first: bool) -> None:
        self._request = request
        self._page_bars = page_bars
        self._lead_bars = min(LEAD_BARS_MAX, max(1, page_bars // 4))
        self._chunk_bars = chunk_pages * page_bars
        self._newest_first = newest_first
        self._spread = 1.0

    def learn(self, chunk: Interval, bars: int) -> None:
        """So many bars came of a chunk: where few minutes have one, a page reaches further, and so do the
        chunks that follow."""
        expected = self._request.open_intervals(*chunk).length_ms / self._request.timeframe.length_ms
        spread = min(_SPREAD_MAX, max(1.0, expected / max(1, bars)))
        self._spread = (self._spread + spread) / 2

    def reach(self, chunk: Interval) -> Interval:
        """From where to where the pages of a chunk may go: a little before it, to find a bar from which
        on time is known, and up to a page beyond it."""
        timeframe = self._request.timeframe
        return Interval(
            timeframe.shift(chunk.start, -self._lead_bars), timeframe.shift(chunk.end, self._page_bars)
        )

    def next_chunk(self, stretches: IntervalSet, reserved: Collection[Interval]) -> Interval | None:
        """The first chunk in the order of work whose reach touches none of ``reserved``."""
        for stretch in reversed(stretches.items) if self._newest_first else stretches.items:
            chunk = (
                self._backwards(stretch, reserved)
                if self._newest_first
                else self._forwards(stretch, reserved)
            )
            if chunk is not None:
                return chunk
        return None

    def _forwards(self, stretch: Interval, reserved: Collection[Interval]) -> Interval | None:
        timeframe, cursor = self._request.timeframe, stretch.start
        while cursor < stretch.end:
            # Where nothing is known before a chunk, its first page begins earlier by the lead.
            lead = 0 if cursor == stretch.start else self._lead_bars
            bars = round(self._chunk_bars * self._spread) - lead
            chunk = Interval(cursor, self._end_after(cursor, stretch.end, bars))
            met = _met(self.reach(chunk), reserved)
            if met is None:
                return chunk
            cursor = max(timeframe.end(cursor), timeframe.shift(timeframe.ceil(met.end), self._lead_bars))
        return None

    def _backwards(self, stretch: Interval, reserved: Collection[Interval]) -> Interval | None:
        timeframe, cursor = self._request.timeframe, stretch.end
        while cursor > stretch.start:
            bars = round(self._chunk_bars * self._spread) - self._lead_bars
            start = self._start_before(stretch.start, cursor, bars)
            chunk = Interval(start, cursor)
            met = _met(self.reach(chunk), reserved)
            if met is None:
                return chunk
            cursor = min(
                timeframe.shift(cursor, -1), timeframe.shift(timeframe.floor(met.start), -self._page_bars)
            )
        return None

    def _end_after(self, start: int, end: int, bars: int) -> int:
        """Where so many bars of open time have passed since ``start``, at most ``end``."""
        needed_ms = width_ms = bars * self._request.timeframe.length_ms
        while start + width_ms < end:
            sessions = self._request.open_intervals(start, start + width_ms)
            if sessions.length_ms >= needed_ms:
                for session in sessions:
                    needed_ms -= session.end - session.start
                    if needed_ms <= 0:
                        return min(end, self._request.timeframe.ceil(session.end + needed_ms))
            width_ms *= 2
        return end

    def _start_before(self, start: int, end: int, bars: int) -> int:
        """Where so many bars of open time are left until ``end``, at least ``start``."""
        needed_ms = width_ms = bars * self._request.timeframe.length_ms
        while end - width_ms > start:
            sessions = self._request.open_intervals(end - width_ms, end)
            if sessions.length_ms >= needed_ms:
                for session in reversed(sessions.items):
                    needed_ms -= session.end - session.start
                    if needed_ms <= 0:
                        return max(start, self._request.timeframe.floor(session.start - needed_ms))
            width_ms *= 2
        return start


def _met(reach: Interval, reserved: Collection[Interval]) -> Interval | None:
    """One of the reserved intervals that overlap the reach."""
    return next((each for each in reserved if each.start < reach.end and reach.start < each.end), None)

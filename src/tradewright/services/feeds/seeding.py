"""The closed part of an open bar, read from history by a ladder: whole days, whole hours, minutes."""

from __future__ import annotations

from typing import Final

from tradewright.domain.bars import Bars
from tradewright.domain.errors import TradewrightError
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.intervals import Interval, IntervalSet
from tradewright.domain.timeframes import MINUTE_MS, ONE_DAY, ONE_HOUR, ONE_MINUTE, Timeframe
from tradewright.runtime.calendars import TradingCalendar, follows_sessions
from tradewright.services.feeds.derivation import ClosedPart
from tradewright.services.feeds.ports import History

PAGE: Final = 5_000
_UNSETTLED_MS: Final = 2 * MINUTE_MS
"""A coarse bar that ended this recently is made from its minutes: its last trades may be missing."""


async def read_closed_part(
    history: History,
    instrument: InstrumentKey,
    timeframe: Timeframe,
    start_ms: int,
    end_ms: int,
    calendar: TradingCalendar,
) -> ClosedPart | None:
    """What makes up ``[start_ms, end_ms)``, as coarse as will do; None where it can't be had now."""
    of_sessions = follows_sessions(calendar, timeframe)
    sessions = calendar.open_intervals(start_ms, end_ms)
    wanted = IntervalSet.single(start_ms, end_ms)
    parts: list[Bars] = []
    for step in (ONE_DAY, ONE_HOUR, ONE_MINUTE):
        if step.length_ms >= timeframe.length_ms or not step.nests_in(timeframe):
            continue
        if step is ONE_HOUR and of_sessions:
            continue  # an hour may hold what was traded before the opening
        left = IntervalSet()
        for interval in wanted:
            settled_ms = interval.end if step is ONE_MINUTE else min(interval.end, end_ms - _UNSETTLED_MS)
            whole = Interval(
                step.ceil(interval.start), max(step.floor(settled_ms), step.ceil(interval.start))
            )
            found: list[Bars] = []
            missing = await _read(history, instrument, step, whole, found)
            if missing is None:
                return None
            if step is ONE_MINUTE and of_sessions:
                found = [bars.between(*session) for bars in found for session in sessions]
            parts += found
            left = left.union(IntervalSet.single(*interval).subtract(IntervalSet.single(*whole))).union(
                missing
            )
        wanted = left
    rows = Bars.from_unordered(row for part in parts for row in part.rows()).rows()
    minutes_from = start_ms
    if timeframe.length_ms > ONE_HOUR.length_ms:
        minutes_from = max(start_ms, ONE_HOUR.floor(end_ms - _UNSETTLED_MS))
    return ClosedPart(
        tuple(row for row in rows if row[0] < minutes_from),
        tuple(row for row in rows if row[0] >= minutes_from),
        minutes_from,
    )


async def _read(
    history: History, instrument: InstrumentKey, step: Timeframe, whole: Interval, parts: list[Bars]
) -> IntervalSet | None:
    """Append the bars of one step; what it could not give is returned, None where minutes failed."""
    missing = IntervalSet()
    cursor = whole.start
    while cursor < whole.end:
        stop = min(whole.end, step.shift(cursor, PAGE))
        try:
            answer = await history.get_bars(
                instrument.series(step), start_ms=cursor, end_ms=stop, limit=step.count(cursor, stop)
            )
        except TradewrightError:
            if step is ONE_MINUTE:
                return None
            return missing.union(IntervalSet.single(cursor, whole.end))
        if step is ONE_MINUTE and answer.problems:
            return None
        parts.append(answer.bars)
        if step is not ONE_MINUTE:
            gaps = (Interval(gap.start, gap.end) for gap in answer.gaps if gap.reason == "not_fetched")
            missing = missing.union(IntervalSet.of(gaps).clip(cursor, stop))
        cursor = stop
    return missing

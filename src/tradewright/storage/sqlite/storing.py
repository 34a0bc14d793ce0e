"""How a batch of bars gets into SQLite, with all that hangs on it: coverage, rollups, revision."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

import numpy as np

from tradewright.domain.intervals import NO_INTERVALS, Interval, IntervalSet
from tradewright.domain.ports import ImportCounts, SeriesBars
from tradewright.domain.timeframes import DAY_MS, ONE_MINUTE, Timeframe, Times
from tradewright.storage.merging import Difference, Spans, difference
from tradewright.storage.rollups import ROLLUPS, Stretch, reach, rolled_up
from tradewright.storage.sqlite.series import (
    BARS,
    CHUNK_BARS,
    ROLLUP_TABLES,
    extend_coverage,
    forget_empty,
    lasting_id,
    raise_revision,
    touching_coverage,
)


def store(
    connection: sqlite3.Connection,
    data: SeriesBars,
    outage: IntervalSet = NO_INTERVALS,
    *,
    replace: bool,
    progress: Callable[[int], None] | None = None,
) -> Iterator[ImportCounts]:
    """Store a batch within the caller's transaction, window by window, so that memory does not grow with
    the series; what is stored already is not written again. Has to be run to its end.

    ``StoredBarDiffers`` where the batch contradicts what is stored, unless ``replace``.
    """
    claimed, timeframe = data.covered.union(outage), Timeframe.parse(data.key.timeframe)
    touched = data.covered.union(_runs(data.bars.time, timeframe.length_ms))
    if not (claimed or touched):
        return
    series_id = lasting_id(connection, data.key)
    hull = claimed.union(touched).items
    known = touching_coverage(connection, series_id, hull[0].start, hull[-1].end)
    otherwise, spans = bool(known.outage.intersect(data.covered)), Spans(known.known)
    for window in _windows(touched, timeframe.length_ms * CHUNK_BARS // DAY_MS * DAY_MS):
        found = _store_window(connection, series_id, data, window, replace=replace)
        otherwise = otherwise or found.contradicts(spans)
        if progress is not None:
            progress(len(data.bars.between(*window)))
        yield found.counts
    if otherwise:
        raise_revision(connection, series_id)
    if claimed:
        extend_coverage(connection, series_id, known, data.covered, outage)
        forget_empty(connection, series_id, claimed)


def _store_window(
    connection: sqlite3.Connection, series_id: int, data: SeriesBars, window: Interval, *, replace: bool
) -> Difference:
    given = data.bars.between(*window)
    stored = BARS.read(connection, series_id, *window)
    found = difference(data.key, stored, given, Spans(data.covered.clip(*window)), replace=replace)
    BARS.delete(connection, series_id, found.removed)
    BARS.upsert(connection, series_id, found.changed)
    BARS.insert(connection, series_id, found.new)
    if len(touched := found.touched) and data.key.timeframe == ONE_MINUTE.name:
        left = stored if not len(found.removed) else stored.take(~np.isin(stored.time, found.removed))
        _roll_up(connection, series_id, Stretch(*window, left.merged_with(given)), touched)
    return found


def _roll_up(connection: sqlite3.Connection, series_id: int, stretch: Stretch, touched: Times) -> None:
    """Let the rollups follow the minutes of a stretch that were changed at the ``touched`` times."""
    finer = BARS
    for rollup in ROLLUPS:
        whole = reach(stretch, touched, rollup)
        before = finer.read(connection, series_id, whole.start, stretch.start)
        after = finer.read(connection, series_id, stretch.end, whole.end)
        change, stretch = rolled_up(stretch.widened(before, after, whole), touched, rollup)
        finer = ROLLUP_TABLES[rollup]
        finer.upsert(connection, series_id, change.bars)
        finer.delete(connection, series_id, change.emptied)


def _runs(times: Times, apart_ms: int) -> IntervalSet:
    """Intervals that hold the times; one for those that are not farther apart than ``apart_ms``."""
    if not len(times):
        return NO_INTERVALS
    breaks = np.flatnonzero(np.diff(times) > apart_ms)
    firsts, lasts = times[np.append(0, breaks + 1)].tolist(), times[np.append(breaks, -1)].tolist()
    return IntervalSet(tuple(Interval(first, last + 1) for first, last in zip(firsts, lasts, strict=True)))


def _windows(touched: IntervalSet, length_ms: int) -> Iterator[Interval]:
    """Windows of at most ``length_ms``, whole days, that hold all of ``touched``; close neighbours share
    one, and long intervals are cut between two days, so that rollups are made of what is at hand."""
    start = end = None
    for item in touched:
        if start is not None and end is not None:
            if item.end - start <= length_ms:
                end = item.end
                continue
            yield Interval(start, end)
        start, end = item
        while end - start > length_ms:
            cut = (start + length_ms) // DAY_MS * DAY_MS
            yield Interval(start, cut)
            start = cut
    if start is not None and end is not None:
        yield Interval(start, end)

"""The arithmetic of a coverage strip: what is known of each of many equal stretches of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tradewright.domain.intervals import IntervalSet
from tradewright.domain.timeframes import TIMEFRAMES, Timeframe, Times

STRIP_BARS_MAX: Final = 25_000
"""How many bars one row of a strip may read: what decides how finely trades are told from none."""


@dataclass(frozen=True, slots=True)
class StripRow:
    """Of one timeframe, how many ms of each bucket are what; together they are the bucket's trading time
    from ``since_ms`` to now.

    ``have``: there is a bar; ``no_trades``: known to have none; ``missing``: not known; ``outage``: the
    venue was down. Whether there was a trade is told to the bars of ``resolution``; where that is None
    it is not told at all, and all that is known counts as ``have``.
    """

    timeframe: Timeframe
    resolution: Timeframe | None
    since_ms: int
    have: Times
    no_trades: Times
    missing: Times
    outage: Times


def bucket_edges(start_ms: int, end_ms: int, buckets: int) -> Times:
    """The ``buckets + 1`` borders of as many stretches of ``[start_ms, end_ms)``, equal to the ms."""
    return start_ms + np.arange(buckets + 1, dtype=np.int64) * (end_ms - start_ms) // buckets


def lengths_per_bucket(intervals: IntervalSet, edges: Times) -> Times:
    """How many ms of each bucket ``[edges[i], edges[i + 1])`` lie in the set."""
    if not intervals:
        return np.zeros(len(edges) - 1, dtype=np.int64)
    starts, ends = np.array(intervals.items, dtype=np.int64).T
    total = np.concatenate(([0], np.cumsum(ends - starts)))
    begun = np.searchsorted(starts, edges, side="right")
    # Of the intervals that have begun before an edge, only the last can reach beyond it.
    beyond = np.where(begun > 0, np.maximum(0, ends[begun - 1] - edges), 0)
    lengths: Times = np.diff(total[begun] - beyond)
    return lengths


def resolution_for(timeframe: Timeframe, start_ms: int, end_ms: int) -> Timeframe:
    """The finest timeframe, not finer than this one, that has few enough bars in the range."""
    coarser = [each for each in TIMEFRAMES.values() if timeframe.nests_in(each)]
    fitting = (each for each in coarser if each.count(start_ms, end_ms) <= STRIP_BARS_MAX)
    return next(fitting, coarser[-1])


def strip_row(
    timeframe: Timeframe,
    resolution: Timeframe | None,
    edges: Times,
    *,
    since_ms: int,
    expected: IntervalSet,
    have: IntervalSet,
    complete: IntervalSet,
    outage: IntervalSet,
) -> StripRow:
    """A row from what is ``expected`` and what is known of it; ``have`` comes before ``complete``, and
    that before ``outage``."""
    there = expected.intersect(have)
    quiet = expected.intersect(complete).subtract(there)
    down = expected.intersect(outage).subtract(complete).subtract(there)
    unknown = expected.subtract(there).subtract(quiet).subtract(down)
    return StripRow(
        timeframe,
        resolution,
        since_ms,
        *(lengths_per_bucket(part, edges) for part in (there, quiet, unknown, down)),
    )

"""Bars of a coarser timeframe from finer ones, and bars from trades."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tradewright.domain.bars import Bars, Values
from tradewright.domain.intervals import Interval, IntervalSet
from tradewright.domain.ticks import Trade
from tradewright.domain.timeframes import ONE_MINUTE, Timeframe, Times


def resample(bars: Bars, to: Timeframe) -> Bars:
    """Bars of ``to`` from bars of any timeframe that nests in it.

    Prices are exact; volume is a sum of floats. A bar is made wherever there is at least one
    finer bar: whether it is whole is for the caller to know (see ``whole_bars``).
    """
    if not len(bars):
        return bars
    opens, starts = _first_of_each(bars.time, to)
    ends = np.concatenate((starts[1:], [len(bars)])) - 1
    return Bars(
        opens,
        bars.open[starts],
        np.maximum.reduceat(bars.high, starts),
        np.minimum.reduceat(bars.low, starts),
        bars.close[ends],
        np.add.reduceat(bars.volume, starts),
    )


def _first_of_each(time: Times, to: Timeframe) -> tuple[Times, NDArray[np.intp]]:
    """The openings of the coarser bars that have something in them, and where in ``time`` each begins."""
    first, last = to.floor(int(time[0])), int(time[-1])
    if to.count(first, last + 1) <= len(time):
        # Where the bars are dense it is quicker to look up the openings than to round every time.
        all_opens = to.opens(first, last + 1)
        starts = np.searchsorted(time, all_opens)
        filled = np.diff(starts, append=len(time)) > 0
        return all_opens[filled], starts[filled]
    opens = to.floor_array(time)
    starts = np.flatnonzero(np.concatenate(([True], opens[1:] != opens[:-1])))
    return opens[starts], starts


def whole_bars(covered: IntervalSet, timeframe: Timeframe) -> IntervalSet:
    """The parts of ``covered`` that consist of whole bars of ``timeframe``."""
    return IntervalSet.of(Interval(timeframe.ceil(start), timeframe.floor(end)) for start, end in covered)


def bars_from_ticks(time: Times, price: Values, amount: Values, timeframe: Timeframe = ONE_MINUTE) -> Bars:
    """Bars from columns of trades in the order in which the venue made them.

    ``time`` does not descend; the first trade of a bar is its open, the last its close.
    """
    return resample(Bars(time, price, price, price, price, amount), timeframe)


def bars_from_trades(trades: Sequence[Trade], timeframe: Timeframe = ONE_MINUTE) -> Bars:
    """Bars from trades, in the order given."""
    return bars_from_ticks(
        np.array([trade.time for trade in trades], dtype=np.int64),
        np.array([trade.price for trade in trades], dtype=np.float64),
        np.array([trade.amount for trade in trades], dtype=np.float64),
        timeframe,
    )

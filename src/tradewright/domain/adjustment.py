"""Bars as if the shares of today had been traded all the time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import Split


def split_adjusted(bars: Bars, splits: Sequence[Split]) -> Bars:
    """The bars with prices divided, and volumes multiplied, by the ratios of all later splits.

    ``splits`` ascend. A bar is taken as a whole: none of the splits lies inside one.
    """
    if not splits or not len(bars):
        return bars
    ratios = np.array([float(split.ratio) for split in splits])
    later = np.append(np.cumprod(ratios[::-1])[::-1], 1.0)
    times = np.array([split.time for split in splits], dtype=np.int64)
    factor = later[np.searchsorted(times, bars.time, side="right")]
    if (factor == 1.0).all():
        return bars
    return Bars(
        bars.time,
        bars.open / factor,
        bars.high / factor,
        bars.low / factor,
        bars.close / factor,
        bars.volume * factor,
    )

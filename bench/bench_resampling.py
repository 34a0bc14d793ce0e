"""A year of minutes to 1h and to 1d, beside the same reduction written for that width in bare numpy."""

from __future__ import annotations

import sys

import numpy as np

from bench.generated import minute_bars
from bench.measuring import compare, report
from tradewright.domain.bars import Bars
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import TIMEFRAMES

YEAR = 366 * 24 * 60


def bare_resampled(bars: Bars, width_ms: int) -> Bars:
    """Reduce by blocks of ``width_ms``; like ours, it may not assume that every minute is there."""
    first, last = (int(bars.time[edge]) // width_ms for edge in (0, -1))
    bounds = np.searchsorted(bars.time, np.arange(first, last + 2) * width_ms)
    starts, ends = bounds[:-1], bounds[1:] - 1
    filled = starts <= ends
    starts, ends = starts[filled], ends[filled]
    opens = np.arange(first, last + 1)[filled] * width_ms
    return Bars(
        opens,
        bars.open[starts],
        np.maximum.reduceat(bars.high, starts),
        np.minimum.reduceat(bars.low, starts),
        bars.close[ends],
        np.add.reduceat(bars.volume, starts),
    )


def main() -> int:
    """Check that both give the same bars, then time them."""
    bars = minute_bars(YEAR)
    results = []
    for name, width in (("1h", 3_600_000), ("1d", 86_400_000)):
        timeframe = TIMEFRAMES[name]
        ours = resample(bars, timeframe)
        if not ours.equals(bare_resampled(bars, width)):
            print(f"The bars of {name} differ.", file=sys.stderr)
            return 1
        results.append(
            compare(
                f"a year of 1m to {name}, beside bare numpy",
                lambda timeframe=timeframe: resample(bars, timeframe),  # type: ignore[misc]
                lambda width=width: bare_resampled(bars, width),  # type: ignore[misc]
                ratio_min=0.5,
            )
        )
    return report(results)


if __name__ == "__main__":
    sys.exit(main())

"""Minutes of a market that never was, from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.timeframes import MINUTE_MS, ONE_MINUTE

_TICK: Final = 0.01


def generate_minutes(
    seed: int,
    start_ms: int,
    minutes: int,
    *,
    price: float = 30_000.0,
    quiet: float = 0.0,
    holes: Sequence[tuple[int, int]] = (),
) -> Bars:
    """A walk of that many minutes from `start_ms` on; the same one each time.

    That share of the minutes, `quiet`, and all minutes in the `holes` `[start, end)` had no trade and
    are missing. Prices have two decimals, volumes eight, so that a venue's text of them is exact.
    """
    chance = np.random.default_rng(seed)
    time = ONE_MINUTE.ceil(start_ms) + np.arange(minutes, dtype=np.int64) * MINUTE_MS
    steps = np.round(chance.normal(0.0, price * 4e-4, (minutes, 3)) / _TICK).astype(np.int64)
    ticks = np.round(price / _TICK) + np.cumsum(steps[:, 0])
    ticks = np.maximum(ticks, 1_000)
    opened = np.concatenate(([np.round(price / _TICK)], ticks[:-1]))
    high = np.maximum(opened, ticks) + np.abs(steps[:, 1])
    low = np.maximum(np.minimum(opened, ticks) - np.abs(steps[:, 2]), 1)
    volume = np.round(chance.gamma(2.0, 5.0, minutes) + 1e-6, 8)
    opened, high, low, close = (np.round(value * _TICK, 2) for value in (opened, high, low, ticks))
    bars = Bars(time, opened, high, low, close, volume)
    keep = chance.random(minutes) >= quiet
    for start, end in holes:
        keep &= (time < start) | (time >= end)
    return bars.take(keep)

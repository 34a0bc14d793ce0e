"""Minutes of a made-up market, the same for every run."""

from __future__ import annotations

import numpy as np

from tradewright.domain.bars import Bars

START_MS = 1_704_067_200_000  # 2024-01-01, a Monday
MINUTE_MS = 60_000


def minute_bars(count: int, seed: int = 1) -> Bars:
    """Return ``count`` consecutive minutes of a random walk, each a possible bar."""
    random = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.0005, count)))
    opening = np.concatenate(([100.0], close[:-1]))
    spread = np.abs(random.normal(0.0, 0.0003, count))
    return Bars(
        START_MS + MINUTE_MS * np.arange(count, dtype=np.int64),
        opening,
        np.maximum(opening, close) * (1 + spread),
        np.minimum(opening, close) * (1 - spread),
        close,
        random.exponential(5.0, count),
    )

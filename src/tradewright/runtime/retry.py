"""How long to wait before trying again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from tradewright.runtime.ids import SYSTEM_RANDOM


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential delays with jitter: each lies between ``first_s`` and a bound that doubles to ``max_s``."""

    first_s: float = 0.5
    max_s: float = 30.0
    factor: float = 2.0

    def delays(self, rng: random.Random | None = None) -> Iterator[float]:
        """Delays in seconds, without end."""
        source = rng or SYSTEM_RANDOM
        bound = self.first_s
        while True:
            yield source.uniform(self.first_s, max(self.first_s, bound))
            bound = min(bound * self.factor, self.max_s)

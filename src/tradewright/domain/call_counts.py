"""How many calls somebody may make in a time, and who counts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tradewright.domain.errors import TradewrightError


class CountUnavailable(TradewrightError):
    """Whoever counts for all servers did not answer in time."""

    code = "count_unavailable"


@dataclass(frozen=True, slots=True)
class Quota:
    """So much, counted in costs of calls, in any stretch of ``window_s`` seconds."""

    amount: int
    window_s: int


class CallCounter(Protocol):
    """Counts what calls cost, exactly, in a window that moves with time."""

    async def take(self, key: str, quota: Quota, cost: int = 1) -> float | None:
        """Count a call under the key. None where it may be made; else nothing was counted, and it may be
        made in so many seconds. ``CountUnavailable`` where that can't be told now."""
        ...

    async def close(self) -> None:
        """Let go of what it stands on; may be called twice."""
        ...

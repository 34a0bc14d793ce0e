"""``Allowance``: so many a second, and some at once."""

from __future__ import annotations


class Allowance:
    """Earned with time, spent by use, and never more than ``burst``. Monotonic seconds come from outside."""

    __slots__ = ("_burst", "_counted_at_s", "_left", "_per_s")

    def __init__(self, now_s: float, *, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._left = self._burst
        self._counted_at_s = now_s

    def earn(self, now_s: float) -> bool:
        """Add what time has brought; True where it is as much as it may be."""
        self._left = min(self._burst, self._left + (now_s - self._counted_at_s) * self._per_s)
        self._counted_at_s = now_s
        return self._left == self._burst

    def spend(self) -> bool:
        """Take one; False where there is none."""
        if self._left < 1:
            return False
        self._left -= 1
        return True

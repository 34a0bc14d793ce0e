"""Counting calls inside one process, on monotonic time.

The memory storage of the library ``limits`` reads the wall clock, whose jumps would shut people out or let
everybody in, and grows with every key that was ever seen.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from tradewright.domain.call_counts import CallCounter, Quota
from tradewright.runtime.clock import Clock

KEYS_MAX: Final = 20_000
ENTRIES_MAX: Final = 500_000
_GRAINS: Final = 100
"""Into how many parts a window is divided at most, for the sake of memory."""


class _Window:
    """What was spent when, oldest first. Calls that follow each other closely are one entry, which counts
    until the last of them does not."""

    __slots__ = ("entries", "spent")

    def __init__(self) -> None:
        self.entries: deque[_Entry] = deque()
        self.spent = 0

    def add(self, now_s: float, cost: int, grain_s: float) -> bool:
        """Spend it; whether that made a new entry."""
        self.spent += cost
        if self.entries and now_s - self.entries[-1].first_s < grain_s:
            self.entries[-1].last_s = now_s
            self.entries[-1].cost += cost
            return False
        self.entries.append(_Entry(now_s, cost))
        return True

    def forget_before(self, since_s: float) -> int:
        """Forget the entries that do not count any more; how many they were."""
        forgotten = 0
        while self.entries and self.entries[0].last_s <= since_s:
            self.spent -= self.entries.popleft().cost
            forgotten += 1
        return forgotten

    def last_in_the_way(self, missing: int) -> float:
        """When that was spent which must be forgotten before so much more can be."""
        for entry in self.entries:
            missing -= entry.cost
            if missing <= 0:
                return entry.last_s
        return self.entries[-1].last_s


class _Entry:
    __slots__ = ("cost", "first_s", "last_s")

    def __init__(self, now_s: float, cost: int) -> None:
        self.first_s = self.last_s = now_s
        self.cost = cost


class MemoryCallCounter(CallCounter):
    """A moving window for each key, bounded in keys and in entries: those who called longest ago are
    forgotten first. It never fails."""

    def __init__(self, clock: Clock, *, keys_max: int = KEYS_MAX, entries_max: int = ENTRIES_MAX) -> None:
        self._clock = clock
        self._keys_max = keys_max
        self._entries_max = entries_max
        self._entries = 0
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    async def take(self, key: str, quota: Quota, cost: int = 1) -> float | None:
        """Count a call under the key, unless it must wait."""
        return self.take_now(key, quota, cost)

    def take_now(self, key: str, quota: Quota, cost: int = 1) -> float | None:
        """The same, for who can't wait."""
        now_s = self._clock.monotonic()
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window()
        else:
            self._windows.move_to_end(key)
        self._entries -= window.forget_before(now_s - quota.window_s)
        cost = min(cost, quota.amount)
        if window.spent + cost > quota.amount:
            missing = window.spent + cost - quota.amount
            return window.last_in_the_way(missing) + quota.window_s - now_s
        self._entries += window.add(now_s, cost, quota.window_s / _GRAINS)
        while len(self._windows) > self._keys_max or (
            self._entries > self._entries_max and len(self._windows) > 1
        ):
            _, gone = self._windows.popitem(last=False)
            self._entries -= len(gone.entries)
        return None

    async def close(self) -> None:
        """There is nothing to let go of."""

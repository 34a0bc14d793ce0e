"""Which streams of one feed are wanted: how often here, and when last by anybody. No I/O."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tradewright.domain.errors import UnknownTimeframe
from tradewright.domain.streams import StreamKey
from tradewright.domain.timeframes import Timeframe
from tradewright.runtime.clock import Clock
from tradewright.services.feeds.control import FeedKey

WANTS_MAX: Final = 100
"""More streams than one feed can have."""


class Wants:
    """Counts references in this process, and remembers what was heard of others for a grace period."""

    def __init__(self, feed: FeedKey, clock: Clock, grace_s: float) -> None:
        self.here: Counter[StreamKey] = Counter()
        """The references of this process; what has none is not in it."""
        self._feed = feed
        self._clock = clock
        self._grace_s = grace_s
        self._wanted_at_s: dict[StreamKey, float] = {}
        self._news: set[StreamKey] = set()

    def add(self, key: StreamKey) -> bool:
        """One reference more; whether it is the first."""
        self.here[key] += 1
        self._wanted_at_s[key] = self._clock.monotonic()
        if self.here[key] > 1:
            return False
        self._news.add(key)
        return True

    def remove(self, key: StreamKey) -> bool:
        """One reference less; whether it was the last."""
        assert self.here[key] > 0, "every release follows an acquire"
        self.here[key] -= 1
        if self.here[key]:
            return False
        del self.here[key]
        self._wanted_at_s[key] = self._clock.monotonic()
        self._news.add(key)  # said once more, so that its grace period begins now
        return True

    def note(self, key: StreamKey) -> bool:
        """Somebody elsewhere wants the stream; False where this feed has no such stream."""
        if FeedKey(key.kind, key.instrument) != self._feed:
            return False
        if key not in self._wanted_at_s and len(self._wanted_at_s) >= WANTS_MAX:
            return False
        if key.kind == "ohlcv":
            try:
                Timeframe.parse(key.timeframe or "")
            except UnknownTimeframe:
                return False
        self._wanted_at_s[key] = self._clock.monotonic()
        return True

    @property
    def news(self) -> bool:
        """Whether anything has changed here since ``to_announce``."""
        return bool(self._news)

    def to_announce(self) -> tuple[StreamKey, ...]:
        """What others are to hear of: all that is wanted here now, or was since this was last asked."""
        streams = tuple({*self.here, *self._news})
        self._news.clear()
        return streams

    def of_anybody(self) -> set[StreamKey]:
        """What is wanted by anybody, and what was until a grace period ago."""
        now = self._clock.monotonic()
        self._wanted_at_s.update(dict.fromkeys(self.here, now))
        self._wanted_at_s = {k: at_s for k, at_s in self._wanted_at_s.items() if now < at_s + self._grace_s}
        return set(self._wanted_at_s)

    def next_end_s(self, idle_s: float) -> float:
        """In how many seconds, at most ``idle_s``, the first grace period ends, unless it is wanted again."""
        now = self._clock.monotonic()
        ends = (at_s + self._grace_s - now for key, at_s in self._wanted_at_s.items() if key not in self.here)
        return min(ends, default=idle_s)

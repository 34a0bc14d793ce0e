"""How one provider is treated by everything that backfills: how many calls at once, and when none."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final, Literal

from tradewright.domain.errors import PluginError, RateLimitPluginError
from tradewright.runtime.clock import Clock
from tradewright.services.backfill.settings import BackfillSettings
from tradewright.services.data_sources.door import Door
from tradewright.services.data_sources.plugin import PluginSource

LANES_MIN: Final = 2
_QUICK: Final = 1.4
_SLOW: Final = 2.5
"""Times the quickest call of late: below, another lane is tried; above, one is given up."""
_LEARNT_AGAIN_S: Final = 600.0
_MINUTE_S: Final = 60.0


class VenueClosed(Exception):
    """The venue is not to be asked now; nobody's work was lost by it."""


class CountedCalls(asyncio.Semaphore):
    """One call at a time, how many there were, and a word after each on how long it took."""

    def __init__(self, clock: Clock, learn: Callable[[float], None]) -> None:
        super().__init__(1)
        self._clock = clock
        self._learn = learn
        self._began_s = 0.0
        self.made = 0

    async def acquire(self) -> Literal[True]:
        """Wait for the one before, and count."""
        await super().acquire()
        self.made += 1
        self._began_s = self._clock.monotonic()
        return True

    def release(self) -> None:
        """Let the next one go."""
        self._learn(self._clock.monotonic() - self._began_s)
        super().release()


class Venue:
    """One provider.

    As many calls are under way as make it faster: where calls only wait for the provider's rate limit,
    more of them would keep readers waiting and win nothing. After a failure nobody asks for a while,
    and then one alone, until there is an answer.
    """

    def __init__(
        self,
        door: Door,
        clock: Clock,
        settings: BackfillSettings,
        rng: random.Random | None,
    ) -> None:
        self.jobs = 0
        """How many jobs are at work here."""
        self._door = door
        self._clock = clock
        self._settings = settings
        self._rng = rng
        self._lanes = LANES_MIN
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._quickest_s = float("inf")
        self._learn_again_s = clock.monotonic() + _LEARNT_AGAIN_S
        self._delays: Iterator[float] | None = None
        self._closed_until_s = float("-inf")
        self._down_since_s: float | None = None
        self._repair_calls: deque[float] = deque()

    # Whether it may be asked

    @property
    def wait_s(self) -> float:
        """How long it is not to be asked; 0 where it may be."""
        left_s = self._closed_until_s - self._clock.monotonic()
        return max(0.0, left_s, self._door.left_s)

    async def opened(self) -> None:
        """Return when it may be asked."""
        while self.wait_s > 0 or self._door.refusal() is not None:
            await self._clock.sleep(self.wait_s)
            await self._door.passable()

    @property
    def down_s(self) -> float:
        """For how long every call has failed."""
        return 0.0 if self._down_since_s is None else self._clock.monotonic() - self._down_since_s

    def failed(self, error: PluginError) -> None:
        """A call failed: leave the venue alone for as long as it says, or for longer each time."""
        now_s = self._clock.monotonic()
        self._quickest_s = float("inf")  # a refusal is quick, and no measure
        if self._down_since_s is None:
            self._down_since_s = now_s
        if error.retry_after_s is not None:
            self._closed_until_s = max(self._closed_until_s, now_s + error.retry_after_s)
        elif self._closed_until_s <= now_s:  # else it is the same failure, seen by another call
            self._closed_until_s = now_s + self._next_delay_s(error)
        self._wake()

    def answered(self) -> None:
        """A call succeeded."""
        self._delays = None
        self._down_since_s = None
        self._wake()

    def _next_delay_s(self, error: PluginError) -> float:
        if self._delays is None:
            self._delays = self._settings.retry.delays(self._rng)
            if not isinstance(error, RateLimitPluginError):  # a connection may break once
                return next(self._settings.quick_retry.delays(self._rng))
        return next(self._delays)

    # How much at once

    @property
    def lanes(self) -> int:
        """How many calls may be under way."""
        return 1 if self._down_since_s is not None else self._lanes

    @asynccontextmanager
    async def lane(self) -> AsyncIterator[CountedCalls]:
        """A place among the calls that are under way, in the order of asking; ``VenueClosed`` where the
        venue is not to be asked."""
        while True:
            if self.wait_s > 0:
                raise VenueClosed
            if self._busy < self.lanes:
                break
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            finally:
                if place in self._waiting:
                    self._waiting.remove(place)
        self._busy += 1
        try:
            yield CountedCalls(self._clock, self._learn)
        finally:
            self._busy -= 1
            self._wake()

    def _learn(self, call_s: float) -> None:
        """Another lane where calls come back as quickly as ever, one less where they queue."""
        now_s = self._clock.monotonic()
        if now_s >= self._learn_again_s:
            # Beginning anew from few lanes: among many, every call would look equally slow.
            self._lanes, self._quickest_s, self._learn_again_s = LANES_MIN, call_s, now_s + _LEARNT_AGAIN_S
        self._quickest_s = min(self._quickest_s, call_s)
        if call_s <= _QUICK * self._quickest_s:
            self._lanes = min(self._settings.lanes_max, self._lanes + 1)
        elif call_s > _SLOW * self._quickest_s:
            self._lanes = max(LANES_MIN, self._lanes - 1)

    def _wake(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)

    # What may be repaired unasked

    @property
    def repair_wait_s(self) -> float:
        """How long until the budget of repairs has another call; 0 where it has one."""
        now_s = self._clock.monotonic()
        while self._repair_calls and self._repair_calls[0] <= now_s - _MINUTE_S:
            self._repair_calls.popleft()
        settings = self._settings
        budget = settings.repair_calls_beside_jobs if self.jobs else settings.repair_calls_per_minute
        if len(self._repair_calls) < budget:
            return 0.0
        return self._repair_calls[-budget] + _MINUTE_S - now_s

    def spend_repair(self, calls: int) -> None:
        """Take so many calls from the budget."""
        self._repair_calls.extend([self._clock.monotonic()] * calls)


class Venues:
    """All providers that were ever backfilled, each with what was learnt of it."""

    def __init__(
        self, source: PluginSource, clock: Clock, settings: BackfillSettings, rng: random.Random | None
    ) -> None:
        self._source = source
        self._clock = clock
        self._settings = settings
        self._rng = rng
        self._known: dict[tuple[str, str], Venue] = {}

    def of(self, market: str, provider: str) -> Venue:
        """The provider's in that market. There are as many as the loader knows, so none is forgotten."""
        venue = self._known.get((market, provider))
        if venue is None:
            door = self._source.door(market, provider)
            venue = self._known[market, provider] = Venue(door, self._clock, self._settings, self._rng)
        return venue

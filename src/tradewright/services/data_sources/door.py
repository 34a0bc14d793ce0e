"""``Door``: how a venue that can't be reached is left alone, by everybody who asks it for readers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from tradewright.domain.errors import (
    NetworkPluginError,
    PluginError,
    RateLimitPluginError,
    TimeoutPluginError,
)
from tradewright.plugins.base import MarketPlugin
from tradewright.runtime.clock import Clock
from tradewright.runtime.ids import SYSTEM_RANDOM

FAILURE_MEMORY_S: Final = 5.0
"""How long the first failure is remembered at most."""
CLOSED_S: Final = (FAILURE_MEMORY_S, 10.0, 20.0, 40.0, 55.0)
"""The longest that each failure in a row is remembered: a venue that stays down is asked less than twice a
minute, and one that is back is noticed within a minute."""
_JITTER: Final = 0.2
"""Which share of that is left to chance, so that many servers do not knock together."""
TOO_OFTEN_S: Final = 10.0
"""How long a venue is left alone at least that was asked too often and does not say when to come back."""
PATIENCE_S: Final = 4.0
"""A call that was given this long and gave nothing is the venue's failure, not the reader's haste."""

_T = TypeVar("_T")


class DoorClosed(Exception):
    """The venue is not asked: ``error`` is how the last call failed, ``left_s`` when it may be asked again at
    the earliest; 0 where somebody is asking just now."""

    def __init__(self, error: PluginError, left_s: float) -> None:
        super().__init__(error.message)
        self.error = error
        self.left_s = left_s

    def again(self) -> PluginError:
        """The failure, to be raised once more: the venue may be asked in so long."""
        return type(self.error)(self.error.message, self.left_s or None)


class Door:
    """One venue's door.

    It is open until a call finds that the venue can't be reached or was asked too often. Then it is closed
    for a while, longer each time, and for as long as the venue says. After that exactly one may knock; to
    all others it stays closed until the knock is answered. An answer opens it wholly. Who knocks and is
    cancelled, runs out of its own time, or meets what tells nothing of the venue, gives the knock back: the
    next one may knock at once.
    """

    def __init__(self, provider: str, clock: Clock, rng: random.Random | None = None) -> None:
        self._provider = provider
        self._clock = clock
        self._rng = rng or SYSTEM_RANDOM
        self._failures = 0
        self._error: PluginError | None = None
        self._closed_until_s = float("-inf")
        self._knock: asyncio.Future[None] | None = None
        self._openings = 0

    @property
    def is_open(self) -> bool:
        """Whether the last thing known of the venue is that it answers."""
        return self._error is None

    @property
    def left_s(self) -> float:
        """For how long nobody may knock; 0 where somebody may, or does."""
        return 0.0 if self._error is None else max(0.0, self._closed_until_s - self._clock.monotonic())

    def refusal(self) -> PluginError | None:
        """The failure because of which the venue is not asked now; None where it may be asked."""
        return self._error if self._knock is not None or self.left_s > 0 else None

    async def passable(self) -> None:
        """Return when the venue may be asked."""
        while self._error is not None and self.refusal() is not None:
            if self._knock is not None:
                await asyncio.wait({self._knock})
            else:
                await self._clock.sleep(self.left_s)

    def failed(self, error: PluginError) -> None:
        """A call failed that did not go through this door."""
        self._close(error, self._openings, knocked=False)

    @asynccontextmanager
    async def call(self, deadline_s: float, *, proves: bool = True) -> AsyncIterator[None]:
        """Make one call of the venue inside, until ``deadline_s``, a time of the event loop. One that does
        not always reach the venue ``proves`` nothing where it succeeds.

        Raises ``DoorClosed`` where the venue is left alone, ``TimeoutPluginError`` where it was waited for
        long enough, ``TimeoutError`` where it was not, and what the call raises.
        """
        error = self.refusal()
        if error is not None:
            raise DoorClosed(error, self.left_s)
        opening, knock = self._openings, None
        if self._error is not None:
            knock = self._knock = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            async with asyncio.timeout_at(deadline_s):
                yield
            if knock is not None and proves:
                self._open()
        except PluginError as failure:
            if unreachable(failure):
                self._close(failure, opening, knocked=knock is not None)
            raise
        except TimeoutError:
            if loop.time() - began_s < PATIENCE_S:
                raise
            late = TimeoutPluginError(f"{self._provider} did not answer in time.")
            self._close(late, opening, knocked=knock is not None)
            raise late from None
        finally:
            if knock is not None:
                self._knock = None
                knock.set_result(None)

    def _open(self) -> None:
        self._failures, self._error, self._openings = 0, None, self._openings + 1

    def _close(self, error: PluginError, opening: int, *, knocked: bool) -> None:
        now_s = self._clock.monotonic()
        # What was under way when another call failed, or before the door was opened, is no news; but how long
        # the venue wants to be left alone always counts.
        news = knocked or (self._error is None and opening == self._openings)
        if news:
            longest_s = CLOSED_S[min(self._failures, len(CLOSED_S) - 1)]
            self._closed_until_s = now_s + longest_s * self._rng.uniform(1 - _JITTER, 1)
            self._failures += 1
        named_s = _stay_away_s(error)
        if news or named_s is not None:
            self._error = error
            self._closed_until_s = max(self._closed_until_s, now_s + (named_s or 0.0))


class Doors:
    """The doors of all venues that were ever asked: as many as there are providers, so none is forgotten."""

    def __init__(self, clock: Clock, rng: random.Random | None = None) -> None:
        self._clock = clock
        self._rng = rng
        self._known: dict[tuple[str, str], Door] = {}

    def of(self, market: str, provider: str) -> Door:
        """The provider's in that market."""
        door = self._known.get((market, provider))
        if door is None:
            door = self._known[market, provider] = Door(provider, self._clock, self._rng)
        return door


@dataclass(frozen=True, slots=True)
class Caller:
    """A plugin behind its door, and how many calls of it may be under way."""

    plugin: MarketPlugin
    door: Door
    calls: asyncio.Semaphore

    async def ask(self, call: Callable[[], Awaitable[_T]], deadline_s: float, *, proves: bool = True) -> _T:
        """What the call gives; raises as ``Door.call`` does. Who waits for its turn does not wait for the
        venue."""
        async with asyncio.timeout_at(deadline_s):
            await self.calls.acquire()
        try:
            async with self.door.call(deadline_s, proves=proves):
                return await call()
        finally:
            self.calls.release()


def unreachable(error: PluginError) -> bool:
    """Whether the venue itself could not be reached or wants no calls, so that asking again at once is no
    use."""
    limited = isinstance(error, NetworkPluginError | RateLimitPluginError)
    return limited or error.retry_after_s is not None


def _stay_away_s(error: PluginError) -> float | None:
    """For how long the venue wants no calls; None where it said nothing of that."""
    if error.retry_after_s is None and isinstance(error, RateLimitPluginError):
        return TOO_OFTEN_S
    return error.retry_after_s

"""The leases that a process has of feeds, until when it may trust them, and what it may say."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from tradewright.domain.ports import BusSubscription, Lease, Leases, LeasesUnavailable, MessageBus
from tradewright.runtime.clock import Clock
from tradewright.services.feeds.control import Rank
from tradewright.services.feeds.settings import SharingSettings
from tradewright.services.feeds.timing import within

T = TypeVar("T")


class Right:
    """The right to keep one feed. ``lost`` once it is known to be another's."""

    __slots__ = ("_clock", "_refused_at_s", "_settings", "lease", "lost", "renewed_at_s")

    def __init__(self, lease: Lease, asked_at_s: float, clock: Clock, settings: SharingSettings) -> None:
        self.lease = lease
        self.lost = False
        self.renewed_at_s = asked_at_s
        self._refused_at_s: float | None = None
        self._clock = clock
        self._settings = settings

    @property
    def holds(self) -> bool:
        """Whether it can't have run out, whatever this process did in the meantime."""
        trusted_s = self._settings.lease_s - self._settings.margin_s
        return not self.lost and self._clock.monotonic() < self.renewed_at_s + trusted_s

    @property
    def unreachable(self) -> bool:
        """Whether it was just tried to renew it and the leases could not be had: then nobody has them.

        A process that was paused has not tried, and is told nothing by an answer from before.
        """
        if self.lost or self._refused_at_s is None:
            return False
        fresh_s = 2 * self._settings.beat_s + self._settings.call_deadline_s
        return self._clock.monotonic() < self._refused_at_s + fresh_s

    def renewed(self, asked_at_s: float) -> None:
        """Count from when it was asked for: the answer may have been long on its way."""
        self.renewed_at_s = asked_at_s
        self._refused_at_s = None

    def refused(self) -> None:
        """The leases could not be had."""
        self._refused_at_s = self._clock.monotonic()


class Rights:
    """All rights of one process, renewed in one call."""

    def __init__(self, leases: Leases, process: str, clock: Clock, settings: SharingSettings) -> None:
        self._leases = leases
        self._process = process
        self._clock = clock
        self._settings = settings
        self._held: dict[str, Right] = {}

    async def acquire(self, name: str) -> Right | None:
        """A new right, in place of one that this process has; None where another has it.

        Raises ``LeasesUnavailable``.
        """
        asked_at_s = self._clock.monotonic()
        lease = await self._call(self._leases.acquire(name, self._process, self._settings.lease_s))
        former = self._held.pop(name, None)
        if former is not None:
            former.lost = True
        if lease is None:
            return None
        right = self._held[name] = Right(lease, asked_at_s, self._clock, self._settings)
        return right

    async def renew(self) -> None:
        """Renew every right; each says afterwards what became of it."""
        rights = list(self._held.values())
        if not rights:
            return
        asked_at_s = self._clock.monotonic()
        try:
            answers = await self._call(
                self._leases.renew([right.lease for right in rights], self._settings.lease_s)
            )
        except LeasesUnavailable:
            for right in rights:
                right.refused()
            return
        for right, renewed in zip(rights, answers, strict=True):
            if renewed:
                right.renewed(asked_at_s)
            elif renewed is None:
                right.refused()
            else:
                right.lost = True
                self._forget(right)

    async def release(self, right: Right) -> None:
        """Let it go; where that can't be said it runs out by itself."""
        self._forget(right)
        try:
            await self._call(self._leases.release(right.lease))
        except LeasesUnavailable:
            return

    def _forget(self, right: Right) -> None:
        if self._held.get(right.lease.name) is right:
            del self._held[right.lease.name]

    async def _call(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await within(self._clock, self._settings.call_deadline_s, work)
        except TimeoutError:
            raise LeasesUnavailable("The leases did not answer in time.") from None


class Term:
    """The time for which this process keeps a feed, and the one way out for what the feed publishes.

    Nothing is let through while the lease may have run out: another may be speaking then.
    """

    def __init__(self, rank: Rank, right: Right | None, bus: MessageBus, wake: Callable[[], None]) -> None:
        self.rank = rank
        self.right = right
        self.over = False
        self.broken = False
        """Whether something was not let through, so that numbers are missing."""
        self._bus = bus
        self._wake = wake

    @property
    def may_speak(self) -> bool:
        """Whether what is published now is the keeper's word."""
        if self.over or self.right is None:
            return not self.over
        return self.right.holds or self.right.unreachable

    @property
    def may_act(self) -> bool:
        """Whether the feed may go on upstream. Once it is known that the lease is lost, it is also about to
        be known who has it, and the connection may be wanted still."""
        return self.may_speak or (not self.over and self.right is not None and self.right.lost)

    @property
    def righted(self) -> bool:
        """Whether it holds the lease, as far as can be known."""
        return self.right is not None and self.right.holds

    async def publish(self, channel: str, message: bytes) -> None:
        """Publish, if that is still ours to do."""
        if self.may_speak:
            await self._bus.publish(channel, message)
        else:
            self.broken = True
            self._wake()

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[BusSubscription]:
        """Listen."""
        return self._bus.subscribe(channel)

"""How often the API may be called, for each address and each user."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from tradewright.domain.call_counts import CallCounter, CountUnavailable, Quota
from tradewright.domain.errors import LimitExceeded
from tradewright.runtime.circuit_breaker import CircuitBreaker
from tradewright.runtime.clock import Clock

_log = logging.getLogger(__name__)

WINDOW_S: Final = 10

RouteClass = Literal["api", "pages", "operations"]
"""The API; pages with their files; what supervisors of the process ask."""

Take = Callable[[str, Quota, int], float | None]


@dataclass(frozen=True, slots=True)
class CallQuotas:
    """What may be spent in ten seconds: by a user, by all who share an address, and there on pages."""

    user: Quota
    address: dict[RouteClass, Quota]

    @classmethod
    def of_rate(cls, per_s: int) -> CallQuotas:
        """Those of a server on which a user may make so many plain calls a second."""
        per_window = per_s * WINDOW_S
        return cls(
            user=Quota(per_window, WINDOW_S),
            address={
                "api": Quota(2 * per_window, WINDOW_S),
                "pages": Quota(10 * per_window, WINDOW_S),
                "operations": Quota(2 * per_window, WINDOW_S),
            },
        )


class CallLimits:
    """Counts in this process by ``here``, and among all servers by ``together`` where there is one.

    Both must let a call through. While ``together`` fails the count of this process goes on by itself, so
    that no limit ever falls away; whoever fails is left alone and asked again once a second.
    """

    def __init__(
        self, here: Take, clock: Clock, quotas: CallQuotas, together: CallCounter | None = None
    ) -> None:
        self._here = here
        self._clock = clock
        self._quotas = quotas
        self._together = together
        self._breaker = CircuitBreaker(clock)

    def take_here(self, network: str) -> bool:
        """Count a call of the API that costs next to nothing, in this process alone; whether it may be
        made."""
        return self._here(f"api:{network}", self._quotas.address["api"], 1) is None

    async def take_for_address(self, kind: RouteClass, network: str, cost: int) -> None:
        """Count a call that comes from there; ``LimitExceeded`` says when it may be made."""
        await self._take(f"{kind}:{network}", self._quotas.address[kind], cost)

    async def take_for_user(self, user_id: str, cost: int) -> None:
        """Count a user's call of the API; ``LimitExceeded`` says when it may be made."""
        await self._take(f"user:{user_id}", self._quotas.user, cost)

    async def close(self) -> None:
        """Let go of the count that is shared; may be called twice."""
        if self._together is not None:
            await self._together.close()

    async def _take(self, key: str, quota: Quota, cost: int) -> None:
        wait_s = self._here(key, quota, cost)
        if wait_s is None and self._together is not None:
            wait_s = await self._take_together(self._together, key, quota, cost)
        if wait_s is not None:
            raise LimitExceeded("Too many calls: wait before the next one.", wait_s)

    async def _take_together(self, together: CallCounter, key: str, quota: Quota, cost: int) -> float | None:
        if self._breaker.is_open and not self._breaker.may_probe():
            return None
        began_s = self._clock.monotonic()
        try:
            wait_s = await together.take(key, quota, cost)
        except CountUnavailable as error:
            if self._breaker.failed(self._clock.monotonic() - began_s):
                _log.warning("Calls are counted by this server alone: %s", error.message)
            return None
        if self._breaker.is_open:
            _log.info("Calls are counted among all servers again.")
        self._breaker.succeeded()
        return wait_s

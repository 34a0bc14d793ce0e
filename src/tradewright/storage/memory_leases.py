"""Leases inside one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tradewright.domain.ports import Lease
from tradewright.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class _Held:
    lease: Lease
    until_s: float


class MemoryLeases:
    """Leases among the owners of this process; several of its services may share one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._token = 0

    async def acquire(self, name: str, owner: str, ttl_s: float) -> Lease | None:
        """Have the lease for so many seconds; None where another owner has it."""
        self._forget_ended()
        held = self._held.get(name)
        if held is not None and held.lease.owner != owner:
            return None
        # Above every token of an earlier process, as far as the clock goes forward.
        self._token = max(self._token + 1, self._clock.now_ms())
        lease = Lease(name, owner, self._token)
        self._held[name] = _Held(lease, self._clock.monotonic() + ttl_s)
        return lease

    async def renew(self, leases: Sequence[Lease], ttl_s: float) -> Sequence[bool | None]:
        """Have each of them for so many seconds from now; False for one that is not the present one."""
        self._forget_ended()
        return [self._renew(lease, ttl_s) for lease in leases]

    async def release(self, lease: Lease) -> None:
        """Let it go, where it is still the present one of its name."""
        held = self._held.get(lease.name)
        if held is not None and held.lease == lease:
            del self._held[lease.name]

    def _renew(self, lease: Lease, ttl_s: float) -> bool:
        held = self._held.get(lease.name)
        if held is None or held.lease != lease:
            return False
        self._held[lease.name] = _Held(lease, self._clock.monotonic() + ttl_s)
        return True

    def _forget_ended(self) -> None:
        now_s = self._clock.monotonic()
        for name in [name for name, held in self._held.items() if held.until_s <= now_s]:
            del self._held[name]

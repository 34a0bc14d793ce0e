"""Until when a process may trust the leases that it has."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tradewright.domain.ports import Lease, LeasesUnavailable
from tradewright.services.feeds.rights import Right, Rights
from tradewright.services.feeds.settings import SharingSettings
from tradewright.storage.memory_leases import MemoryLeases
from tradewright.testing.clock import DrivenClock

SHARING = SharingSettings()


class _Leases(MemoryLeases):
    """Leases that answer late, or not, and say what they were asked to renew."""

    def __init__(self, clock: DrivenClock) -> None:
        super().__init__(clock)
        self.delay_s = 0.0
        self.away = False
        self.unknown: set[str] = set()
        """Of these it can't say anything."""
        self.renewals: list[int] = []
        self._time = clock

    async def renew(self, leases: Sequence[Lease], ttl_s: float) -> Sequence[bool | None]:
        self.renewals.append(len(leases))
        if self.away:
            raise LeasesUnavailable("away")
        answers = await super().renew(leases, ttl_s)
        await self._time.sleep(self.delay_s)
        names = [lease.name for lease in leases]
        return [None if name in self.unknown else each for name, each in zip(names, answers, strict=True)]


async def _right(rights: Rights, name: str = "feed") -> Right:
    right = await rights.acquire(name)
    assert right is not None
    return right


async def _renew(clock: DrivenClock, rights: Rights, seconds: float = 0.0) -> None:
    renewing = asyncio.create_task(rights.renew())
    await clock.advance(seconds)
    await renewing


async def test_a_right_ends_before_its_lease_and_is_renewed_from_when_that_was_asked_for() -> None:
    clock = DrivenClock()
    leases = _Leases(clock)
    rights = Rights(leases, "one", clock, SHARING)
    right = await _right(rights)
    trusted_s = SHARING.lease_s - SHARING.margin_s
    await clock.advance(trusted_s - 0.5)
    assert right.holds
    leases.delay_s = 0.9
    await _renew(clock, rights, 0.9)
    assert right.holds
    await clock.advance(trusted_s - 1.0)
    assert right.holds
    await clock.advance(0.2)
    assert not right.holds, "the time on the way is not given twice"
    assert await leases.acquire("feed", "other", 1) is None, "while the lease itself still runs"


async def test_leases_that_do_not_answer_leave_a_right_to_who_has_just_tried() -> None:
    clock = DrivenClock()
    leases = _Leases(clock)
    rights = Rights(leases, "one", clock, SHARING)
    right = await _right(rights)
    assert not right.unreachable
    leases.delay_s = 60.0  # later than their deadline
    for _ in range(6):
        await _renew(clock, rights, SHARING.call_deadline_s)
        assert right.unreachable
    assert not right.holds
    await clock.advance(10.0)  # a process that was paused has not tried
    assert not right.unreachable
    leases.delay_s = 0.0
    await _renew(clock, rights)
    assert right.lost
    assert not right.holds


async def test_one_call_renews_all_and_what_is_lost_is_not_asked_for_again() -> None:
    clock = DrivenClock()
    leases = _Leases(clock)
    rights = Rights(leases, "one", clock, SHARING)
    held = [await _right(rights, f"feed {number}") for number in range(5)]
    await leases.release(held[2].lease)
    await rights.renew()
    assert [right.lost for right in held] == [False, False, True, False, False]
    await rights.release(held[0])
    again = await _right(rights, "feed 1")
    assert held[1].lost, "another one is in its place"
    assert again.lease.token > held[1].lease.token
    await rights.renew()
    assert leases.renewals == [5, 3]
    leases.away = True
    await rights.renew()
    assert again.unreachable
    assert not again.lost


async def test_where_some_can_not_be_renewed_the_others_are() -> None:
    clock = DrivenClock()
    leases = _Leases(clock)
    rights = Rights(leases, "one", clock, SHARING)
    first, second = [await _right(rights, name) for name in ("first", "second")]
    leases.unknown = {"second"}
    for _ in range(6):
        await clock.advance(SHARING.lease_s / 4)
        await rights.renew()
    assert first.holds
    assert not first.unreachable
    assert not second.holds
    assert second.unreachable
    assert not second.lost
    leases.unknown = set()
    await rights.renew()
    assert second.holds

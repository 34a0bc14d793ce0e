"""Every keeper of leases keeps its promises."""

from __future__ import annotations

from tradewright.storage.memory_leases import MemoryLeases
from tradewright.testing.clock import DrivenClock
from tradewright.testing.leases import check_leases


async def test_leases_in_memory_keep_the_contract() -> None:
    clock = DrivenClock()
    await check_leases(MemoryLeases(clock), wait=clock.advance)

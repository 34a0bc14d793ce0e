"""Every message bus keeps its promises."""

from __future__ import annotations

from tradewright.storage.memory_bus import MemoryBus
from tradewright.testing.buses import check_message_bus


async def test_the_bus_in_memory_keeps_the_contract() -> None:
    bus = MemoryBus(buffered_max=500)
    await check_message_bus(bus, overflow=501)
    assert not bus.channels, "nothing stays behind when all have left"

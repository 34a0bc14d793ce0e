"""Every message bus keeps its promises."""

from __future__ import annotations

from tradewright.runtime.clock import SystemClock
from tradewright.runtime.ids import new_id
from tradewright.storage.memory_bus import MemoryBus
from tradewright.storage.redis.address import RedisAddress
from tradewright.storage.redis.bus import RedisBus
from tradewright.testing.buses import check_message_bus


async def test_the_bus_in_memory_keeps_the_contract() -> None:
    bus = MemoryBus(buffered_max=500)
    await check_message_bus(bus, overflow=501)
    assert not bus.channels, "nothing stays behind when all have left"


async def test_the_bus_in_redis_keeps_the_contract(redis_url: str) -> None:
    bus = RedisBus(RedisAddress.of_url(redis_url), SystemClock(), prefix=new_id(), buffered_max=500)
    await check_message_bus(bus, overflow=501)
    assert not bus.channels, "nothing stays behind when all have left"
    assert (bus.lost, bus.losses) == (0, 0)
    await bus.close()


async def test_the_bus_keeps_the_contract_while_redis_is_away() -> None:
    bus = RedisBus(RedisAddress("127.0.0.1", 1), SystemClock(), buffered_max=500)
    await check_message_bus(bus, overflow=501)
    assert bus.alone
    await bus.close()


async def test_two_prefixes_are_two_buses(redis_url: str) -> None:
    address, clock = RedisAddress.of_url(redis_url), SystemClock()
    one, other = (RedisBus(address, clock, prefix=new_id()) for _ in range(2))
    async with one.subscribe("a") as mine, other.subscribe("a") as theirs:
        await one.publish("a", b"one")
        await other.publish("a", b"other")
        assert await anext(aiter(mine)) == b"one"
        assert await anext(aiter(theirs)) == b"other"
    await one.close()
    await other.close()

"""Every keeper of leases keeps its promises."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from tradewright.domain.ports import LeasesUnavailable
from tradewright.runtime.clock import SystemClock
from tradewright.runtime.ids import new_id
from tradewright.storage.memory_leases import MemoryLeases
from tradewright.storage.redis.address import RedisAddress
from tradewright.storage.redis.leases import RedisLeases
from tradewright.testing.clock import DrivenClock
from tradewright.testing.leases import check_leases


async def test_leases_in_memory_keep_the_contract() -> None:
    clock = DrivenClock()
    await check_leases(MemoryLeases(clock), wait=clock.advance)


async def test_leases_in_redis_keep_the_contract(redis_url: str) -> None:
    address = RedisAddress.of_url(redis_url)
    leases = RedisLeases(address, SystemClock(), prefix=new_id(), deadline_s=10)
    await check_leases(leases, wait=asyncio.sleep)
    await leases.close()
    with pytest.raises(LeasesUnavailable):
        await leases.acquire("closed", "A", 1)
    async with Redis.from_url(redis_url) as admin:
        await admin.flushdb()  # the last token of each name would stay for a day

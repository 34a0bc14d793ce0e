"""What ``tradewright doctor`` looks at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tradewright.app import open_stores
from tradewright.app_extensions.doctor import Finding, look_around
from tradewright.app_extensions.people import PeopleDatabases, people_of
from tradewright.app_extensions.redis_manager import RedisManager
from tradewright.config import BaseConfig
from tradewright.domain.ports import BarStore, Cache
from tradewright.runtime.clock import SystemClock


async def examine(config: BaseConfig) -> AsyncIterator[Finding]:
    """What ``tradewright doctor`` tells of a server of this configuration."""
    clock = SystemClock()

    @asynccontextmanager
    async def open_bars() -> AsyncIterator[BarStore]:
        async with open_stores(config) as (bars, _):
            yield bars

    @asynccontextmanager
    async def open_cache() -> AsyncIterator[Cache]:
        redis = RedisManager(config.redis_url or "", clock)
        try:
            await redis.ping()
            yield redis.cache
        finally:
            await redis.close()

    @asynccontextmanager
    async def open_people() -> AsyncIterator[PeopleDatabases]:
        people = people_of(config, clock)
        try:
            yield people
        finally:
            await people.close()

    async def message_problem() -> str | None:
        redis = RedisManager(config.redis_url or "", clock)
        try:
            return await redis.message_problem()
        finally:
            await redis.close()

    cache, messages = (open_cache, message_problem) if config.redis_url else (None, None)
    async for finding in look_around(config, open_bars, cache, messages, open_people):
        yield finding

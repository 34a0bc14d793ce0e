"""What ``tradewright doctor`` looks at: everything that a server of this configuration would stand on."""

from __future__ import annotations

import asyncio
import os
import platform
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tradewright import __version__
from tradewright.app_extensions.people import PeopleDatabases
from tradewright.config import BaseConfig
from tradewright.domain.errors import TradewrightError
from tradewright.domain.ports import BarStore, Cache
from tradewright.plugins import PluginLoader
from tradewright.storage.people import PeopleDatabase

BARS_DEADLINE_S: Final = 10
"""A server waits longer for a database that is still starting; who asks the doctor wants an answer."""

State: TypeAlias = Literal["ok", "degraded", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``detail`` is a sentence without secrets."""

    name: str
    state: State
    detail: str


async def look_around(
    config: BaseConfig,
    open_bars: Callable[[], AbstractAsyncContextManager[BarStore]],
    open_cache: Callable[[], AbstractAsyncContextManager[Cache]] | None,
    message_problem: Callable[[], Awaitable[str | None]] | None,
    make_people: Callable[[], AbstractAsyncContextManager[PeopleDatabases]],
) -> AsyncIterator[Finding]:
    """Look at each thing in turn; none of them stops the others from being looked at."""
    yield Finding("program", "ok", f"tradewright {__version__}, Python {platform.python_version()}")
    yield _data_dir(config)
    if config.database_url is None and not config.data_dir.exists():
        yield Finding("bars", "ok", f"SQLite {sqlite3.sqlite_version}, the file is made at the first start")
    else:
        yield await _bars(open_bars)
    async with make_people() as people:
        for database in people.databases:
            yield await _people_database(database)
    yield await _cache(open_cache)
    yield await _messages(message_problem)
    loader = PluginLoader()
    for broken in loader.broken:
        yield Finding(f"plugin {broken.name}", "degraded", broken.reason)
    for market in loader.markets():
        plugins = ", ".join(kind.get_plugin_key() for kind in loader.plugins(market))
        yield Finding(
            f"market {market}", "ok", f"{len(loader.providers(market))} providers through {plugins}"
        )


def _data_dir(config: BaseConfig) -> Finding:
    path = config.data_dir
    if not path.exists():
        return Finding("data directory", "ok", f"{path} is made at the first start")
    if not os.access(path, os.W_OK | os.X_OK):
        return Finding("data directory", "broken", f"{path} can't be written to")
    disk = os.statvfs(path)
    return Finding("data directory", "ok", f"{path}, {disk.f_bavail * disk.f_frsize // 2**20:,} MiB free")


async def _bars(open_bars: Callable[[], AbstractAsyncContextManager[BarStore]]) -> Finding:
    try:
        async with asyncio.timeout(BARS_DEADLINE_S), open_bars() as bars:
            await bars.check()
            found = await bars.describe()
    except TradewrightError as error:
        return Finding("bars", "broken", error.message)
    except TimeoutError:
        return Finding("bars", "broken", f"The database did not answer within {BARS_DEADLINE_S} s.")
    return Finding("bars", "ok", found.detail)


async def _people_database(database: PeopleDatabase) -> Finding:
    name = database.layout.name
    if not await asyncio.to_thread(database.place.is_made):
        return Finding(name, "ok", f"{database.place.kind}, the file is made at the first start")
    try:
        await database.open(BARS_DEADLINE_S)
        await database.check()
    except TradewrightError as error:
        return Finding(name, "broken", error.message)
    return Finding(name, "ok", f"{database.place.kind} at {database.place.name}")


async def _cache(open_cache: Callable[[], AbstractAsyncContextManager[Cache]] | None) -> Finding:
    if open_cache is None:
        return Finding("cache", "ok", "in memory; TRADEWRIGHT_REDIS_URL names a Redis to share one")
    try:
        async with open_cache() as cache:
            await cache.get_many(["doctor"])
    except TradewrightError as error:
        return Finding("cache", "degraded", f"{error.message} The server works without it, but slower.")
    return Finding("cache", "ok", "Redis answers")


async def _messages(problem_of: Callable[[], Awaitable[str | None]] | None) -> Finding:
    if problem_of is None:
        return Finding("messages", "ok", "in this process; a Redis would carry them between servers")
    problem = await problem_of()
    if problem is not None:
        return Finding("messages", "degraded", f"{problem} The server works without it, but alone.")
    return Finding("messages", "ok", "through Redis")

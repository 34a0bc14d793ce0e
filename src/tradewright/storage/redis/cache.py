"""The cache in Redis, shared by all processes that use the same one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import hiredis
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from tradewright.domain.ports import Cache, CacheRefused, CacheUnavailable
from tradewright.runtime.clock import Clock
from tradewright.storage.redis.client import client_at

DEADLINE_S: Final = 0.25
WRITE_ATTEMPTS: Final = 3
VALUE_BYTES_MAX: Final = 1024 * 1024
PREFIX: Final = "tradewright"
NODES_MAX: Final = 1_000
_FAILURES: Final = (exceptions.RedisError, OSError, EOFError, UnicodeError)

Answer = TypeVar("Answer")


class RedisCache(Cache):
    """One MGET for a read, one pipeline of SET for a write.

    A read is tried once. A write whose connection broke is tried anew, since a restart of the server
    leaves broken connections behind; both end within ``deadline_s``. A value longer than
    ``value_bytes_max`` is not kept, and what was kept under its key is removed. Keys get ``prefix``, for a
    Redis that others use too: two deployments with databases of their own need prefixes of their own.

    In a cluster all keys are on one node, so that one command reads many; the cache finds that node, and
    anew when it moves.
    """

    def __init__(
        self,
        client: Redis,
        clock: Clock,
        *,
        prefix: str = PREFIX,
        deadline_s: float = DEADLINE_S,
        value_bytes_max: int = VALUE_BYTES_MAX,
    ) -> None:
        self._first = self._client = client
        self._clients = {("", 0): client}
        self._clock = clock
        self._prefix = prefix + ":{cache}:"  # what is in braces chooses the node
        self._deadline_s = deadline_s
        self._value_bytes_max = value_bytes_max
        self._closed = False
        # Of the pool, but not given back after a read: lending it anew took a fifth of a hit's time.
        self._at_hand: AbstractConnection | None = None

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The value of each key, None where there is none."""
        if not keys:
            return []
        self._check_open()
        try:
            # A call has several steps: a place in the pool, connecting, logging in, sending, reading.
            async with asyncio.timeout(self._deadline_s):
                values = await self._at_home(partial(self._read, [self._prefix + key for key in keys]))
        except _FAILURES as error:
            await self._use(self._first)  # another node may have the keys by now, and this one knows which
            raise _unavailable(error) from None
        if not isinstance(values, list) or len(values) != len(keys):
            raise CacheUnavailable("What answers at that address is no Redis.")
        return values

    async def set_many(self, items: Mapping[str, bytes], ttl_s: float) -> None:
        """Keep the values for at most ``ttl_s`` seconds."""
        if not items:
            return
        self._check_open()
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._at_home(partial(self._write, items, max(1, round(ttl_s * 1000))))
        except _FAILURES as error:
            await self._use(self._first)  # another node may have the keys by now, and this one knows which
            raise _unavailable(error) from None

    async def ping(self) -> None:
        """Return where the server answers; else ``CacheUnavailable``."""
        await self.get_many(["ping"])

    async def close(self) -> None:
        """Close every connection; what is under way fails."""
        self._closed = True
        for client in self._clients.values():
            await client.aclose()

    def _check_open(self) -> None:
        # The client would connect anew, and nobody would close that.
        if self._closed:
            raise CacheUnavailable("The cache is closed.")

    async def _at_home(self, work: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            return await work()
        except exceptions.MovedError as moved:
            place = (str(moved.host), int(moved.port))
            if place not in self._clients and len(self._clients) < NODES_MAX:
                self._clients[place] = client_at(self._first, *place)
            await self._use(self._clients.get(place, self._first))
            return await work()

    async def _use(self, client: Redis) -> None:
        if client is self._client:
            return
        pool, connection = self._client.connection_pool, self._at_hand
        self._client, self._at_hand = client, None
        if connection is not None:
            await pool.release(connection)

    async def _read(self, names: list[str]) -> object:
        # What ``Redis.mget`` does besides costs as much as everything else that a hit takes.
        # Its stub allows for one word alone.
        command = hiredis.pack_command(("MGET", *names))  # type: ignore[arg-type]
        pool = self._client.connection_pool
        connection = await self._reader()
        try:
            await connection.send_packed_command(command)
            return await connection.read_response()
        finally:
            if self._at_hand is None and not self._closed and pool is self._client.connection_pool:
                self._at_hand = connection
            else:
                await pool.release(connection)

    async def _reader(self) -> AbstractConnection:
        """A connection that is ready: the one at hand, or where that is in use or broken one of the pool."""
        pool = self._client.connection_pool
        connection, self._at_hand = self._at_hand, None
        if connection is not None:
            if connection.is_connected and not await connection.can_read():
                return connection
            await pool.release(connection)
        taken: AbstractConnection = await pool.get_connection()  # type: ignore[no-untyped-call]
        return taken

    async def _write(self, items: Mapping[str, bytes], ttl_ms: int) -> None:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((exceptions.ConnectionError, OSError)),
            stop=stop_after_attempt(WRITE_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.01, max=0.05),
            sleep=self._clock.sleep,
            reraise=True,
        ):
            with attempt:
                async with self._client.pipeline(transaction=False) as pipeline:
                    for key, value in items.items():
                        if len(value) <= self._value_bytes_max:
                            pipeline.set(self._prefix + key, value, px=ttl_ms)
                        else:
                            pipeline.delete(self._prefix + key)
                    await pipeline.execute()


def _unavailable(error: Exception) -> CacheUnavailable:
    """What happened, without what the driver says, which may hold addresses."""
    if isinstance(error, TimeoutError | exceptions.TimeoutError):
        return CacheUnavailable("Redis did not answer in time.")
    if isinstance(error, exceptions.AuthenticationError):
        return CacheUnavailable("Redis did not accept the user or the password.")
    if isinstance(error, exceptions.BusyLoadingError):
        return CacheUnavailable("Redis is loading its data.")
    if isinstance(error, exceptions.ResponseError):
        return CacheRefused(f"Redis refused: {_reason(error)}.")
    if isinstance(error, exceptions.InvalidResponse):
        return CacheUnavailable("What answers at that address is no Redis.")
    return CacheUnavailable("Redis can't be reached.")


def _reason(error: exceptions.ResponseError) -> str:
    if isinstance(error, exceptions.OutOfMemoryError):
        return "its memory is full"
    if isinstance(error, exceptions.ReadOnlyError):
        return "it may only be read"
    if isinstance(error, exceptions.NoPermissionError):
        return "this user may not do that"
    return "it reports an error"

"""A Redis that is down, killed, frozen, flushed, full or something else costs time, never values."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from tests.support.cache_load import MARKET, START_MS, eventually, load, truth
from tools.private_servers import OwnRedis
from tradewright.app_extensions.redis_manager import RedisManager
from tradewright.domain.errors import ConfigError
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import CacheRefused, CacheUnavailable, Coverage
from tradewright.domain.timeframes import MINUTE_MS
from tradewright.runtime.clock import SystemClock
from tradewright.runtime.metrics import Metrics
from tradewright.services.cache_manager import NOTHING, CacheManager
from tradewright.storage.redis.cache import RedisCache
from tradewright.storage.redis.client import make_client

pytestmark = pytest.mark.alone

# Figures are those of the promise (350 ms; 5 s) with room for a machine that is several times slower.
SLOWEST_S = 1.0
BACK_S = 10.0
KILLS = 4


@asynccontextmanager
async def managed(url: str, metrics: Metrics | None = None) -> AsyncIterator[CacheManager]:
    """Open what the server has between its sources and Redis."""
    redis = RedisManager(url, SystemClock(), metrics.cache if metrics else None)
    await redis.open()
    manager = CacheManager(redis.cache, SystemClock(), metrics.cache if metrics else None)
    try:
        yield manager
    finally:
        await manager.close()
        await redis.close()


async def fill(manager: CacheManager) -> None:
    """Store a thousand minutes."""
    end_ms = START_MS + 1_000 * MINUTE_MS
    covered = Coverage(IntervalSet.single(START_MS, end_ms))
    await manager.store_1m_bars(MARKET, 0, truth(0).between(START_MS, end_ms), covered)


def closed_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_the_server_opens_without_redis_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    url = f"redis://user:pass-word@127.0.0.1:{closed_port()}/0"
    manager = RedisManager(url, SystemClock())
    async with asyncio.timeout(10):
        await manager.open()
    assert await manager.problem() == "Redis can't be reached."
    cached = CacheManager(manager.cache, SystemClock())
    for _ in range(20):
        await fill(cached)
        assert await cached.get_1m_bars(MARKET, 0, START_MS, START_MS + MINUTE_MS) == NOTHING
    await manager.close()
    await manager.close()
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 2, "once at the start, once when it is first left alone"
    assert "pass-word" not in caplog.text


async def test_a_redis_that_comes_late_is_used(own_redis: OwnRedis) -> None:
    own_redis.kill()
    async with managed(own_redis.url) as manager, load(manager) as users:
        await eventually(lambda: len(users.gets_s) > 100, "the load goes on without Redis")
        own_redis.start()
        assert await users.until_hit() < BACK_S
        assert users.wrong == 0


async def test_a_redis_that_is_killed_again_and_again(own_redis: OwnRedis) -> None:
    async with managed(own_redis.url) as manager, load(manager) as users:
        for revision in range(KILLS):
            users.revision = revision % 3
            await users.until_hit()
            own_redis.kill()
            users.slowest()
            await eventually(lambda: len(users.gets_s) > 300, "the load goes on")
            assert users.slowest() < SLOWEST_S
            own_redis.start()
            assert await users.until_hit() < BACK_S
        assert users.wrong == 0


async def test_a_frozen_redis_costs_one_deadline_and_then_nothing(
    own_redis: OwnRedis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    metrics = Metrics()
    async with managed(own_redis.url, metrics) as manager:
        await fill(manager)
        async with load(manager, workers=1) as users:
            await users.until_hit()
            own_redis.freeze()
            users.slowest()
            await eventually(lambda: len(users.gets_s) > 2_000, "the load goes on")
            slow = [taken_s for taken_s in users.gets_s if taken_s > 0.2]
            assert len(slow) < 10, "only the first to find it frozen waits; probes wait behind the scenes"
            assert users.slowest(1.0) < SLOWEST_S
            assert b'tradewright_cache_breaker_open{operation="get"} 1.0' in metrics.render()
            own_redis.thaw()
            assert await users.until_hit() < BACK_S
            assert users.wrong == 0
        assert b'tradewright_cache_breaker_open{operation="get"} 0.0' in metrics.render()
    said = [record.message for record in caplog.records if record.name.startswith("tradewright")]
    assert len(said) == 2, said
    assert "goes on without it" in said[0]
    assert "works again" in said[1]


async def test_many_readers_of_a_frozen_redis_end_in_time(own_redis: OwnRedis) -> None:
    cache = RedisCache(make_client(own_redis.url), SystemClock())
    await cache.ping()
    own_redis.freeze()
    began_s = asyncio.get_running_loop().time()
    outcomes = await asyncio.gather(
        *(cache.get_many([str(number)]) for number in range(200)),
        *(cache.set_many({str(number): bytes(50_000)}, 60) for number in range(50)),
        return_exceptions=True,
    )
    assert asyncio.get_running_loop().time() - began_s < SLOWEST_S
    assert {type(outcome) for outcome in outcomes} == {CacheUnavailable}
    own_redis.thaw()
    await reachable(cache)
    await cache.close()


async def reachable(cache: RedisCache) -> None:
    """Wait until Redis answers again."""
    async with asyncio.timeout(30):
        while True:
            try:
                await cache.ping()
            except CacheUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


async def test_flushing_all_the_time_never_makes_an_answer_wrong(own_redis: OwnRedis) -> None:
    admin = Redis.from_url(own_redis.url)
    async with managed(own_redis.url) as manager, load(manager) as users:
        for _ in range(30):
            await users.until_hit()
            await admin.flushall()
            users.revision = (users.revision + 1) % 3
        assert users.hits >= 30
        assert users.wrong == 0
    await admin.aclose()


@pytest.mark.parametrize(
    ("fault", "cure"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    ],
    ids=["full", "read-only"],
)
async def test_a_redis_that_takes_no_values_is_still_read(
    own_redis: OwnRedis, fault: tuple[str, ...], cure: tuple[str, ...]
) -> None:
    admin = Redis.from_url(own_redis.url)
    redis = RedisManager(own_redis.url, SystemClock())
    manager = CacheManager(redis.cache, SystemClock())
    await fill(manager)
    whole = START_MS, START_MS + 1_000 * MINUTE_MS
    await command(admin, *fault)
    with pytest.raises(CacheRefused):
        await redis.cache.set_many({"key": b"value"}, 60)
    for revision in range(1, 10):
        await manager.store_1m_bars(MARKET, revision, truth(0), Coverage(IntervalSet.single(*whole)))
        found = await manager.get_1m_bars(MARKET, 0, *whole)
        assert found.bars.equals(truth(0).between(*whole))
    await command(admin, *cure)
    async with asyncio.timeout(BACK_S):
        while not (await manager.get_1m_bars(MARKET, 1, *whole)).coverage.known:
            await manager.store_1m_bars(
                MARKET, 1, truth(1).between(*whole), Coverage(IntervalSet.single(*whole))
            )
            await asyncio.sleep(0.02)
    await redis.close()
    await admin.aclose()


async def command(admin: Redis, *words: str) -> None:
    """Run one command by its words."""
    await admin.execute_command(*words)  # type: ignore[no-untyped-call]


def answers_http(received: bytes) -> bytes | None:
    """Answer as a web server does."""
    return b"HTTP/1.1 400 Bad Request\r\n\r\n"


def answers_nothing(received: bytes) -> bytes | None:
    """Close the connection."""
    return None


def answers_half(received: bytes) -> bytes | None:
    """Begin an answer that never ends."""
    return b"+OK\r\n*1\r\n$1000000\r\nabc" if b"AUTH" in received else b"*1\r\n$1000000\r\nabc"


def answers_less(received: bytes) -> bytes | None:
    """Answer with fewer values than were asked for, or none."""
    return b"+OK\r\n" if b"AUTH" in received else b"*0\r\n"


def refuses(received: bytes) -> bytes | None:
    """Refuse whatever is asked, with words that no log shall hold."""
    return b"-ERR secret-words\r\n"


@pytest.mark.parametrize("answer", [answers_http, answers_nothing, answers_half, answers_less, refuses])
async def test_what_is_no_redis_is_no_cache(answer: Callable[[bytes], bytes | None]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while received := await reader.read(65_536):
            reply = answer(received)
            if reply is None:
                break
            writer.write(reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    cache = RedisCache(make_client(f"redis://:word@127.0.0.1:{port}/0"), SystemClock())
    async with asyncio.timeout(10):
        for _ in range(3):
            with pytest.raises(CacheUnavailable) as caught:
                await cache.get_many(["a", "b"])
            with contextlib.suppress(CacheUnavailable):
                await cache.set_many({"a": b"1"}, 60)
            assert "secret" not in caught.value.message
        await cache.close()
        server.close()
        await server.wait_closed()


async def test_a_wrong_password_is_told_without_it(own_redis: OwnRedis) -> None:
    port = own_redis.url.rsplit(":", 1)[1]
    cache = RedisCache(make_client(f"redis://:wrong-word@127.0.0.1:{port}"), SystemClock())
    with pytest.raises(CacheUnavailable, match="did not accept") as caught:
        await cache.get_many(["a"])
    assert "wrong-word" not in str(caught.value)
    await cache.close()


async def test_no_answer_reaches_another_call_when_calls_are_given_up(own_redis: OwnRedis) -> None:
    cache = RedisCache(
        make_client(own_redis.url, step_timeout_s=None, connections_max=2), SystemClock(), deadline_s=10
    )
    values = {f"given-up:{number}": b"%d" % number * 2_000 for number in range(50)}
    await cache.set_many(values, 60)

    async def one(key: str, rounds: int) -> None:
        task = asyncio.create_task(cache.get_many([key]), name=key)
        for _ in range(rounds):
            await asyncio.sleep(0)
        task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        assert isinstance(outcome, asyncio.CancelledError) or outcome == [values[key]]

    for rounds in range(12):
        await asyncio.gather(*(one(key, rounds) for key in values))
        assert await cache.get_many(list(values)) == list(values.values())
    await cache.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgresql://:pass-word@127.0.0.1/0",
        "redis://:pass-word@127.0.0.1:port/0",
        "redis://:pass-word@127.0.0.1:99999/0",
        "redis://:pass-word@127.0.0.1/0?no_such_option=1",
        "redis://:pass-word@[::1/0",
    ],
)
def test_a_url_that_is_none_is_told_without_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RedisManager(url, SystemClock())
    assert "TRADEWRIGHT_REDIS_URL" in str(caught.value)
    assert "pass-word" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_what_a_url_says_does_not_lengthen_the_deadlines(own_redis: OwnRedis) -> None:
    cache = RedisCache(make_client(own_redis.url + "?socket_timeout=60&timeout=60"), SystemClock())
    await cache.ping()
    own_redis.freeze()
    async with asyncio.timeout(10):
        with pytest.raises(CacheUnavailable, match="in time"):
            await cache.ping()
        await cache.close()

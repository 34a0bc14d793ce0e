"""A Redis that is down, killed, frozen, or closes connections costs messages, and each loss is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial

import pytest
import uvloop
from redis.asyncio import Redis

from tests.support.bus_faults import Kind, break_redis
from tests.support.bus_load import BusLoad, bus_load, eventually
from tests.support.client_states import STATES_OF_A_FAULT, ClientStates
from tools.private_servers import OwnRedis
from tradewright.domain.ports import BusGap, Lease, LeasesUnavailable
from tradewright.runtime.clock import SystemClock
from tradewright.runtime.metrics import Metrics
from tradewright.storage.redis.address import RedisAddress
from tradewright.storage.redis.bus import RedisBus
from tradewright.storage.redis.leases import RedisLeases

pytestmark = pytest.mark.alone

# The promises are 5 s to be back and 10 s to be told, with room for a machine that is slower.
BACK_S = 8.0
TOLD_S = 10.0


def check(load: BusLoad) -> None:
    """Nothing came twice, out of order, or was lost without a word."""
    assert load.received
    assert load.disorder == 0
    assert load.unannounced() == 0


async def kill_client(url: str, which: int) -> None:
    """Let Redis close the connection of one of the buses, the oldest being number 0."""
    async with Redis.from_url(url) as admin:
        clients = [each for each in await admin.client_list() if each["name"] == "tradewright"]
        await admin.client_kill_filter(_id=clients[which]["id"])


async def test_a_redis_that_is_killed_is_left_and_found_again(
    own_redis: OwnRedis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with bus_load(own_redis.url) as load:
        for _ in range(2):
            await load.until_all_hear()
            gaps = load.gaps()
            own_redis.kill()
            await eventually(lambda: all(bus.alone for bus in load.buses), "the loss is seen")
            assert await load.until_own_heard() < 1.0, "each server goes on alone"
            own_redis.start()
            assert await load.until_all_hear() < BACK_S
            assert await load.until_told(gaps) < TOLD_S
        check(load)
        assert all(bus.lost and bus.losses == 2 for bus in load.buses)
    said = [record.getMessage() for record in caplog.records if "other servers" in record.getMessage()]
    assert len(said) == 8, "two servers say two times that they are alone, and that they are not"


async def test_a_frozen_redis_is_noticed(own_redis: OwnRedis) -> None:
    async with bus_load(own_redis.url) as load:
        await load.until_all_hear()
        gaps, began_s = load.gaps(), load.clock.monotonic()
        own_redis.freeze()
        await eventually(lambda: all(bus.alone for bus in load.buses), "the silence is seen")
        assert load.clock.monotonic() - began_s < TOLD_S
        assert await load.until_own_heard() < 1.0, "each server goes on alone"
        own_redis.thaw()
        assert await load.until_all_hear() < BACK_S
        assert await load.until_told(gaps) < TOLD_S
        check(load)


async def test_a_redis_that_stands_still_for_a_moment_costs_nothing(own_redis: OwnRedis) -> None:
    async with bus_load(own_redis.url) as load:
        await load.until_all_hear()
        own_redis.freeze()
        await load.clock.sleep(0.5)
        own_redis.thaw()
        assert await load.until_all_hear() < BACK_S
        check(load)
        assert not any(load.gaps().values())
        assert not any(bus.lost for bus in load.buses)


async def test_closed_connections_are_told_and_made_anew(own_redis: OwnRedis) -> None:
    async with bus_load(own_redis.url) as load:
        for which in (0, 1, 0):
            await load.until_all_hear()
            losses = load.losses
            gaps = sum(load.gaps().values())
            await kill_client(own_redis.url, which)
            await eventually(partial(load.has_lost_more_than, losses), "it is seen")
            assert await load.until_all_hear() < BACK_S
            assert sum(load.gaps().values()) >= gaps + len(load.listeners) // 2
        check(load)


def test_a_share_of_the_faults_on_the_loop_of_the_server(own_redis: OwnRedis) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        share: dict[Kind, int] = {"killed": 2, "closed": 4}
        for kind, times in share.items():
            outcome = runner.run(break_redis(own_redis, kind, times, 11))
            assert outcome.received
            assert outcome.lost
            assert (outcome.unannounced, outcome.disorder) == (0, 0)
            assert outcome.told_s < TOLD_S
            assert outcome.back_s < BACK_S


async def test_a_publisher_is_told_that_messages_may_be_lost(own_redis: OwnRedis) -> None:
    told = asyncio.Event()
    publisher, listener = (RedisBus(RedisAddress.of_url(own_redis.url), SystemClock()) for _ in range(2))
    publisher.on_publish_lost(told.set)
    async with listener.subscribe("a") as subscription, asyncio.timeout(30):
        await publisher.publish("a", b"while it connects")
        await told.wait()
        told.clear()
        await publisher.publish("a", b"1")
        messages = aiter(subscription)
        assert await anext(messages) == b"1"
        own_redis.freeze()
        await publisher.publish("a", b"2")
        await eventually(lambda: publisher.alone, "the silence is seen")
        assert publisher.lost == 2
        own_redis.kill()
        own_redis.start()
        await told.wait()
        with pytest.raises(BusGap):
            await anext(messages)
        await publisher.publish("a", b"3")
        assert await anext(messages) == b"3"
    await publisher.close()
    await listener.close()


async def test_a_subscription_of_the_time_without_redis_begins_with_its_loss(own_redis: OwnRedis) -> None:
    own_redis.kill()
    bus = RedisBus(RedisAddress.of_url(own_redis.url), SystemClock())
    async with asyncio.timeout(30), bus.subscribe("a") as early:
        await bus.publish("a", b"alone")
        messages = aiter(early)
        assert await anext(messages) == b"alone"
        own_redis.start()
        with pytest.raises(BusGap):
            await anext(messages)
        async with bus.subscribe("a") as late:
            await bus.publish("a", b"together")
            assert await anext(messages) == b"together"
            assert await anext(aiter(late)) == b"together"
    await bus.close()


async def test_what_others_may_have_said_is_told_before_what_is_said_alone(own_redis: OwnRedis) -> None:
    metrics = Metrics()
    bus = RedisBus(RedisAddress.of_url(own_redis.url), SystemClock(), metrics.bus)
    async with asyncio.timeout(30), bus.subscribe("a") as subscription:
        messages = aiter(subscription)
        await bus.publish("a", b"together")
        assert await anext(messages) == b"together"
        own_redis.kill()
        await eventually(lambda: bus.alone, "the loss is seen")
        await bus.publish("a", b"alone")
        with pytest.raises(BusGap):
            await anext(messages)
        await bus.publish("a", b"still alone")
        assert [await anext(messages) for _ in range(2)] == [b"alone", b"still alone"]
        assert bus.lost == 2
        assert bus.problem is not None
        told = metrics.render()
        assert b"tradewright_bus_lost_messages_total 2.0" in told
        assert b"tradewright_bus_lost_connections_total 1.0" in told
        assert b"tradewright_bus_alone 1.0" in told
    await bus.close()


async def test_thousands_of_channels_are_joined_together(own_redis: OwnRedis) -> None:
    bus = RedisBus(RedisAddress.of_url(own_redis.url), SystemClock())
    entered, leave = 0, asyncio.Event()

    async def listen(number: int) -> None:
        nonlocal entered
        async with bus.subscribe(f"many:{number}") as subscription:
            entered += 1
            assert await anext(aiter(subscription)) == b"%d" % number
            await leave.wait()

    async with Redis.from_url(own_redis.url) as admin, asyncio.TaskGroup() as group:
        for number in range(3_000):
            group.create_task(listen(number), name="listener")
        await eventually(lambda: entered == 3_000, "all are subscribed")
        before = (await admin.info("commandstats"))["cmdstat_subscribe"]["calls"]
        assert before <= 10
        for number in range(3_000):
            await bus.publish(f"many:{number}", b"%d" % number)
        leave.set()
    async with Redis.from_url(own_redis.url) as admin, bus.subscribe("another"):
        assert len(await admin.pubsub_channels()) == 1
    await bus.close()


async def test_leases_end_in_time_whatever_redis_does(own_redis: OwnRedis) -> None:
    clock = SystemClock()
    leases = RedisLeases(RedisAddress.of_url(own_redis.url), clock)
    held = await until_acquired(leases)
    own_redis.freeze()
    for _ in range(3):
        began_s = clock.monotonic()
        with pytest.raises(LeasesUnavailable):
            await leases.renew([held], 60)
        assert clock.monotonic() - began_s < 1.0
    own_redis.kill()
    with pytest.raises(LeasesUnavailable):
        await leases.acquire("a", "A", 60)
    own_redis.start()
    later = await until_acquired(leases)
    assert later.token > held.token, "tokens rise though Redis has forgotten all"
    assert await leases.renew([held, later], 60) == [False, True]
    await leases.close()


async def until_acquired(leases: RedisLeases) -> Lease:
    """Acquire a lease as soon as there is somebody to give it."""
    async with asyncio.timeout(30):
        while True:
            try:
                lease = await leases.acquire("a", "A", 60)
            except LeasesUnavailable:
                await asyncio.sleep(0.05)
                continue
            assert lease is not None
            return lease


async def test_a_wrong_password_is_told_without_it(
    own_redis: OwnRedis, caplog: pytest.LogCaptureFixture
) -> None:
    port = own_redis.url.rsplit(":", 1)[1]
    address = RedisAddress.of_url(f"redis://:wrong-word@127.0.0.1:{port}")
    bus, leases = RedisBus(address, SystemClock()), RedisLeases(address, SystemClock(), deadline_s=10)
    with pytest.raises(LeasesUnavailable, match="did not accept"):
        await leases.acquire("a", "A", 1)
    async with bus.subscribe("a"):
        assert bus.alone
    assert "did not accept" in caplog.text
    assert "wrong-word" not in caplog.text + repr(address)
    await bus.close()
    await leases.close()


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"+OK\r\n", b">0\r\n", b":1\r\n:2\r\n"]
)
async def test_what_is_no_redis_is_no_bus(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(65_536):
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = RedisAddress("127.0.0.1", server.sockets[0].getsockname()[1])
    bus = RedisBus(address, SystemClock())
    async with asyncio.timeout(10), bus.subscribe("a") as subscription:
        await bus.publish("a", b"alone")
        assert await anext(aiter(subscription)) == b"alone"
    await bus.close()
    server.close()
    await server.wait_closed()


async def test_a_user_who_may_not_listen_is_told_so_and_goes_on_alone(own_redis: OwnRedis) -> None:
    async with Redis.from_url(own_redis.url) as admin:
        rights = ("~*", "&others:*", "+hello", "+ping", "+publish", "+subscribe")
        await admin.execute_command("ACL", "SETUSER", "someone", "on", ">word", *rights)  # type: ignore[no-untyped-call]
    port = own_redis.url.rsplit(":", 1)[1]
    address = RedisAddress.of_url(f"redis://someone:word@127.0.0.1:{port}")
    bus = RedisBus(address, SystemClock())
    async with asyncio.timeout(10), bus.subscribe("a") as subscription:
        await eventually(lambda: bus.problem is not None, "the refusal is known")
        assert bus.problem == "Redis refused: this user may not do that."
        await bus.publish("a", b"alone")
        messages = aiter(subscription)
        while await next_or_gap(messages) != b"alone":
            continue
    await bus.close()


async def test_a_redis_that_loads_its_data_is_waited_for() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting = b"%1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"
        while received := await reader.read(65_536):
            writer.write(greeting if b"HELLO" in received else b"-LOADING words of Redis\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    bus = RedisBus(RedisAddress("127.0.0.1", server.sockets[0].getsockname()[1]), SystemClock())
    async with asyncio.timeout(10), bus.subscribe("a"):
        assert bus.problem == "Redis is loading its data."
    await bus.close()
    server.close()
    await server.wait_closed()


async def test_clients_have_what_the_market_has_after_closed_connections_though_nothing_follows(
    own_redis: OwnRedis,
) -> None:
    one = ClientStates("closed", seed=3)
    await one.run(own_redis, 2)
    assert one.resyncs, "something was lost"
    assert one.compared == 2 * STATES_OF_A_FAULT
    assert max(one.true_s) < TOLD_S


async def test_a_host_that_cannot_be_one_is_no_redis() -> None:
    bus = RedisBus(RedisAddress("a" * 70, 6379), SystemClock())
    async with asyncio.timeout(10), bus.subscribe("a"):
        assert bus.problem == "Redis can't be reached."
    await bus.close()


async def next_or_gap(messages: AsyncIterator[bytes]) -> bytes | None:
    """The next message, or None where it is told that some were lost."""
    try:
        return await anext(messages)
    except BusGap:
        return None

"""On a cluster the bus is sharded and the leases are spread; a node may go, and slots may move."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from tests.support.bus_load import bus_load, eventually
from tests.support.own_cluster import OwnCluster, own_cluster
from tradewright.app_extensions.redis_manager import RedisManager
from tradewright.domain.ports import BusGap, LeasesUnavailable
from tradewright.runtime.clock import SystemClock
from tradewright.runtime.ids import new_id
from tradewright.storage.redis.address import RedisAddress
from tradewright.storage.redis.bus import RedisBus
from tradewright.storage.redis.cache import RedisCache
from tradewright.storage.redis.client import make_client
from tradewright.storage.redis.leases import RedisLeases
from tradewright.testing.buses import check_message_bus
from tradewright.testing.caches import LARGE_BYTES, check_cache
from tradewright.testing.leases import check_leases

pytestmark = pytest.mark.alone

BACK_S = 10.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[OwnCluster]:
    """Return a cluster that is whole whenever a test begins."""
    with own_cluster() as cluster:
        yield cluster


async def test_the_bus_on_a_cluster_keeps_the_contract(cluster: OwnCluster) -> None:
    bus = RedisBus(RedisAddress.of_url(cluster.url), SystemClock(), prefix=new_id(), buffered_max=500)
    await check_message_bus(bus, overflow=501)
    await bus.close()


async def test_leases_on_a_cluster_keep_the_contract(cluster: OwnCluster) -> None:
    address = RedisAddress.of_url(cluster.url)
    leases = RedisLeases(address, SystemClock(), prefix=new_id(), deadline_s=10)
    await check_leases(leases, wait=asyncio.sleep)
    await leases.close()


async def test_leases_of_the_nodes_that_are_there_are_renewed(cluster: OwnCluster) -> None:
    prefix, names = new_id(), [f"feed:{number}" for number in range(30)]
    leases = RedisLeases(RedisAddress.of_url(cluster.url), SystemClock(), prefix=prefix, deadline_s=10)
    held = [lease for name in names if (lease := await leases.acquire(name, "A", 600)) is not None]
    assert len(held) == len(names)
    slots = [key_slot(f"{prefix}:lease:{name}".encode()) for name in names]
    gone = [cluster.home(slot) == 1 for slot in slots]
    assert any(gone)
    assert not all(gone)
    await _set_on_all(cluster, "cluster-require-full-coverage", "no")
    cluster.nodes[1].kill()
    try:
        assert await leases.renew(held, 600) == [None if one else True for one in gone]
        with pytest.raises(LeasesUnavailable):
            await leases.renew([lease for lease, one in zip(held, gone, strict=True) if one], 600)
    finally:
        cluster.nodes[1].start()
        await asyncio.to_thread(cluster.wait)
        await _set_on_all(cluster, "cluster-require-full-coverage", "yes")
        await leases.close()


async def _set_on_all(cluster: OwnCluster, name: str, value: str) -> None:
    for node in cluster.nodes:
        async with Redis.from_url(node.url) as admin:
            await admin.config_set(name, value)


async def test_the_cache_on_a_cluster_keeps_the_contract_whatever_node_has_it(cluster: OwnCluster) -> None:
    for node in cluster.nodes:
        client = make_client(node.url, step_timeout_s=10)
        cache = RedisCache(client, SystemClock(), prefix=new_id(), deadline_s=10, value_bytes_max=LARGE_BYTES)
        await check_cache(cache, too_large_bytes=LARGE_BYTES + 1, wait=asyncio.sleep)


async def test_the_cache_follows_its_slot(cluster: OwnCluster) -> None:
    cache = RedisCache(make_client(cluster.url), SystemClock(), prefix="moving", deadline_s=10)
    slot = key_slot(b"cache")
    home = cluster.home(slot)
    for source, target in ((home, (home + 1) % 3), ((home + 1) % 3, home)):
        await asyncio.to_thread(cluster.move_slot, slot, source, target)
        await cache.set_many({"a": b"1"}, 60)
        assert await cache.get_many(["a", "b"]) == [b"1", None]
        async with Redis.from_url(cluster.nodes[target].url) as admin:
            await admin.flushdb()  # so that the slot is empty when it moves again
    await cache.close()


async def test_a_server_on_a_cluster_is_well(cluster: OwnCluster) -> None:
    manager = RedisManager(cluster.nodes[1].url, SystemClock())
    assert await manager.problem() is None
    assert await manager.message_problem() is None
    await manager.close()


async def test_every_node_carries_messages(cluster: OwnCluster) -> None:
    async with bus_load(cluster.url, channels=10) as load:
        await load.until_all_hear()
        assert load.disorder == load.unannounced() == 0
        for node in cluster.nodes:
            async with Redis.from_url(node.url) as admin:
                assert await admin.execute_command("PUBSUB", "SHARDCHANNELS")  # type: ignore[no-untyped-call]


async def test_a_slot_that_moves_is_followed(cluster: OwnCluster) -> None:
    address = RedisAddress.of_url(cluster.url)
    one, other = (
        RedisBus(address, SystemClock(), prefix="moving"),
        RedisBus(address, SystemClock(), prefix="moving"),
    )
    slot = key_slot(b"moving:bus:a")
    home = cluster.home(slot)
    async with asyncio.timeout(30), one.subscribe("a") as mine, other.subscribe("a") as theirs:
        subscriptions = [aiter(mine), aiter(theirs)]
        for target in ((home + 1) % 3, home):
            await one.publish("a", b"before")
            assert [await anext(each) for each in subscriptions] == [b"before"] * 2
            await asyncio.to_thread(
                cluster.move_slot, slot, (home if target != home else (home + 1) % 3), target
            )
            for each in subscriptions:
                with pytest.raises(BusGap):
                    await anext(each)
            await other.publish("a", b"after")
            assert [await anext(each) for each in subscriptions] == [b"after"] * 2
    assert one.losses == other.losses == 0
    await one.close()
    await other.close()


async def test_a_node_that_is_killed_is_found_again(cluster: OwnCluster) -> None:
    async with bus_load(cluster.url, channels=10) as load:
        await load.until_all_hear()
        gaps = load.gaps()
        cluster.nodes[1].kill()
        await eventually(lambda: all(bus.alone for bus in load.buses), "the loss is seen")
        assert await load.until_own_heard() < 10.0, "each server goes on alone"
        cluster.nodes[1].start()
        await asyncio.to_thread(cluster.wait)
        assert await load.until_all_hear() < BACK_S
        assert sum(load.gaps().values()) > sum(gaps.values())
        assert load.received
        assert load.disorder == load.unannounced() == 0

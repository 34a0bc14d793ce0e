"""What the cache in memory keeps, and what it lets go first."""

from __future__ import annotations

from tradewright.storage.memory_cache import MemoryCache
from tradewright.testing.clock import DrivenClock


async def kept(cache: MemoryCache, *keys: str) -> list[str]:
    """Return those of the keys that have a value; asking is using."""
    values = await cache.get_many(keys)
    return [key for key, value in zip(keys, values, strict=True) if value is not None]


async def test_what_was_used_longest_ago_goes_first() -> None:
    cache = MemoryCache(DrivenClock(), entries_max=3)
    await cache.set_many({"a": b"1", "b": b"1", "c": b"1"}, 60)
    assert await kept(cache, "a") == ["a"]
    await cache.set_many({"d": b"1"}, 60)
    assert await kept(cache, "a", "b", "c", "d") == ["a", "c", "d"]


async def test_bytes_are_bounded_with_all_that_an_entry_takes() -> None:
    cache = MemoryCache(DrivenClock(), bytes_max=100_000, value_bytes_max=40_000)
    for number in range(1_000):
        await cache.set_many({str(number): bytes(number * 37 % 40_000)}, 60)
        assert cache.size_bytes <= 100_000
    await cache.set_many({str(number): b"" for number in range(10_000)}, 60)
    assert len(cache) < 1_000, "empty values take room too"
    assert cache.size_bytes <= 100_000


async def test_replacing_and_forgetting_give_the_room_back() -> None:
    clock = DrivenClock()
    cache = MemoryCache(clock, value_bytes_max=1_000)
    for _ in range(10):
        await cache.set_many({"a": bytes(1_000)}, 60)
    assert cache.size_bytes < 1_500
    await cache.set_many({"a": bytes(1_001)}, 60)
    assert (len(cache), cache.size_bytes) == (0, 0)
    await cache.set_many({"a": b"1"}, 60)
    await clock.advance(60)
    assert await kept(cache, "a") == []
    assert (len(cache), cache.size_bytes) == (0, 0)


async def test_a_wall_clock_that_jumps_changes_nothing() -> None:
    clock = DrivenClock()
    cache = MemoryCache(clock)
    await cache.set_many({"a": b"1"}, 60)
    clock.jump_wall(86_400_000)
    assert await kept(cache, "a") == ["a"]
    clock.jump_wall(-2 * 86_400_000)
    await clock.advance(60)
    assert await kept(cache, "a") == []

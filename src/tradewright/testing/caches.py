"""What every cache must keep to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from tradewright.domain.ports import Cache, CacheUnavailable

LARGE_BYTES: Final = 100_000
_TTL_S: Final = 600.0
_SHORT_TTL_S: Final = 0.5
_ROUNDS_MAX: Final = 100


async def check_cache(
    cache: Cache, *, too_large_bytes: int, wait: Callable[[float], Awaitable[None]]
) -> None:
    """Raise ``AssertionError`` where ``cache``, empty and reachable, breaks a promise of ``Cache``.

    ``too_large_bytes`` is a length that it does not keep; ``wait(seconds)`` lets time pass for it.
    It is closed afterwards.
    """
    await _check_values(cache)
    await _check_many(cache)
    await _check_too_large(cache, too_large_bytes)
    await _check_time_to_live(cache, wait)
    await cache.close()
    await cache.close()
    try:
        assert await cache.get_many(["a"]) == [None], "a closed cache has nothing"
    except CacheUnavailable:
        return


async def _check_values(cache: Cache) -> None:
    assert await cache.get_many([]) == [], "no key, no value"
    await cache.set_many({}, _TTL_S)
    assert await cache.get_many(["a", "b"]) == [None, None], "an empty cache has nothing"
    values = {"a": b"\x00binary\xff\r\n", "b:ä/🙂 {x}": b"", "c": bytes(range(256)) * (LARGE_BYTES // 256)}
    await cache.set_many(values, _TTL_S)
    assert await cache.get_many([*values, "d"]) == [*values.values(), None], "bytes come back as they were"
    assert all(type(value) is bytes for value in await cache.get_many([*values])), "values are bytes"
    assert await cache.get_many(["d", "a", "a"]) == [None, *[values["a"]] * 2], "in the order of the keys"
    await cache.set_many({"a": b"newer"}, _TTL_S)
    assert await cache.get_many(["a"]) == [b"newer"], "the last value counts"


async def _check_many(cache: Cache) -> None:
    many = {f"many:{number}": b"%d" % number * 100 for number in range(200)}
    await cache.set_many(many, _TTL_S)
    assert await cache.get_many(list(many)) == list(many.values()), "one call takes many keys"
    assert await cache.get_many(["many:1", "MANY:1", "any:1"]) == [b"1" * 100, None, None], "keys are exact"


async def _check_too_large(cache: Cache, too_large_bytes: int) -> None:
    await cache.set_many({"small": b"kept", "large": b"old"}, _TTL_S)
    await cache.set_many({"small": b"kept too", "large": bytes(too_large_bytes)}, _TTL_S)
    small, large = await cache.get_many(["small", "large"])
    assert small == b"kept too", "a value that is too large keeps no other one out"
    assert large is None, "a value that is too large is not kept, nor is an older one in its place"


async def _check_time_to_live(cache: Cache, wait: Callable[[float], Awaitable[None]]) -> None:
    await cache.set_many({"brief": b"1", "renewed": b"1"}, _SHORT_TTL_S)
    await cache.set_many({"renewed": b"2"}, _TTL_S)
    for _ in range(_ROUNDS_MAX):
        if await cache.get_many(["brief"]) == [None]:
            break
        await wait(_SHORT_TTL_S / 5)
    assert await cache.get_many(["brief", "renewed"]) == [None, b"2"], "a value goes when its time is over"

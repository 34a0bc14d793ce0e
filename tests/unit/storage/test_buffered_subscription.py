"""What a subscriber has not taken, and where it is told of losses."""

from __future__ import annotations

import asyncio

import pytest

from tradewright.domain.ports import BusGap
from tradewright.storage.buffered_subscription import BufferedSubscription


async def taken(subscription: BufferedSubscription, count: int) -> list[bytes | None]:
    """So many messages, None for each loss that was told."""
    found: list[bytes | None] = []
    while len(found) < count:
        try:
            found.append(await anext(aiter(subscription)))
        except BusGap:
            found.append(None)
    return found


async def test_a_loss_is_told_at_its_place_and_once() -> None:
    one = BufferedSubscription(10)
    one.put(b"a")
    one.lose()
    one.lose()
    one.put(b"b")
    one.lose()
    assert await taken(one, 4) == [b"a", None, b"b", None]


async def test_who_lags_too_far_loses_all_that_is_held() -> None:
    one = BufferedSubscription(3)
    for message in (b"a", b"b", b"c", b"d", b"e"):
        one.put(message)
    assert await taken(one, 3) == [None, b"d", b"e"]


@pytest.mark.parametrize("lost", [False, True])
async def test_who_waits_is_woken(lost: bool) -> None:
    one = BufferedSubscription()
    waiting = asyncio.create_task(taken(one, 1), name="waiting")
    await asyncio.sleep(0)
    if lost:
        one.lose()
    else:
        one.put(b"a")
    async with asyncio.timeout(5):
        assert await waiting == [None if lost else b"a"]


async def test_a_wait_that_was_given_up_loses_nothing() -> None:
    one = BufferedSubscription()
    waiting = asyncio.create_task(taken(one, 1), name="waiting")
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    one.put(b"a")
    assert await taken(one, 1) == [b"a"]

"""A websocket that is about to end gives way to another one, and its streams do not notice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.ccxt_plugin.rig import SYMBOL, finish, take, wait_until
from tests.venues.binance import BinanceVenue
from tests.venues.impatient import ImpatientPlugin
from tradewright.domain.errors import NetworkPluginError
from tradewright.plugins._ccxt_governor import DIALS_AT_ONCE, Governor
from tradewright.plugins.base import PluginSetup
from tradewright.testing.clock import DrivenClock

RENEW_AFTER_S = 1.0


class ShortLivedSockets(ImpatientPlugin):
    """Renews its sockets each second."""

    def _make_exchange(self) -> Any:
        exchange = super()._make_exchange()
        exchange.renew_after_s = RENEW_AFTER_S
        exchange.overlap_s = 0.5
        return exchange


@pytest.fixture
async def renewing(venue: BinanceVenue) -> AsyncIterator[ShortLivedSockets]:
    made = ShortLivedSockets(PluginSetup("binance", options=venue.provider_options()))
    try:
        yield made
    finally:
        await made.close()


async def _ids_until(stream: AsyncIterator[Any], venue: BinanceVenue, opened: int) -> list[int]:
    ids: list[int] = []
    async with asyncio.timeout(20):
        async for trades in stream:
            ids += [int(trade.id) for trade in trades]
            if venue.sockets_opened >= opened and len(ids) > 50:
                return ids
    return ids


async def test_an_old_socket_is_renewed_and_no_trade_is_lost(
    venue: BinanceVenue, renewing: ShortLivedSockets
) -> None:
    trades, book = renewing.watch_trades(SYMBOL), renewing.watch_order_book(SYMBOL)
    await take(book, 1)
    books = asyncio.create_task(take(book, 60, deadline_s=20))
    ids = await _ids_until(trades, venue, opened=8)
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    found = await books
    assert all(one.sound for one in found)
    await finish(trades)
    await finish(book)
    await wait_until(lambda: venue.upstream_sockets == 0)


async def test_who_hears_that_the_server_ends_has_a_new_socket_before_that(
    venue: BinanceVenue, plugin: ImpatientPlugin
) -> None:
    stream = plugin.watch_trades(SYMBOL)
    await take(stream, 1)
    (old,) = venue.hub.sockets
    venue.faults.inject(json.dumps({"e": "serverShutdown", "E": venue.time.now_ms()}))
    ids = await _ids_until(stream, venue, opened=2)
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert old in venue.hub.sockets, "the new one was there before the old one ended"
    await finish(stream)


async def test_closing_the_plugin_ends_retired_sockets_too(venue: BinanceVenue) -> None:
    made = ShortLivedSockets(PluginSetup("binance", options=venue.provider_options()))
    stream = made.watch_trades(SYMBOL)
    await _ids_until(stream, venue, opened=2)
    assert venue.upstream_sockets == 2
    await made.close()
    await wait_until(lambda: venue.upstream_sockets == 0)
    with pytest.raises(NetworkPluginError):
        await take(stream, 10_000)


async def test_no_more_than_three_hundred_sockets_are_dialled_in_five_minutes() -> None:
    clock = DrivenClock()
    governor = Governor("binance", clock, per_second=1_000)
    dialled: list[float] = []

    async def dial() -> None:
        await governor.acquire_dial()
        dialled.append(clock.monotonic())

    dialling = [asyncio.create_task(dial()) for _ in range(700)]
    await clock.advance(1_200)
    await asyncio.gather(*dialling)
    assert len([at for at in dialled if at <= 1.0]) >= DIALS_AT_ONCE
    busiest = max(len([at for at in dialled if start <= at < start + 300]) for start in dialled)
    assert 290 <= busiest <= 300

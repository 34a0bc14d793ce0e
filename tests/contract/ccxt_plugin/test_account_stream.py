"""The account's own stream on the emulated Binance."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import TypeVar

import pytest

from tests.contract.ccxt_plugin.rig import SYMBOL, finish, order_request, take, wait_until
from tests.venues.binance import BinanceVenue
from tradewright.domain.errors import AuthenticationPluginError, NetworkPluginError, PluginError
from tradewright.domain.orders import Balance, VenueOrder
from tradewright.plugins.ccxt import CCXTPlugin

T = TypeVar("T")
D = Decimal


@contextlib.asynccontextmanager
async def watching(
    venue: BinanceVenue, trader: CCXTPlugin
) -> AsyncIterator[tuple[AsyncIterator[VenueOrder], list[VenueOrder], asyncio.Task[None]]]:
    """A stream of orders with a reader, begun and subscribed."""
    stream, seen = trader.watch_orders(), list[VenueOrder]()

    async def read() -> None:
        async for order in stream:
            seen.append(order)

    reading = asyncio.create_task(read())
    await wait_until(lambda: venue.user_stream.subscriptions > 0 or reading.done())
    try:
        yield stream, seen, reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await finish(stream)


async def test_every_change_of_an_order_is_told(venue: BinanceVenue, trader: CCXTPlugin) -> None:
    async with watching(venue, trader) as (_, seen, _reading):
        order = await trader.create_order(order_request())
        venue_id = int(order.venue_order_id)
        await wait_until(lambda: len(seen) == 1)
        venue.ledger.fill(venue_id, D("0.1"))
        await wait_until(lambda: len(seen) == 2)
        venue.ledger.fill(venue_id, D("0.1"))
        await wait_until(lambda: len(seen) == 3)
        await trader.cancel_order(SYMBOL, venue_order_id=order.venue_order_id)
        await wait_until(lambda: len(seen) == 4)
    assert [(one.status, one.filled) for one in seen] == [
        ("open", D(0)),
        ("partially_filled", D("0.1")),
        ("partially_filled", D("0.2")),
        ("canceled", D("0.2")),
    ]
    assert {one.client_order_id for one in seen} == {"tw-1"}
    assert {one.venue_order_id for one in seen} == {order.venue_order_id}
    assert {one.amount for one in seen} == {D("0.25")}
    await wait_until(lambda: venue.user_stream.sockets == 0)


async def test_a_burst_ends_in_the_venues_state(venue: BinanceVenue, trader: CCXTPlugin) -> None:
    async with watching(venue, trader) as (_, seen, _reading):
        for number in range(10):
            await trader.create_order(order_request(f"tw-{number}"))
        for venue_id in venue.ledger.orders:
            for _ in range(5):
                venue.ledger.fill(venue_id, D("0.05"))
        await wait_until(lambda: sum(one.status == "filled" for one in seen) >= 10)
    last = {one.venue_order_id: one for one in seen}
    for placed in venue.ledger.orders.values():
        assert last[str(placed.id)].filled == placed.executed == D("0.25")


async def test_digits_are_kept_in_the_stream(venue: BinanceVenue, trader: CCXTPlugin) -> None:
    async with watching(venue, trader) as (_, seen, _reading):
        order = await trader.create_order(order_request())
        part = D("0.100000000000000001")
        venue.ledger.fill(int(order.venue_order_id), part)
        await wait_until(lambda: len(seen) == 2)
        assert seen[1].filled == part
        assert seen[1].remaining == D("0.25") - part
        fees = venue.ledger.orders[int(order.venue_order_id)].fills[0].fee
        assert seen[1].fee is not None
        assert seen[1].fee.cost == fees


async def test_a_cut_socket_ends_the_stream_and_a_new_one_signs_in_anew(
    venue: BinanceVenue, trader: CCXTPlugin
) -> None:
    async with watching(venue, trader) as (_, _seen, reading):
        venue.faults.cut_sockets()
        with pytest.raises(NetworkPluginError):
            await asyncio.wait_for(reading, 10)
    async with watching(venue, trader) as (_, seen, _reading):
        await trader.create_order(order_request())
        await wait_until(lambda: len(seen) == 1)
    assert venue.user_stream.opened == 2


async def test_a_key_that_is_not_accepted_ends_the_stream(venue: BinanceVenue, trader: CCXTPlugin) -> None:
    venue.trading.permitted = False
    with pytest.raises(AuthenticationPluginError):
        await take(trader.watch_orders(), 1)


@pytest.mark.parametrize(
    "text",
    [
        '{"subscriptionId":0,"event":{"e":"executionReport","s":"BTCUSDT","i":1}}',
        '{"subscriptionId":0,"event":{"e":"executionReport","s":"BTCUSDT","i":1,"q":"x","S":"BUY"}}',
        '{"subscriptionId":0,"event":{"e":"executionReport","x":[]',
        '{"subscriptionId":0,"event":{"e":"executionReport","s":7,"q":1e400,"x":"TRADE","i":{}}}',
    ],
)
async def test_an_event_that_can_not_be_right_ends_the_stream_aloud(
    venue: BinanceVenue, trader: CCXTPlugin, text: str
) -> None:
    async with watching(venue, trader) as (_, _seen, reading):
        venue.user_stream.inject(text)
        with pytest.raises(PluginError):
            await asyncio.wait_for(reading, 10)
    await wait_until(lambda: venue.user_stream.sockets == 0)
    async with watching(venue, trader) as (_, seen, _reading):
        await trader.create_order(order_request())
        await wait_until(lambda: len(seen) == 1)


def waits_for(trader: CCXTPlugin, what: str) -> bool:
    """Whether CCXT would hand on such an event now."""
    return any(what in client.futures for client in trader._account.clients.values())


@contextlib.asynccontextmanager
async def collecting(stream: AsyncIterator[T]) -> AsyncIterator[list[T]]:
    """What the stream gives, while the context lasts."""
    found = list[T]()

    async def read() -> None:
        async for item in stream:
            found.append(item)

    reading = asyncio.create_task(read())
    try:
        yield found
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await finish(stream)


async def test_executions_are_told_once_by_the_ids_that_are_fetched(
    venue: BinanceVenue, trader: CCXTPlugin
) -> None:
    order = await trader.create_order(order_request())
    async with watching(venue, trader), collecting(trader.watch_my_trades()) as fills:
        await wait_until(lambda: waits_for(trader, "myTrades"))
        for _ in range(3):
            venue.ledger.fill(int(order.venue_order_id), D("0.05"), D("999.5"))
        await wait_until(lambda: len(fills) == 3)
    assert tuple(fills) == await trader.fetch_my_trades(SYMBOL, since_ms=1, limit=10)
    assert venue.user_stream.opened == 1


async def test_balances_are_whole_after_each_change(venue: BinanceVenue, trader: CCXTPlugin) -> None:
    order = await trader.create_order(order_request())
    books = venue.ledger
    async with collecting(trader.watch_balances()) as told:
        await wait_until(lambda: venue.user_stream.subscriptions > 0 and waits_for(trader, "spot:balance"))
        books.free["ETH"] = D(3)  # which the next event does not name
        books.fill(int(order.venue_order_id), D("0.1"))
        await wait_until(lambda: len(told) == 1)
        await trader.cancel_order(SYMBOL, venue_order_id=order.venue_order_id)
        await wait_until(lambda: len(told) == 2)
    assert told[0][-1].locked == D(150)
    assert told[1] == tuple(Balance(asset, books.free[asset], D(0)) for asset in ("BTC", "ETH", "USDT"))


async def test_public_streams_live_beside_it(venue: BinanceVenue, trader: CCXTPlugin) -> None:
    books = trader.watch_order_book(SYMBOL)
    async with watching(venue, trader) as (_, seen, _reading):
        (book,) = await take(books, 1)
        assert not book.crossed
        await trader.create_order(order_request())
        await wait_until(lambda: len(seen) == 1)
    assert await take(books, 2)
    await finish(books)

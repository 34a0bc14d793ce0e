"""The plugin's streams on the emulated Binance, and what ends them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.contract.ccxt_plugin.rig import (
    MINUTE,
    SYMBOL,
    finish,
    take,
    wait_until,
)
from tests.venues.binance import BinanceVenue
from tradewright.domain.errors import (
    NetworkPluginError,
    PluginError,
)
from tradewright.domain.ticks import BOOK_DEPTH, OrderBook
from tradewright.plugins.base import BarUpdate, PluginSetup
from tradewright.plugins.ccxt import CCXTPlugin


async def test_trades_stream_once_each_without_a_gap(venue: BinanceVenue, plugin: CCXTPlugin) -> None:
    venue.faults.message_filter = lambda _stream, text: (text, text)  # everything comes twice
    stream = plugin.watch_trades(SYMBOL)
    ids: list[int] = []
    async with asyncio.timeout(20):
        async for trades in stream:
            ids += [int(trade.id) for trade in trades]
            await asyncio.sleep(0.05)  # a consumer that is busy now and then
            if len(ids) >= 300:
                break
    await finish(stream)
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    known = {trade.id for trade in venue.markets["BTCUSDT"].trades}
    assert set(ids) <= known


async def test_history_and_stream_are_one_series_of_trades(venue: BinanceVenue, plugin: CCXTPlugin) -> None:
    stream = plugin.watch_trades(SYMBOL)
    (live,) = await take(stream, 1)
    history = await plugin.fetch_trades(SYMBOL, 500)
    (more,) = await take(stream, 1)
    merged = {trade.id: trade for part in (history, live, more) for trade in part}
    ids = sorted(map(int, merged))
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    await finish(stream)


async def test_bars_stream_and_every_closed_one_is_right(plugin: CCXTPlugin, venue: BinanceVenue) -> None:
    stream = plugin.watch_ohlcv(SYMBOL, MINUTE)
    updates: list[BarUpdate] = await take(stream, 3)
    await finish(stream)
    for update in updates:
        assert (MINUTE.floor_array(update.bars.time) == update.bars.time).all()
    last = updates[-1].bars.rows()[-1]
    page = await plugin.fetch_ohlcv(SYMBOL, MINUTE, start_ms=last[0], end_ms=last[0] + 60_000)
    now = page.rows()[0]
    assert now[1] == last[1]
    assert now[2] >= last[2]
    assert now[3] <= last[3]
    assert now[5] >= last[5]
    assert venue.subscriptions == {} or set(venue.subscriptions) == {"btcusdt@kline_1m"}


async def test_the_book_streams_whole_and_equals_the_venues(venue: BinanceVenue, plugin: CCXTPlugin) -> None:
    states: set[tuple[Any, ...]] = set()

    def note(_stream: str, text: str) -> tuple[str]:
        sides = venue.markets["BTCUSDT"].book.top(BOOK_DEPTH)
        states.add(tuple(tuple((float(price), float(amount)) for price, amount in side) for side in sides))
        return (text,)

    venue.faults.message_filter = note
    stream = plugin.watch_order_book(SYMBOL)
    books: list[OrderBook] = await take(stream, 40)
    await finish(stream)
    for book in books:
        assert len(book.bids) == len(book.asks) == BOOK_DEPTH
        assert not book.crossed
    assert all((book.bids, book.asks) in states for book in books[1:])
    assert [book.t for book in books[1:]] == sorted(book.t for book in books[1:])


async def test_tickers_stream_with_bid_and_ask(plugin: CCXTPlugin) -> None:
    stream = plugin.watch_ticker(SYMBOL)
    first, second = await take(stream, 2)
    await finish(stream)
    assert first.bid is not None
    assert first.ask is not None
    assert first.bid < first.ask
    assert second.t > first.t


async def test_closing_a_stream_ends_its_subscription(venue: BinanceVenue, plugin: CCXTPlugin) -> None:
    trades, book = plugin.watch_trades(SYMBOL), plugin.watch_order_book(SYMBOL)
    await take(trades, 1)
    await take(book, 1)
    assert venue.subscriptions == {"btcusdt@depth@100ms": 1, "btcusdt@trade": 1}
    await finish(trades)
    await wait_until(lambda: venue.subscriptions == {"btcusdt@depth@100ms": 1})
    await take(book, 3)
    await finish(book)
    await wait_until(lambda: venue.upstream_sockets == 0)
    again = plugin.watch_trades(SYMBOL)
    await take(again, 2)
    assert venue.subscriptions == {"btcusdt@trade": 1}
    await finish(again)


async def test_two_streams_of_one_thing_share_a_subscription(venue: BinanceVenue, plugin: CCXTPlugin) -> None:
    first, second = plugin.watch_trades(SYMBOL), plugin.watch_trades(SYMBOL)
    await asyncio.gather(take(first, 2), take(second, 2))
    assert venue.subscriptions == {"btcusdt@trade": 1}
    assert venue.hub.subscribe_requests["btcusdt@trade"] == 1
    await finish(first)
    await take(second, 5)
    await finish(second)
    await wait_until(lambda: venue.subscriptions == {})


@pytest.mark.parametrize("kind", ["trades", "ticker", "order_book", "ohlcv"])
async def test_a_cut_socket_ends_the_stream_and_a_new_one_lives(
    venue: BinanceVenue, plugin: CCXTPlugin, kind: str
) -> None:
    def watch() -> AsyncIterator[Any]:
        if kind == "ohlcv":
            return plugin.watch_ohlcv(SYMBOL, MINUTE)
        stream: AsyncIterator[Any] = getattr(plugin, f"watch_{kind}")(SYMBOL)
        return stream

    stream = watch()
    await take(stream, 1)
    venue.faults.cut_sockets()
    with pytest.raises(NetworkPluginError):
        await take(stream, 10_000)
    await finish(stream)
    again = watch()
    assert await take(again, 2)
    await finish(again)


async def test_a_venue_that_is_down_fails_the_stream(venue: BinanceVenue, plugin: CCXTPlugin) -> None:
    await plugin.fetch_instruments()
    venue.faults.refuse_connections()
    with pytest.raises(NetworkPluginError):
        await take(plugin.watch_trades(SYMBOL), 1)
    await venue.faults.accept_connections()
    venue.faults.unavailable("/stream", times=1)
    with pytest.raises(NetworkPluginError):
        await take(plugin.watch_trades(SYMBOL), 1)
    again = plugin.watch_trades(SYMBOL)
    assert await take(again, 1)
    await finish(again)


@pytest.mark.alone
@pytest.mark.parametrize("fault", ["silence", "malformed"])
async def test_a_stream_that_fell_silent_ends_at_once_and_a_new_one_lives(
    venue: BinanceVenue, plugin: CCXTPlugin, fault: str
) -> None:
    stream = plugin.watch_trades(SYMBOL)
    await take(stream, 1)
    if fault == "silence":
        assert venue.faults.silence_sockets() == 1
    else:
        venue.faults.inject('{"stream":"btcusdt@trade","data":{"e":"trade","s":')
    with contextlib.suppress(TimeoutError, PluginError):
        await take(stream, 10_000, deadline_s=0.5)
    begun = time.perf_counter()
    await finish(stream)
    assert time.perf_counter() - begun < 0.5
    again = plugin.watch_trades(SYMBOL)
    assert await take(again, 3)
    await finish(again)


async def test_giving_up_one_silent_socket_leaves_the_others_alone(
    venue: BinanceVenue, plugin: CCXTPlugin
) -> None:
    trades, book = plugin.watch_trades(SYMBOL), plugin.watch_order_book(SYMBOL)
    await take(trades, 1)
    await take(book, 1)
    for socket in venue.hub.sockets:
        socket.silent = "btcusdt@trade" in socket.streams
    await finish(trades)
    again = plugin.watch_trades(SYMBOL)
    books, revived = await asyncio.gather(take(book, 60), take(again, 2))
    assert len(books) == 60
    assert revived
    assert venue.hub.subscribe_requests["btcusdt@depth@100ms"] == 1
    assert venue.hub.subscribe_requests["btcusdt@trade"] == 2
    await finish(book)
    await finish(again)


async def test_a_storm_of_streams_leaves_nothing_behind(venue: BinanceVenue, plugin: CCXTPlugin) -> None:
    await plugin.fetch_instruments()
    chance = random.Random(7)
    watches: list[Callable[[], AsyncIterator[Any]]] = [
        lambda: plugin.watch_trades(SYMBOL),
        lambda: plugin.watch_ticker(SYMBOL),
        lambda: plugin.watch_order_book(SYMBOL),
        lambda: plugin.watch_ohlcv(SYMBOL, MINUTE),
    ]
    cut = 0

    async def come_and_go() -> None:
        nonlocal cut
        for _ in range(5):
            stream = chance.choice(watches)()
            try:
                await take(stream, 10_000, deadline_s=chance.random())
            except TimeoutError:
                pass
            except NetworkPluginError:
                cut += 1
            await finish(stream)
            for name, sockets in venue.subscriptions.items():
                assert sockets == 1, f"{name} has more than one upstream"

    async def cut_often() -> None:
        while True:
            await asyncio.sleep(0.3)
            await wait_until(lambda: bool(venue.subscriptions))
            venue.faults.cut_sockets()

    cutting = asyncio.create_task(cut_often())
    await asyncio.gather(*(come_and_go() for _ in range(10)))
    cutting.cancel()
    await wait_until(lambda: not venue.subscriptions and not venue.upstream_sockets)
    assert cut
    again = plugin.watch_trades(SYMBOL)
    assert await take(again, 1)
    await finish(again)


@pytest.mark.alone
async def test_a_waiting_consumer_is_cancelled_at_once(venue: BinanceVenue, plugin: CCXTPlugin) -> None:
    stream = plugin.watch_trades(SYMBOL)
    await take(stream, 1)
    venue.faults.silence_sockets()
    waiting = asyncio.create_task(take(stream, 10_000, deadline_s=60))
    await asyncio.sleep(0.1)
    begun = time.perf_counter()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert time.perf_counter() - begun < 0.5
    await finish(stream)


async def test_a_gap_in_the_book_is_never_papered_over(venue: BinanceVenue, plugin: CCXTPlugin) -> None:
    stream = plugin.watch_order_book(SYMBOL)
    await take(stream, 3)
    lost = iter([()])
    venue.faults.message_filter = lambda _stream, text: next(lost, (text,))
    with pytest.raises(PluginError):
        await take(stream, 1_000)
    await finish(stream)
    again = plugin.watch_order_book(SYMBOL)
    assert await take(again, 2)
    await finish(again)


def _ours(task: asyncio.Task[Any]) -> bool:
    """Not one of the emulated venue's own, which lives on."""
    return not task.get_name().startswith("venue/") and "aiohttp/web" not in repr(task.get_coro())


async def test_closing_the_plugin_ends_its_streams_and_its_tasks(venue: BinanceVenue) -> None:
    before = asyncio.all_tasks()
    plugin = CCXTPlugin(PluginSetup("binance", options=venue.provider_options()))
    streams: list[AsyncIterator[Any]] = [
        plugin.watch_trades(SYMBOL),
        plugin.watch_ticker(SYMBOL),
        plugin.watch_order_book(SYMBOL),
    ]
    for stream in streams:
        await take(stream, 1)
    waiting = [asyncio.create_task(take(stream, 10_000, 60)) for stream in streams]
    await asyncio.sleep(0.05)
    await plugin.close()
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, NetworkPluginError)
    await wait_until(lambda: venue.upstream_sockets == 0)
    await wait_until(lambda: not [task for task in asyncio.all_tasks() - before if _ours(task)])
    with pytest.raises(NetworkPluginError):
        await plugin.fetch_ticker(SYMBOL)
    with pytest.raises(NetworkPluginError):
        await take(plugin.watch_trades(SYMBOL), 1)
    await plugin.close()


@pytest.mark.alone
async def test_closing_does_not_wait_for_a_silent_venue(venue: BinanceVenue) -> None:
    plugin = CCXTPlugin(PluginSetup("binance", options=venue.provider_options()))
    stream = plugin.watch_trades(SYMBOL)
    await take(stream, 1)
    venue.faults.silence_sockets()
    begun = time.perf_counter()
    await plugin.close()
    assert time.perf_counter() - begun < 3
    with pytest.raises(NetworkPluginError):
        await take(stream, 10_000)


async def test_a_failed_start_leaves_nothing_open(venue: BinanceVenue) -> None:
    venue.faults.unavailable()
    plugin = CCXTPlugin(PluginSetup("binance", options=venue.provider_options()))
    with pytest.raises(NetworkPluginError):
        await plugin.fetch_instruments()
    await plugin.close()
    gc.collect()  # an open session would complain now, and warnings are errors

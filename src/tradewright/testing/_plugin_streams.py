"""Promises about a plugin's ``watch_*`` methods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from tradewright.domain.bars import Bars
from tradewright.domain.capabilities import Capability
from tradewright.domain.errors import PluginError
from tradewright.domain.ticks import BOOK_DEPTH, OrderBook, Ticker, Trade
from tradewright.domain.timeframes import ONE_MINUTE, Timeframe
from tradewright.plugins.base import BarUpdate, MarketPlugin
from tradewright.testing._plugin_data import check_bars, check_one_book, check_one_ticker, check_trade_list
from tradewright.testing._plugin_subject import AT_ONCE_S, CLOCK_TOLERANCE_MS, Attempt, Subject

_ITEMS: Final = 3


@dataclass(frozen=True, slots=True)
class Watch:
    """One of the streams that a plugin declares: how it is opened, and how what it gave is checked."""

    name: str
    capability: Capability
    open: Callable[[str], AsyncIterator[object]]
    check: Callable[[list[object], int], None]


def watches(subject: Subject, plugin: MarketPlugin) -> list[Watch]:
    """The market-data streams that the plugin declares."""
    timeframes = subject.timeframes(plugin) or (ONE_MINUTE,)
    timeframe = ONE_MINUTE if ONE_MINUTE in timeframes else timeframes[0]
    all_of_them = [
        Watch(
            "watch_ohlcv",
            Capability.WATCH_OHLCV,
            lambda symbol: plugin.watch_ohlcv(symbol, timeframe),
            lambda items, now_ms: _check_bar_updates(items, timeframe, now_ms),
        ),
        Watch("watch_ticker", Capability.WATCH_TICKER, plugin.watch_ticker, _check_tickers),
        Watch("watch_order_book", Capability.WATCH_ORDER_BOOK, plugin.watch_order_book, _check_books),
        Watch("watch_trades", Capability.WATCH_TRADES, plugin.watch_trades, _check_trade_batches),
    ]
    return [watch for watch in all_of_them if plugin.supports(watch.capability)]


async def check_stream(subject: Subject, plugin: MarketPlugin, watch: Watch) -> None:
    """It yields within the deadline what it should, and ends at once when it is closed or cancelled."""
    stream = watch.open(subject.symbol)
    items: list[object] = []
    for _ in range(_ITEMS):
        async with subject.attempt(f"Item {len(items) + 1} of {watch.name}"):
            try:
                items.append(await subject.while_time_passes(anext(stream)))
            except StopAsyncIteration:
                raise AssertionError(f"{watch.name} ended by itself after {len(items)} items.") from None
    watch.check(items, await subject.now_ms(plugin))
    close = getattr(stream, "aclose", None)
    assert close is not None, f"The stream of {watch.name} has no aclose()."
    async with Attempt(f"Closing the stream of {watch.name}", AT_ONCE_S):
        await close()
    assert await anext(stream, None) is None, f"{watch.name} went on after it was closed."
    await _check_cancelling(subject, watch)


async def _check_cancelling(subject: Subject, watch: Watch) -> None:
    started = asyncio.Event()
    what = f"Cancelling a task that waits for {watch.name}"
    async with Attempt(what, subject.deadline_s + AT_ONCE_S), asyncio.TaskGroup() as group:
        reader = group.create_task(_read(watch.open(subject.symbol), started), name=f"check/{watch.name}")
        await subject.while_time_passes(started.wait())
        reader.cancel()
        async with Attempt(what, AT_ONCE_S):
            await asyncio.wait((reader,))
    assert reader.cancelled(), f"{watch.name} swallowed its cancellation."


async def check_close_ends_stream(subject: Subject, watch_named: str) -> None:
    """Closing the plugin ends its streams: they stop, or raise ``PluginError``."""
    async with subject.instance() as plugin:
        watch = next(watch for watch in watches(subject, plugin) if watch.name == watch_named)
        started = asyncio.Event()
        what = f"Ending {watch.name} by closing the plugin"
        async with Attempt(what, subject.deadline_s + AT_ONCE_S), asyncio.TaskGroup() as group:
            reading = _read_until_closed(watch.open(subject.symbol), started)
            reader = group.create_task(reading, name=f"check/{watch.name}")
            await subject.while_time_passes(started.wait())
            await plugin.close()
            await reader


async def _read(stream: AsyncIterator[object], started: asyncio.Event) -> None:
    async for _ in stream:
        started.set()


async def _read_until_closed(stream: AsyncIterator[object], started: asyncio.Event) -> None:
    try:
        await _read(stream, started)
    except PluginError:
        if not started.is_set():
            raise


def _check_bar_updates(items: list[object], timeframe: Timeframe, now_ms: int) -> None:
    newest_ms = 0
    closed_ms = -1
    for item in items:
        assert isinstance(item, BarUpdate), f"watch_ohlcv gave a {type(item).__name__}, not a BarUpdate."
        assert isinstance(item.bars, Bars), "watch_ohlcv gave an update whose bars are no Bars."
        assert len(item.bars), "watch_ohlcv gave an update without bars."
        check_bars(item.bars, timeframe, "watch_ohlcv")
        last_ms = int(item.bars.time[-1])
        assert last_ms <= now_ms + CLOCK_TOLERANCE_MS, "watch_ohlcv gave a bar of the future."
        assert last_ms >= newest_ms, "watch_ohlcv went back to an older bar."
        assert last_ms > closed_ms or item.final is not False, "watch_ohlcv opened a final bar again."
        newest_ms = last_ms
        if item.final:
            closed_ms = last_ms
            assert timeframe.end(last_ms) <= now_ms + CLOCK_TOLERANCE_MS, (
                "watch_ohlcv called a bar final before its end."
            )


def _check_tickers(items: list[object], now_ms: int) -> None:
    for item in items:
        assert isinstance(item, Ticker), f"watch_ticker gave a {type(item).__name__}, not a Ticker."
        check_one_ticker(item, now_ms, "watch_ticker")


def _check_books(items: list[object], now_ms: int) -> None:
    for item in items:
        assert isinstance(item, OrderBook), (
            f"watch_order_book gave a {type(item).__name__}, not an OrderBook."
        )
        check_one_book(item, now_ms, "watch_order_book")
        assert max(len(item.bids), len(item.asks)) <= BOOK_DEPTH, "watch_order_book gave too many levels."


def _check_trade_batches(items: list[object], now_ms: int) -> None:
    trades: list[Trade] = []
    for item in items:
        assert isinstance(item, list | tuple), f"watch_trades gave a {type(item).__name__}, not a sequence."
        assert item, "watch_trades gave an empty batch."
        trades.extend(item)
    check_trade_list(trades, now_ms, "watch_trades")

"""The market data streams: one socket for all, loud failures, and no storm of attempts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.contract.alpaca_plugin.rig import MINUTE, finish, make_plugin, take, wait_until
from tests.support.other_host import other_host
from tests.venues.alpaca import AlpacaVenue
from tests.venues.alpaca.securities import MINUTE_MS
from tradewright.domain.bars import Bars
from tradewright.domain.errors import (
    AuthenticationPluginError,
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    PluginFeatureNotSupportedError,
)
from tradewright.domain.timeframes import TIMEFRAMES
from tradewright.plugins._alpaca_feeds import (
    CROSSED_IN_ROW_MAX,
    TRADES_WAITING_MAX,
    bars_feed,
    order_book_feed,
    trades_feed,
)
from tradewright.plugins._alpaca_socket import Box
from tradewright.plugins.alpaca import AlpacaPlugin
from tradewright.plugins.base import BarUpdate
from tradewright.testing import DrivenClock


@asynccontextmanager
async def passing(clock: DrivenClock) -> AsyncIterator[None]:
    """Time goes on meanwhile, a quarter of a second at a time."""

    async def move() -> None:
        while True:
            await clock.advance(0.25)
            await asyncio.sleep(0.001)

    task = asyncio.create_task(move(), name="test/time")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def collect(stream: AsyncIterator[Any], until: Callable[[Any], bool]) -> list[Any]:
    found = []
    async with asyncio.timeout(20):
        async for item in stream:
            found.append(item)
            if until(item):
                break
    return found


async def test_all_symbols_and_kinds_share_one_socket(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock
) -> None:
    streams: list[Any] = [
        plugin.watch_trades("AAPL"),
        plugin.watch_trades("IBM"),
        plugin.watch_ticker("AAPL"),
        plugin.watch_order_book("IBM"),
        plugin.watch_ohlcv("AAPL", MINUTE),
    ]
    async with passing(clock):
        await asyncio.gather(*(take(stream, 2) for stream in streams))
        assert venue.hub.opened == 1
        assert set(venue.hub.subscriptions) == {
            *("trades:AAPL", "trades:IBM", "quotes:AAPL", "quotes:IBM", "dailyBars:AAPL"),
            *("bars:AAPL", "updatedBars:AAPL"),
        }
        assert set(venue.hub.subscriptions.values()) == {1}
        await finish(streams[0])
        await finish(streams[4])
        await wait_until(lambda: "bars:AAPL" not in venue.hub.subscriptions)
        assert "trades:AAPL" in venue.hub.subscriptions  # the ticker still needs it
        for stream in streams[1:4]:
            await finish(stream)
        await wait_until(lambda: not venue.hub.sockets)  # a moment after the last one
    assert venue.hub.opened == 1


async def test_who_comes_back_at_once_finds_the_socket_open(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock
) -> None:
    async with passing(clock):
        for _ in range(5):
            stream = plugin.watch_trades("AAPL")
            await take(stream, 1)
            await finish(stream)
    assert venue.hub.opened == 1


async def test_a_second_view_begins_with_the_state_of_the_first(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock
) -> None:
    first, second = plugin.watch_order_book("BTC/USD"), plugin.watch_order_book("BTC/USD")
    async with passing(clock):
        await take(first, 1)
    seen = await take(second, 1)  # though nothing happens any more
    assert len(seen[0].bids) == 25
    await finish(first)
    await finish(second)


async def test_minutes_are_those_of_the_venue_with_their_corrections(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock
) -> None:
    stream = plugin.watch_ohlcv("AAPL", MINUTE)
    started_ms = clock.now_ms()
    async with passing(clock):
        updates = await collect(stream, lambda update: update.bars.time[-1] >= started_ms + 5 * MINUTE_MS)
    await finish(stream)
    seen = Bars.empty()
    for update in updates:
        seen = seen.merged_with(update.bars)
    closed: set[int] = set()
    for update in updates:  # all but the last one of an update are closed
        closed |= set(update.bars.time[: None if update.final else -1].tolist())
    assert len(closed) == 5
    formed = [update for update in updates if not update.final]
    assert formed  # the forming minute moves with its trades
    volumes = [
        update.bars.volume[-1] for update in formed if update.bars.time[-1] == formed[-1].bars.time[-1]
    ]
    assert volumes == sorted(volumes)
    for row in seen.rows()[:-2]:  # the corrections of the last ones may still be under way
        theirs = venue.securities["AAPL"].minute(row[0])
        assert theirs is not None
        assert row[1:] == (theirs.o, theirs.h, theirs.l, theirs.c, theirs.v)


async def test_a_wrong_clock_of_ours_stops_no_minute(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock
) -> None:
    clock.jump_wall(-300_000)
    stream = plugin.watch_ohlcv("AAPL", MINUTE)
    async with passing(clock):
        updates = await collect(stream, lambda update: update.final)
    await finish(stream)
    assert updates[-1].bars.time[-1] == MINUTE.floor(venue.time.now_ms()) - MINUTE_MS


async def test_other_timeframes_are_not_streamed(plugin: AlpacaPlugin) -> None:
    with pytest.raises(PluginFeatureNotSupportedError):
        await anext(plugin.watch_ohlcv("AAPL", TIMEFRAMES["1h"]))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[7]",
        "{}",
        '[{"T":"t","S":"AAPL","p":"cheap"}]',
        '[{"T":"t"}]',
        '[{"T":[]}]',
        '[{"T":"error"}]',
        '[{"T":"subscription","trades":7}]',
        "\x00",
        "[" * 50_000,
    ],
)
async def test_a_malformed_frame_ends_the_streams_loudly_and_they_can_be_reopened(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock, text: str
) -> None:
    stream = plugin.watch_trades("AAPL")
    async with passing(clock):
        await take(stream, 1)
        venue.inject(text)
        with pytest.raises(MalformedAnswerPluginError):
            await collect(stream, lambda _: False)
        again = plugin.watch_trades("AAPL")
        await take(again, 2)
        await finish(again)


async def test_a_socket_that_breaks_off_ends_all_streams(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock
) -> None:
    streams: list[Any] = [plugin.watch_trades("AAPL"), plugin.watch_order_book("IBM")]
    async with passing(clock):
        await asyncio.gather(*(take(stream, 1) for stream in streams))
        venue.faults.cut_sockets()
        for stream in streams:
            with pytest.raises(NetworkPluginError):
                await collect(stream, lambda _: False)
        again = plugin.watch_trades("AAPL")
        await take(again, 1)
        await finish(again)


async def test_a_connection_that_another_has_is_waited_for_without_a_storm(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock
) -> None:
    other = make_plugin(venue, clock)
    theirs = other.watch_trades("AAPL")
    async with passing(clock):
        await take(theirs, 1)
        started_s = clock.monotonic()
        while clock.monotonic() < started_s + 120:
            stream = plugin.watch_trades("AAPL")
            with pytest.raises(PluginError, match="one connection") as raised:
                await anext(stream)
            assert raised.value.retry_after_s == 30
            await asyncio.sleep(0.001)
        assert 2 <= venue.hub.errors[406] <= 5
        await finish(theirs)
        await other.close()
        await clock.advance(30)
        ours = plugin.watch_trades("AAPL")
        await take(ours, 1)
        await finish(ours)


async def test_sockets_that_keep_failing_are_dialled_four_times_a_minute(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock
) -> None:
    venue.faults.answer("/v2/iex", status=503, times=None)
    await plugin.fetch_instruments()
    async with passing(clock):
        started_s = clock.monotonic()
        while clock.monotonic() < started_s + 150:
            with pytest.raises(NetworkPluginError):
                await anext(plugin.watch_trades("AAPL"))
    assert venue.requests["GET /v2/iex"] <= 13


async def test_no_socket_follows_a_redirect_with_the_key(venue: AlpacaVenue, plugin: AlpacaPlugin) -> None:
    async with other_host() as other:
        for path, stream in (("/v2/", plugin.watch_trades("AAPL")), ("/stream", plugin.watch_orders())):
            rule = venue.faults.answer(path, status=307, headers={"Location": other.address("/socket")})
            with pytest.raises(MalformedAnswerPluginError, match="another address"):
                await take(stream, 1)
            assert rule.used == 1, path
        assert other.asked == []


async def test_a_key_that_is_refused_says_so(venue: AlpacaVenue, clock: DrivenClock) -> None:
    await asyncio.sleep(0)
    plugin = make_plugin(venue, clock)
    await plugin.fetch_instruments()
    venue.hub.revoke()
    with pytest.raises(AuthenticationPluginError):
        await anext(plugin.watch_trades("AAPL"))
    with pytest.raises(AuthenticationPluginError):
        await anext(plugin.watch_orders())
    await plugin.close()


async def test_too_many_symbols_fail_who_asked_for_them_and_nobody_else(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock
) -> None:
    venue.hub.symbols_max = 1
    kept = plugin.watch_trades("AAPL")
    async with passing(clock):
        await take(kept, 1)
        with pytest.raises(PluginError, match="symbol limit"):
            await anext(plugin.watch_trades("IBM"))
        await take(kept, 3)
        await finish(kept)
    assert venue.hub.opened == 1


async def test_closing_the_plugin_leaves_nothing_behind(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock
) -> None:
    stream, orders = plugin.watch_trades("AAPL"), plugin.watch_orders()
    waiting = asyncio.create_task(take(orders, 1), name="test/orders")
    async with passing(clock):
        await take(stream, 1)
    await plugin.close()
    with pytest.raises(NetworkPluginError):
        await collect(stream, lambda _: False)
    with pytest.raises(NetworkPluginError):
        await waiting
    await wait_until(lambda: not venue.hub.sockets)
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("alpaca/")]


# What the feeds make of messages


def at(text: str) -> str:
    return f"2024-08-08T{text}Z"


def minute(text: str, close: float, volume: float = 1) -> dict[str, object]:
    return {"S": "IBM", "t": at(text), "o": 1.0, "h": 9.0, "l": 0.5, "c": close, "v": volume}


def printed(text: str, price: float, number: int, *conditions: str) -> dict[str, object]:
    row = {"S": "IBM", "t": at(text), "p": price, "s": 2, "i": number, "x": "V", "c": ["@", *conditions]}
    return json.loads(json.dumps(row))  # type: ignore[no-any-return]


def test_a_minute_forms_from_its_first_trade_on_and_gives_way_to_the_venues() -> None:
    clock = DrivenClock(1_723_125_600_000 + 30_000)  # 14:00:30
    feed = bars_feed("IBM", clock.now_ms)
    assert feed.take("trades", printed("14:00:31", 5.0, 1)) is None  # not seen from its beginning
    clock.jump_wall(40_000)
    update = feed.take("trades", printed("14:01:05", 5.0, 2))
    assert isinstance(update, BarUpdate)
    assert update.final is False
    assert update.bars.rows() == [(1_723_125_660_000, 5.0, 5.0, 5.0, 5.0, 2.0)]
    odd = feed.take("trades", printed("14:01:06", 7.0, 3, "I"))
    assert odd is not None
    assert odd.bars.rows() == [(1_723_125_660_000, 5.0, 5.0, 5.0, 5.0, 4.0)]
    clock.jump_wall(60_000)
    closed = feed.take("bars", minute("14:01:00", 6.0))
    assert closed is not None
    assert closed.final is True
    assert closed.bars.close.tolist() == [6.0]
    assert feed.take("trades", printed("14:01:59", 8.0, 4)) is None  # late: the correction will tell
    moved = feed.take("trades", printed("14:02:01", 6.5, 5))
    assert moved is not None
    corrected = feed.take("updatedBars", minute("14:01:00", 6.2, 3))
    assert corrected is not None
    assert corrected.final is False  # of the newest minute, which still forms
    assert corrected.bars.close.tolist() == [6.2, 6.5]
    assert feed.merge(moved, corrected).bars.close.tolist() == [6.2, 6.5]


def test_a_minute_that_has_not_ended_is_never_called_final() -> None:
    feed = bars_feed("IBM", DrivenClock(1_723_125_600_000 + 30_000).now_ms)
    early = feed.take("bars", minute("14:00:00", 6.0))
    assert early is not None
    assert early.final is False


def test_a_book_is_whole_or_not_told() -> None:
    feed = order_book_feed("BTC/USD")
    level = {"p": 10.0, "s": 1.0}
    assert feed.take("orderbooks", {"t": at("14:00:00"), "b": [level], "a": []}) is None  # no beginning
    whole = {"t": at("14:00:01"), "r": True, "b": [level], "a": [{"p": 11.0, "s": 2.0}]}
    book = feed.take("orderbooks", whole)
    assert book is not None
    assert (book.bids, book.asks) == (((10.0, 1.0),), ((11.0, 2.0),))
    changes = {"t": at("14:00:02"), "b": [{"p": 10.0, "s": 0}, {"p": 9.5, "s": 4.0}], "a": []}
    changed = feed.take("orderbooks", changes)
    assert changed is not None
    assert changed.bids == ((9.5, 4.0),)
    crossing = {"t": at("14:00:03"), "b": [{"p": 12.0, "s": 1.0}], "a": []}
    assert feed.take("orderbooks", crossing) is None
    for _ in range(CROSSED_IN_ROW_MAX - 1):
        assert feed.take("orderbooks", crossing) is None
    with pytest.raises(MalformedAnswerPluginError, match="crossed"):
        feed.take("orderbooks", crossing)


def test_who_falls_too_far_behind_is_told_so_after_what_waited() -> None:
    feed = trades_feed("IBM")
    box = Box(feed.merge)
    for number in range(TRADES_WAITING_MAX + 1):
        batch = feed.take("trades", printed("14:00:00", 5.0, number))
        assert batch is not None
        box.put(batch)
    waiting = box.take()
    assert waiting is not None
    assert len(waiting) == TRADES_WAITING_MAX
    assert isinstance(box.error, PluginError)
    assert box.take() is None
    assert feed.take("trades", printed("14:00:00", 5.0, TRADES_WAITING_MAX)) is None  # seen before

"""``SimulatedPlugin``: its answers and streams agree with its trades and know nothing of the future."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TypeVar

import numpy as np
import pytest

from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.errors import ConfigError, PluginError, UnknownSymbol
from tradewright.domain.resampling import bars_from_trades, resample
from tradewright.domain.ticks import BOOK_DEPTH, Trade
from tradewright.domain.timeframes import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    ONE_DAY,
    ONE_MINUTE,
    TIMEFRAMES,
    Timeframe,
)
from tradewright.plugins._simulated_listing import LISTED_MS
from tradewright.plugins.base import BarUpdate, PluginSetup
from tradewright.plugins.simulated import SimulatedPlugin
from tradewright.runtime.calendars import Calendars
from tradewright.testing import DrivenClock

_T = TypeVar("_T")

MONDAY_MS = 1_718_582_400_000  # 2024-06-17 00:00 UTC
NOW_MS = MONDAY_MS + 15 * HOUR_MS + 12_345  # in a session of the NYSE, 13:30 to 20:00 UTC
SATURDAY_MS = MONDAY_MS - 2 * DAY_MS
FRIDAY_CLOSE_MS = MONDAY_MS - 3 * DAY_MS + 20 * HOUR_MS


def plugin_at(now_ms: int, **options: object) -> tuple[SimulatedPlugin, DrivenClock]:
    clock = DrivenClock(now_ms)
    return SimulatedPlugin(PluginSetup("simulated", options=options, clock=clock)), clock


async def all_bars(
    plugin: SimulatedPlugin, symbol: str, timeframe: Timeframe, start_ms: int, end_ms: int
) -> Bars:
    pages = []
    while start_ms < end_ms:
        page = await plugin.fetch_ohlcv(symbol, timeframe, start_ms=start_ms, end_ms=end_ms)
        pages.append(page)
        if len(page) < plugin.ohlcv_page_limit:
            break
        start_ms = int(page.time[-1]) + 1
    return Bars.concat(pages)


async def eventually(clock: DrivenClock, condition: Callable[[], bool], step_s: float = 0.25) -> None:
    """Let driven time go by until the condition holds; threads get real time in between."""
    async with asyncio.timeout(30):
        while not condition():
            await clock.advance(step_s)
            await asyncio.sleep(0.0005)


@asynccontextmanager
async def collecting(stream: AsyncIterator[_T], clock: DrivenClock) -> AsyncIterator[list[_T]]:
    """What the stream yields, gathered by a task that has begun to wait for it."""
    items: list[_T] = []

    async def collect() -> None:
        async for item in stream:
            items.append(item)  # noqa: PERF401  # it is read while it grows

    task = asyncio.create_task(collect())
    await clock.settle()
    try:
        yield items
    finally:
        task.cancel()
        await asyncio.wait((task,), timeout=5)
        assert task.cancelled() or task.exception() is None


MADE_OF_MINUTES = ("BTC/USDT", "LTC/BTC", "AAPL")


@pytest.fixture(scope="module")
def minutes_of() -> dict[str, Bars]:
    """The minutes of each symbol that bars of any timeframe are made of, fetched once."""
    plugin, _ = plugin_at(NOW_MS)
    first_ms = min(timeframe.floor(NOW_MS - 70 * DAY_MS) for timeframe in TIMEFRAMES.values())

    async def fetched(symbol: str) -> Bars:
        return await all_bars(plugin, symbol, ONE_MINUTE, first_ms, NOW_MS + DAY_MS)

    return {symbol: asyncio.run(fetched(symbol)) for symbol in MADE_OF_MINUTES}


@pytest.mark.parametrize("timeframe", TIMEFRAMES.values(), ids=str)
@pytest.mark.parametrize("symbol", MADE_OF_MINUTES)
async def test_every_timeframe_is_made_of_the_minutes(
    minutes_of: dict[str, Bars], symbol: str, timeframe: Timeframe
) -> None:
    plugin, _ = plugin_at(NOW_MS)
    start_ms = timeframe.floor(NOW_MS - 70 * DAY_MS)
    minutes = minutes_of[symbol].between(start_ms, NOW_MS + DAY_MS)
    bars = await all_bars(plugin, symbol, timeframe, start_ms, NOW_MS + DAY_MS)
    assert len(bars) > 1
    assert bars.equals(resample(minutes, timeframe))


@pytest.mark.parametrize("symbol", ["ETH/USDT", "LTC/BTC", "TSLA"])
async def test_bars_are_made_of_the_trades_up_to_now(symbol: str) -> None:
    plugin, _ = plugin_at(NOW_MS)
    trades = await plugin.fetch_trades(symbol, 1_000)
    assert trades[-1].time <= NOW_MS
    first_whole_ms = ONE_MINUTE.ceil(trades[0].time + 1)
    expected = bars_from_trades([trade for trade in trades if trade.time >= first_whole_ms])
    bars = await plugin.fetch_ohlcv(symbol, ONE_MINUTE, start_ms=first_whole_ms, end_ms=NOW_MS + 1)
    assert len(bars) > 5
    assert bars.equals(expected)


@pytest.mark.parametrize("symbol", ["BTC/USDT", "SPY"])
async def test_nothing_of_the_future_leaks(symbol: str) -> None:
    """What is said now holds later on, except for the bar that is still forming."""
    now, _ = plugin_at(NOW_MS)
    later, _ = plugin_at(NOW_MS + 3 * HOUR_MS)
    start_ms = NOW_MS - 6 * HOUR_MS
    for timeframe in (ONE_MINUTE, TIMEFRAMES["1h"], TIMEFRAMES["1d"], TIMEFRAMES["1M"]):
        first_ms = timeframe.floor(start_ms)
        bars = await now.fetch_ohlcv(symbol, timeframe, start_ms=first_ms, end_ms=NOW_MS + DAY_MS)
        known = await later.fetch_ohlcv(symbol, timeframe, start_ms=first_ms, end_ms=NOW_MS + 1)
        assert bars.time[-1] == timeframe.floor(NOW_MS)
        assert bars[:-1].equals(known[:-1])
        assert bars.open[-1] == known.open[-1]
        assert bars.volume[-1] < known.volume[-1]
        assert bars.high[-1] <= known.high[-1]
    assert (await now.fetch_trades(symbol, 1_000))[-1].time <= NOW_MS
    assert (await now.fetch_ticker(symbol)).t == NOW_MS
    assert (await now.fetch_order_book(symbol, 5)).t == NOW_MS
    future = await now.fetch_ohlcv(symbol, ONE_MINUTE, start_ms=NOW_MS + MINUTE_MS, end_ms=NOW_MS + HOUR_MS)
    assert not len(future)


async def _day_of_trades(symbol: str, now_ms: int) -> list[Trade]:
    """All trades of the 24 hours up to ``now_ms``, page by page."""
    trades: dict[str, Trade] = {}
    until_ms = now_ms
    while until_ms > now_ms - DAY_MS:
        page = await plugin_at(until_ms)[0].fetch_trades(symbol, 1_000)
        trades |= {trade.id: trade for trade in page}
        if page[0].time <= now_ms - DAY_MS:
            break
        until_ms = page[0].time
    return sorted(
        (trade for trade in trades.values() if trade.time > now_ms - DAY_MS), key=lambda trade: int(trade.id)
    )


@pytest.mark.parametrize("symbol", ["LTC/BTC", "ETH/BTC"])
async def test_the_ticker_sums_up_a_day_of_trades(symbol: str) -> None:
    plugin, clock = plugin_at(NOW_MS - 90 * MINUTE_MS)
    await plugin.fetch_ticker(symbol)
    for delta_s in (90 * 60, 30, 61):  # many new minutes, none, a few
        await clock.advance(delta_s)
        ticker = await plugin.fetch_ticker(symbol)
        trades = await _day_of_trades(symbol, clock.now_ms())
        assert ticker.t == clock.now_ms()
        assert ticker.last == trades[-1].price
        assert ticker.high == max(trade.price for trade in trades)
        assert ticker.low == min(trade.price for trade in trades)
        assert ticker.volume == sum(trade.amount for trade in trades)
        assert ticker.quote_volume == pytest.approx(
            sum(trade.price * trade.amount for trade in trades), rel=1e-9
        )
        assert ticker.change_percent == pytest.approx(
            (trades[-1].price / trades[0].price - 1) * 100, abs=1e-4
        )


@pytest.mark.parametrize("symbol", ["BTC/USDT", "XRP/USDT", "LTC/BTC", "MSFT"])
async def test_the_book_stands_around_the_last_trade(symbol: str) -> None:
    plugin, clock = plugin_at(NOW_MS)
    books = []
    for _ in range(40):
        await clock.advance(0.5)
        book = await plugin.fetch_order_book(symbol, 50)
        last = (await plugin.fetch_trades(symbol, 1))[-1]
        ticker = await plugin.fetch_ticker(symbol)
        assert (len(book.bids), len(book.asks)) == (50, 50)
        assert not book.crossed
        assert book.bids[0][0] <= last.price <= book.asks[0][0]
        assert (ticker.bid, ticker.ask) == (book.bids[0][0], book.asks[0][0])
        assert [level[0] for level in book.bids] == sorted({level[0] for level in book.bids}, reverse=True)
        assert [level[0] for level in book.asks] == sorted({level[0] for level in book.asks})
        books.append(book)
    again, _ = plugin_at(clock.now_ms())
    assert await again.fetch_order_book(symbol, 50) == books[-1]
    assert (await again.fetch_order_book(symbol, 5)) == books[-1].top(5)
    assert len({(book.bids, book.asks) for book in books}) > 20
    stayed = [len(set(a.bids) & set(b.bids)) for a, b in pairwise(books)]
    assert np.mean(stayed) > 15  # most of a book stands still from one moment to the next


@pytest.mark.parametrize("symbol", ["BTC/USDT", "LTC/BTC"])
async def test_the_stream_of_trades_is_the_history(symbol: str) -> None:
    plugin, clock = plugin_at(NOW_MS)
    async with collecting(plugin.watch_trades(symbol), clock) as batches:
        await clock.advance(600)
    streamed = [trade for batch in batches for trade in batch]
    history = await plugin.fetch_trades(symbol, 1_000)
    assert streamed == [trade for trade in history if trade.time > NOW_MS][: len(streamed)]
    assert sum(trade.time > NOW_MS for trade in history) == min(1_000, len(streamed))


@pytest.mark.parametrize("name", ["1m", "3m", "5m", "1h"])
@pytest.mark.parametrize("symbol", ["ETH/USDT", "LTC/BTC", "SPY"])
async def test_the_stream_of_bars_is_the_history_bar_for_bar(symbol: str, name: str) -> None:
    timeframe = TIMEFRAMES[name]
    start_ms = NOW_MS if name != "1h" else MONDAY_MS + 16 * HOUR_MS - 5 * MINUTE_MS
    plugin, clock = plugin_at(start_ms)
    async with collecting(plugin.watch_ohlcv(symbol, timeframe), clock) as updates:
        await eventually(clock, lambda: bool(updates))
        while clock.now_ms() < start_ms + 20 * MINUTE_MS:
            await clock.advance(10)
    finals = {int(update.bars.time[-1]): update.bars for update in updates if update.final}
    assert len(finals) >= 1
    until_ms = timeframe.floor(clock.now_ms())
    history = await plugin.fetch_ohlcv(symbol, timeframe, start_ms=timeframe.floor(start_ms), end_ms=until_ms)
    assert Bars.concat(list(finals.values())).equals(history)
    assert all(len(update.bars) == 1 and update.final is not None for update in updates)
    _check_growth(updates)


def _check_growth(updates: list[BarUpdate]) -> None:
    """A bar only ever grows, and nothing follows its final form."""
    rows: dict[int, BarRow] = {}
    closed: set[int] = set()
    for update in updates:
        row = update.bars.rows()[0]
        assert row[0] not in closed
        before = rows.get(row[0], row)
        assert row[1] == before[1]
        assert row[2] >= before[2]
        assert row[3] <= before[3]
        assert row[5] >= before[5]
        rows[row[0]] = row
        if update.final:
            closed.add(row[0])


async def test_a_minute_without_trades_yields_nothing() -> None:
    plugin, clock = plugin_at(MONDAY_MS + 30_000)
    first_ms, end_ms = MONDAY_MS + MINUTE_MS, MONDAY_MS + 3_600_000
    async with collecting(plugin.watch_ohlcv("LTC/BTC", ONE_MINUTE), clock) as updates:
        await eventually(clock, lambda: clock.now_ms() > end_ms + MINUTE_MS, step_s=20)
        traded = {
            ONE_MINUTE.floor(trade.time)
            for trade in await plugin.fetch_trades("LTC/BTC", 1_000)
            if first_ms <= trade.time < end_ms
        }

        def streamed() -> set[int]:
            closed = (int(update.bars.time[0]) for update in updates if update.final)
            return {time for time in closed if first_ms <= time < end_ms}

        await eventually(clock, lambda: len(streamed()) >= len(traded))
    assert streamed() == traded
    assert 0 < len(traded) < 55


async def test_the_candle_moves_about_every_second() -> None:
    plugin, clock = plugin_at(NOW_MS)
    async with collecting(plugin.watch_ohlcv("BTC/USDT", ONE_MINUTE), clock) as updates:
        await eventually(clock, lambda: bool(updates))
        before = len(updates)
        await clock.advance(60)
    assert 30 < len(updates) - before < 300


async def test_ticker_and_book_streams_agree_with_what_is_fetched() -> None:
    plugin, clock = plugin_at(NOW_MS)
    async with (
        collecting(plugin.watch_ticker("SOL/USDT"), clock) as tickers,
        collecting(plugin.watch_order_book("SOL/USDT"), clock) as books,
    ):
        await eventually(clock, lambda: len(tickers) > 20 and len(books) > 20)
        assert tickers[-1].last == (await plugin.fetch_ticker("SOL/USDT")).last
        assert books[-1].bids == (await plugin.fetch_order_book("SOL/USDT", BOOK_DEPTH)).bids
    assert all((a.bids, a.asks) != (b.bids, b.asks) for a, b in pairwise(books))
    assert all(len(book.bids) == len(book.asks) == BOOK_DEPTH for book in books)


async def test_a_wall_clock_that_leaps_loses_and_repeats_nothing() -> None:
    plugin, clock = plugin_at(NOW_MS)
    async with collecting(plugin.watch_trades("ETH/BTC"), clock) as batches:
        await clock.advance(30)
        clock.jump_wall(20 * MINUTE_MS)
        await clock.advance(5)
        clock.jump_wall(-10 * MINUTE_MS)
        await clock.advance(700)
        streamed = [trade.id for batch in batches for trade in batch]
        assert all(len({trade.time // MINUTE_MS for trade in batch}) == 1 for batch in batches)
    history = await plugin.fetch_trades("ETH/BTC", 1_000)
    assert streamed == [trade.id for trade in history if trade.time > NOW_MS]


async def test_the_weekend_shows_friday_s_close() -> None:
    plugin, clock = plugin_at(SATURDAY_MS + 12 * HOUR_MS)
    at_close, _ = plugin_at(FRIDAY_CLOSE_MS - 1)
    for symbol in ("AAPL", "SPY"):
        assert await plugin.fetch_ticker(symbol) == await at_close.fetch_ticker(symbol)
        assert await plugin.fetch_order_book(symbol, 30) == await at_close.fetch_order_book(symbol, 30)
        trades = await plugin.fetch_trades(symbol, 100)
        assert trades == await at_close.fetch_trades(symbol, 100)
        assert FRIDAY_CLOSE_MS - MINUTE_MS <= trades[-1].time < FRIDAY_CLOSE_MS
    bars = await plugin.fetch_ohlcv("SPY", ONE_MINUTE, start_ms=FRIDAY_CLOSE_MS, end_ms=clock.now_ms() + 1)
    assert not len(bars)
    days = await plugin.fetch_ohlcv(
        "SPY", ONE_DAY, start_ms=FRIDAY_CLOSE_MS - 7 * DAY_MS, end_ms=clock.now_ms()
    )
    assert days.time.tolist() == [MONDAY_MS - offset * DAY_MS for offset in (7, 6, 5, 4, 3)]


async def test_stocks_trade_in_the_sessions_of_their_calendar() -> None:
    plugin, _ = plugin_at(NOW_MS)
    start_ms = (
        MONDAY_MS - 250 * DAY_MS
    )  # with Thanksgiving's half day and both changes of daylight saving time
    bars = await all_bars(plugin, "MSFT", ONE_MINUTE, start_ms, MONDAY_MS)
    calendar = await Calendars().get("XNYS", NOW_MS)
    sessions = calendar.open_intervals(start_ms, MONDAY_MS)
    expected = np.concatenate([ONE_MINUTE.opens(session.start, session.end) for session in sessions])
    assert np.array_equal(bars.time, expected)


async def test_the_stream_of_a_stock_begins_with_the_session() -> None:
    opens_ms = MONDAY_MS + 13 * HOUR_MS + 30 * MINUTE_MS
    plugin, clock = plugin_at(opens_ms - 30_000)
    await plugin.fetch_ticker("TSLA")  # loads the calendar
    async with collecting(plugin.watch_trades("TSLA"), clock) as batches:
        await clock.advance(29)
        assert not batches
        await clock.advance(6)
        assert batches
    assert opens_ms <= batches[0][0].time < opens_ms + 5_000


async def test_the_seed_decides() -> None:
    async def first_bars(**options: object) -> Bars:
        plugin, _ = plugin_at(NOW_MS, **options)
        return await plugin.fetch_ohlcv("BTC/USDT", ONE_MINUTE, start_ms=LISTED_MS, end_ms=NOW_MS, limit=50)

    assert (await first_bars()).equals(await first_bars(seed=1))
    assert not (await first_bars()).equals(await first_bars(seed=2))
    assert (await first_bars()).time[0] == LISTED_MS
    for wrong in ("7", 1.5, True, None):
        with pytest.raises(ConfigError, match="seed"):
            plugin_at(NOW_MS, seed=wrong)


async def test_what_is_not_listed_is_unknown() -> None:
    plugin, _ = plugin_at(NOW_MS)
    with pytest.raises(UnknownSymbol):
        await plugin.fetch_ticker("NO/SUCH")
    with pytest.raises(UnknownSymbol):
        await anext(plugin.watch_trades("btc/usdt"))


async def test_pages_have_bounds() -> None:
    plugin, _ = plugin_at(NOW_MS)
    page = await plugin.fetch_ohlcv("LTC/BTC", ONE_MINUTE, start_ms=0, end_ms=2**60)
    assert len(page) == plugin.ohlcv_page_limit
    assert LISTED_MS <= page.time[0] < LISTED_MS + HOUR_MS
    week = await plugin.fetch_ohlcv("BTC/USDT", TIMEFRAMES["1w"], start_ms=0, end_ms=2**60, limit=1)
    assert week.time.tolist() == [TIMEFRAMES["1w"].floor(LISTED_MS)]
    assert not len(await plugin.fetch_ohlcv("BTC/USDT", ONE_MINUTE, start_ms=0, end_ms=2**60, limit=0))
    for timeframe in TIMEFRAMES.values():
        for start_ms, end_ms in ((2**70, 2**71), (-(2**71), -(2**70)), (2**70, -(2**70))):
            assert not len(await plugin.fetch_ohlcv("ETH/BTC", timeframe, start_ms=start_ms, end_ms=end_ms))
    assert len(await plugin.fetch_trades("BTC/USDT", 10**9)) == 1_000
    assert len((await plugin.fetch_order_book("BTC/USDT", 10**9)).bids) == 200


async def test_closing_ends_every_stream_and_answers_nothing_more() -> None:
    plugin, clock = plugin_at(NOW_MS)
    ended = []

    async def watch(open_stream: Callable[[], AsyncIterator[object]]) -> None:
        async for _ in open_stream():
            pass
        ended.append(open_stream)

    symbols = ("BTC/USDT", "ETH/USDT", "ETH/BTC", "LTC/BTC")
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for symbol in symbols * 15:
            for stream in (plugin.watch_trades, plugin.watch_ticker, plugin.watch_order_book):
                group.create_task(watch(lambda stream=stream, symbol=symbol: stream(symbol)))  # type: ignore[misc]
            group.create_task(watch(lambda symbol=symbol: plugin.watch_ohlcv(symbol, ONE_MINUTE)))  # type: ignore[misc]
        await clock.advance(2)
        await plugin.close()
        await plugin.close()
    assert len(ended) == 240
    calls: list[Callable[[], Awaitable[object]]] = [
        plugin.fetch_instruments,
        lambda: plugin.fetch_ticker("BTC/USDT"),
        lambda: anext(plugin.watch_ticker("BTC/USDT")),
    ]
    for call in calls:
        with pytest.raises(PluginError, match="closed"):
            await call()


@pytest.mark.alone
async def test_years_of_bars_take_little_time_and_memory() -> None:
    plugin, _ = plugin_at(NOW_MS)
    await plugin.fetch_ohlcv("BTC/USDT", ONE_MINUTE, start_ms=NOW_MS - HOUR_MS, end_ms=NOW_MS)
    began = time.perf_counter()
    minutes = await plugin.fetch_ohlcv(
        "BTC/USDT", ONE_MINUTE, start_ms=NOW_MS - 5_000 * MINUTE_MS, end_ms=NOW_MS
    )
    minutes_took_s = time.perf_counter() - began
    days = await plugin.fetch_ohlcv("BTC/USDT", ONE_DAY, start_ms=NOW_MS - 500 * DAY_MS, end_ms=NOW_MS)
    days_took_s = time.perf_counter() - began - minutes_took_s
    assert (len(minutes), len(days)) == (5_000, 500)
    assert minutes_took_s < 0.15
    assert days_took_s < 1.5
    tracemalloc.start()
    weeks = await plugin.fetch_ohlcv("ETH/USDT", TIMEFRAMES["1w"], start_ms=0, end_ms=NOW_MS)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(weeks) > 490
    assert peak_bytes < 40_000_000


async def test_a_stream_of_bars_catches_up_when_the_wall_clock_leaps() -> None:
    plugin, clock = plugin_at(NOW_MS)
    async with collecting(plugin.watch_ohlcv("ETH/BTC", ONE_MINUTE), clock) as updates:
        await eventually(clock, lambda: bool(updates))
        clock.jump_wall(3 * HOUR_MS)
        await eventually(clock, lambda: int(updates[-1].bars.time[0]) == ONE_MINUTE.floor(clock.now_ms()))
    finals = Bars.concat([update.bars for update in updates if update.final])
    end_ms = ONE_MINUTE.floor(clock.now_ms())
    history = await plugin.fetch_ohlcv(
        "ETH/BTC", ONE_MINUTE, start_ms=ONE_MINUTE.floor(NOW_MS), end_ms=end_ms, limit=len(finals)
    )
    assert len(finals) >= 180
    assert finals.equals(history)


@pytest.mark.alone
async def test_long_computations_leave_the_loop_to_others() -> None:
    plugin, _ = plugin_at(NOW_MS)
    beats: list[float] = []

    async def heart() -> None:
        while True:
            beats.append(time.perf_counter())
            await asyncio.sleep(0.002)

    task = asyncio.create_task(heart())
    began = time.perf_counter()
    await plugin.fetch_ohlcv("SOL/USDT", TIMEFRAMES["1w"], start_ms=0, end_ms=NOW_MS)
    await plugin.fetch_ticker("SOL/USDT")
    took_s = time.perf_counter() - began
    task.cancel()
    await asyncio.wait((task,))
    assert len(beats) > 20
    assert max(b - a for a, b in pairwise(beats)) < max(0.1, took_s / 4)

"""`CCXTPlugin` with the real CCXT code on the emulated Binance: its answers, failures and streams."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

from tests.venues.binance import CAPTURE_FILE, XRPETH_FILE, BinanceVenue, generate_capture
from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import (
    AuthenticationPluginError,
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    PluginFeatureNotSupportedError,
    RateLimitPluginError,
    TimeoutPluginError,
    TradewrightError,
    UnknownSymbol,
)
from tradewright.domain.instruments import Instrument
from tradewright.domain.ticks import BOOK_DEPTH, OrderBook
from tradewright.domain.timeframes import TIMEFRAMES, Timeframe
from tradewright.plugins._ccxt_manifest import load_manifest
from tradewright.plugins.base import BarUpdate, PluginSetup
from tradewright.plugins.ccxt import CCXTPlugin
from tradewright.testing import check_market_plugin

T = TypeVar("T")

MINUTE = Timeframe.parse("1m")
SYMBOL = "BTC/USDT"
TICKER = "/api/v3/ticker/24hr"
LEAD_IN_S = 130
CAPTURE = generate_capture(4, 120)


class ImpatientPlugin(CCXTPlugin):
    http_timeout_s: ClassVar[float] = 0.5


@pytest.fixture
async def venue(request: pytest.FixtureRequest) -> AsyncIterator[BinanceVenue]:
    lead_in_s = getattr(request, "param", 15)
    async with BinanceVenue(CAPTURE, lead_in_s=lead_in_s, speed=5) as opened:
        yield opened


@pytest.fixture
async def plugin(venue: BinanceVenue) -> AsyncIterator[CCXTPlugin]:
    made = ImpatientPlugin(PluginSetup("binance", options=venue.provider_options()))
    try:
        yield made
    finally:
        await made.close()


async def wait_until(condition: Callable[[], bool], deadline_s: float = 10) -> None:
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 -- the venue has no events for what tests may ask
            await asyncio.sleep(0.01)


async def take(stream: AsyncIterator[T], count: int, deadline_s: float = 10) -> list[T]:
    found: list[T] = []
    async with asyncio.timeout(deadline_s):
        async for item in stream:
            found.append(item)
            if len(found) >= count:
                break
    return found


async def finish(stream: AsyncIterator[Any]) -> None:
    await stream.aclose()  # type: ignore[attr-defined]


# Answers


async def test_instruments_carry_the_venues_rules(plugin: CCXTPlugin) -> None:
    (instrument,) = await plugin.fetch_instruments()
    assert instrument == Instrument(
        market="crypto",
        symbol=SYMBOL,
        base="BTC",
        quote="USDT",
        price_tick=Decimal("0.01"),
        amount_step=Decimal("0.00001"),
        min_amount=Decimal("0.00001"),
        min_cost=Decimal(5),
        order_types=instrument.order_types,
    )
    assert {"market", "limit"} <= set(instrument.order_types)


@pytest.mark.parametrize("venue", [LEAD_IN_S], indirect=True)
async def test_bars_are_the_venues_own(venue: BinanceVenue, plugin: CCXTPlugin) -> None:
    now_ms = venue.time.now_ms()
    for timeframe in plugin.timeframes:
        start_ms = timeframe.floor(now_ms - 300_000)
        bars = await plugin.fetch_ohlcv(SYMBOL, timeframe, start_ms=start_ms, end_ms=now_ms)
        theirs = venue.markets["BTCUSDT"].klines.series(timeframe.name).select(None, now_ms - 1, 1000)
        assert bars.time.tolist() == [kline.open_ms for kline in theirs]
        closed = [row for row in bars.rows() if timeframe.end(row[0]) <= now_ms]
        assert closed == [
            (k.open_ms, *(float(x) for x in (k.open, k.high, k.low, k.close, k.volume)))
            for k in theirs
            if k.end_ms <= now_ms
        ]
    assert set(plugin.timeframes) == set(TIMEFRAMES.values())


@pytest.mark.parametrize("venue", [LEAD_IN_S], indirect=True)
async def test_one_page_is_the_earliest_bars_of_the_interval(venue: BinanceVenue, plugin: CCXTPlugin) -> None:
    now_ms = venue.time.now_ms()
    first_ms = MINUTE.ceil(now_ms - LEAD_IN_S * 1000)
    page = await plugin.fetch_ohlcv(SYMBOL, MINUTE, start_ms=first_ms + 1, end_ms=now_ms, limit=1)
    assert page.time.tolist() == [first_ms + 60_000]
    page = await plugin.fetch_ohlcv(SYMBOL, MINUTE, start_ms=first_ms, end_ms=first_ms + 60_001)
    assert page.time.tolist() == [first_ms, first_ms + 60_000]
    asked = venue.requests("klines")
    assert not len(await plugin.fetch_ohlcv(SYMBOL, MINUTE, start_ms=first_ms, end_ms=first_ms))
    assert venue.requests("klines") == asked


@pytest.mark.golden
async def test_recorded_candles_come_through_bit_for_bit(recorded_data: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(recorded_data / XRPETH_FILE)
    names = ("time_ms", "open", "high", "low", "close", "volume")
    recorded = list(zip(*(table[name].to_pylist() for name in names), strict=True))
    async with BinanceVenue(recorded_data / CAPTURE_FILE, xrpeth=recorded_data / XRPETH_FILE) as venue:
        plugin = CCXTPlugin(PluginSetup("binance", options=venue.provider_options()))
        rows: list[tuple[float, ...]] = []
        start_ms, end_ms = recorded[0][0], recorded[-1][0] + 60_000
        while True:
            page = await plugin.fetch_ohlcv("XRP/ETH", MINUTE, start_ms=start_ms, end_ms=end_ms)
            if not len(page):
                break
            assert len(page) <= plugin.ohlcv_page_limit
            rows += page.rows()
            start_ms = rows[-1][0] + 1
        await plugin.close()
    assert rows == recorded


async def test_ticker_book_and_trades_agree_with_the_venue(venue: BinanceVenue, plugin: CCXTPlugin) -> None:
    ticker = await plugin.fetch_ticker(SYMBOL)
    market = venue.markets["BTCUSDT"]
    assert ticker.last in {float(trade.price) for trade in list(market.trades)[-20:]}
    assert ticker.bid is not None
    assert ticker.ask is not None
    assert ticker.bid < ticker.ask
    assert abs(ticker.t - venue.time.now_ms()) < 2_000
    book = await plugin.fetch_order_book(SYMBOL, 30)
    assert len(book.bids) == len(book.asks) == 30
    assert all(a[0] > b[0] for a, b in pairwise(book.bids))
    assert all(a[0] < b[0] for a, b in pairwise(book.asks))
    assert not book.crossed
    trades = await plugin.fetch_trades(SYMBOL, 50)
    known = {str(trade.id): trade for trade in market.trades}
    assert len(trades) == 50
    for trade in trades:
        theirs = known[trade.id]
        assert (trade.time, trade.price, trade.amount) == (
            theirs.time_ms,
            float(theirs.price),
            float(theirs.amount),
        )
        assert trade.side == ("sell" if theirs.buyer_is_maker else "buy")
    assert [int(trade.id) for trade in trades] == sorted(int(trade.id) for trade in trades)


async def test_the_venues_clock_is_measured_once_and_not_while_queueing(
    venue: BinanceVenue, plugin: CCXTPlugin
) -> None:
    await plugin.fetch_instruments()
    others = [asyncio.create_task(plugin.fetch_ticker(SYMBOL)) for _ in range(20)]
    await asyncio.sleep(0)
    offsets = [await plugin.venue_time_ms() - venue.time.now_ms() for _ in range(3)]
    await asyncio.gather(*others)
    assert all(abs(offset) <= 200 for offset in offsets)
    assert venue.requests("time") == 1


async def test_markets_are_loaded_once_however_many_ask(venue: BinanceVenue, plugin: CCXTPlugin) -> None:
    await asyncio.gather(*(plugin.fetch_instruments() for _ in range(10)))
    assert venue.requests("exchangeInfo") == 1


async def test_who_gives_up_waiting_does_not_stop_the_loading(
    venue: BinanceVenue, plugin: CCXTPlugin
) -> None:
    venue.faults.delay(0.3, "/api/v3/exchangeInfo")
    await plugin._open()
    waiting = asyncio.create_task(plugin.fetch_instruments())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(plugin.fetch_instruments(), 0.1)
    assert len(await waiting) == 1
    assert venue.requests("exchangeInfo") == 1


async def test_a_failed_first_call_is_no_lasting_failure(venue: BinanceVenue, plugin: CCXTPlugin) -> None:
    venue.faults.unavailable("/api/v3/exchangeInfo", times=1)
    with pytest.raises(NetworkPluginError):
        await plugin.fetch_ticker(SYMBOL)
    assert (await plugin.fetch_ticker(SYMBOL)).last


@pytest.mark.parametrize("symbol", ["NOPE/USDT", "BTCUSDT", "", "../etc", "__class__", "'; drop"])
async def test_a_symbol_that_is_not_listed_never_reaches_the_venue(
    venue: BinanceVenue, plugin: CCXTPlugin, symbol: str
) -> None:
    with pytest.raises(UnknownSymbol):
        await plugin.fetch_ticker(symbol)
    with pytest.raises(UnknownSymbol):
        await plugin.fetch_ohlcv(symbol, MINUTE, start_ms=0, end_ms=60_000)
    with pytest.raises(UnknownSymbol):
        await take(plugin.watch_trades(symbol), 1)
    assert venue.requests("ticker/24hr") == venue.requests("klines") == 0


# Failures, each by a real answer


def refusal(code: int, text: str) -> str:
    return json.dumps({"code": code, "msg": text})


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, refusal(-1121, "Invalid symbol."), UnknownSymbol),
        (400, refusal(-1100, "Illegal characters found in parameter 'x'"), PluginError),
        (401, refusal(-2015, "Invalid API-key, IP, or permissions for action."), AuthenticationPluginError),
        (400, refusal(-1022, "Signature for this request is not valid."), AuthenticationPluginError),
        (400, refusal(-1021, "Timestamp for this request is outside of the recvWindow."), NetworkPluginError),
        (429, refusal(-1003, "Too many requests."), RateLimitPluginError),
        (418, refusal(-1003, "Way too many requests; IP banned."), RateLimitPluginError),
        (403, "<html>403 Forbidden</html>", NetworkPluginError),
        (500, "", NetworkPluginError),
        (502, "<html>Bad Gateway</html>", NetworkPluginError),
        (503, "Service Unavailable", NetworkPluginError),
        (504, "", TimeoutPluginError),
        (200, "<html>maintenance</html>", MalformedAnswerPluginError),
        (200, "{}", MalformedAnswerPluginError),
        (200, "[]", MalformedAnswerPluginError),
        (200, "null", MalformedAnswerPluginError),
        (200, "", MalformedAnswerPluginError),
        (200, '{"symbol":"BTC', MalformedAnswerPluginError),
        (200, "[" * 100_000, MalformedAnswerPluginError),
        (200, '{"symbol":"BTCUSDT","lastPrice":"abc","bidPrice":"1e400"}', MalformedAnswerPluginError),
        (200, '{"symbol":"BTCUSDT","lastPrice":{"a":1},"openPrice":[]}', MalformedAnswerPluginError),
        (200, '[[[["x"]]]]', MalformedAnswerPluginError),
    ],
)
async def test_an_answer_becomes_one_of_our_errors(
    venue: BinanceVenue, plugin: CCXTPlugin, status: int, body: str, kind: type[TradewrightError]
) -> None:
    await plugin.fetch_instruments()
    rule = venue.faults.answer(TICKER, status=status, body=body)
    with pytest.raises(TradewrightError) as caught:
        await plugin.fetch_ticker(SYMBOL)
    assert type(caught.value) is kind
    assert rule.used == 1, "a read is not repeated behind our back"
    assert (await plugin.fetch_ticker(SYMBOL)).last, "one bad answer spoils nothing"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("reset", NetworkPluginError),
        ("cut_body", NetworkPluginError),
        ("hang", TimeoutPluginError),
    ],
)
async def test_a_broken_connection_becomes_one_of_our_errors(
    venue: BinanceVenue, plugin: CCXTPlugin, fault: str, kind: type[TradewrightError]
) -> None:
    await plugin.fetch_instruments()
    getattr(venue.faults, fault)(TICKER, times=2)  # aiohttp asks again on a kept connection that was reset
    with pytest.raises(NetworkPluginError) as caught:
        await plugin.fetch_ticker(SYMBOL)
    assert type(caught.value) is kind
    await venue.faults.heal()
    assert (await plugin.fetch_ticker(SYMBOL)).last


async def test_a_refused_connection_is_a_network_error_and_heals(
    venue: BinanceVenue, plugin: CCXTPlugin
) -> None:
    await plugin.fetch_instruments()
    venue.faults.refuse_connections()
    with pytest.raises(NetworkPluginError):
        await plugin.fetch_ticker(SYMBOL)
    await venue.faults.accept_connections()
    assert (await plugin.fetch_ticker(SYMBOL)).last


@pytest.mark.parametrize("status", [429, 418])
async def test_retry_after_is_kept_and_obeyed(venue: BinanceVenue, plugin: CCXTPlugin, status: int) -> None:
    await plugin.fetch_instruments()
    venue.faults.answer(
        TICKER, status=status, body=refusal(-1003, "Stop."), headers={"Retry-After": "7"}, times=None
    )
    with pytest.raises(RateLimitPluginError) as caught:
        await plugin.fetch_ticker(SYMBOL)
    assert caught.value.retry_after_s == pytest.approx(7, abs=0.5)
    before = dict(venue.rest.requests)
    for call in (plugin.fetch_ticker(SYMBOL), plugin.fetch_trades(SYMBOL, 5)):
        with pytest.raises(RateLimitPluginError) as caught:
            await call
        assert caught.value.retry_after_s is not None
    assert dict(venue.rest.requests) == before


async def test_the_venues_own_weight_limit_is_understood() -> None:
    async with BinanceVenue(CAPTURE, weight_limit=30) as venue:
        plugin = CCXTPlugin(PluginSetup("binance", options=venue.provider_options()))
        await plugin.fetch_instruments()
        with pytest.raises(RateLimitPluginError) as caught:
            await plugin.fetch_trades(SYMBOL, 5)
        assert caught.value.retry_after_s is not None
        await plugin.close()


async def test_bad_rows_are_dropped_and_counted(venue: BinanceVenue, plugin: CCXTPlugin) -> None:
    now_ms = MINUTE.floor(venue.time.now_ms())
    good = [now_ms, "1", "2", "0.5", "1.5", "3", 0, "0", 0, "0", "0", "0"]
    rows = [
        [now_ms - 60_000, None, "2", "0.5", "1.5", "3"],
        good,
        [now_ms - 120_000, "1", "0.9", "1", "1", "1"],
    ]
    await plugin.fetch_instruments()
    venue.faults.answer("/api/v3/klines", body=json.dumps(rows))
    bars = await plugin.fetch_ohlcv(SYMBOL, MINUTE, start_ms=now_ms - 180_000, end_ms=now_ms + 60_000)
    assert bars.rows() == [(now_ms, 1.0, 2.0, 0.5, 1.5, 3.0)]
    assert plugin.rows_dropped == 2


@pytest.mark.parametrize(
    "body", ["{}", "null", "", "<html></html>", '[[%d,"a","b","c","d","e"]]', '"text"', "7"]
)
async def test_a_malformed_page_is_never_an_empty_one(
    venue: BinanceVenue, plugin: CCXTPlugin, body: str
) -> None:
    await plugin.fetch_instruments()
    now_ms = venue.time.now_ms()
    venue.faults.answer("/api/v3/klines", body=body.replace("%d", str(MINUTE.floor(now_ms))))
    with pytest.raises(MalformedAnswerPluginError):
        await plugin.fetch_ohlcv(SYMBOL, MINUTE, start_ms=now_ms - 180_000, end_ms=now_ms)


async def test_an_empty_page_is_an_empty_page(venue: BinanceVenue, plugin: CCXTPlugin) -> None:
    start_ms = venue.time.now_ms() - 10 * 86_400_000
    assert not len(await plugin.fetch_ohlcv(SYMBOL, MINUTE, start_ms=start_ms, end_ms=start_ms + 600_000))


async def test_a_wall_clock_set_back_does_not_freeze_the_calls(
    plugin: CCXTPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    await plugin.fetch_ticker(SYMBOL)
    from ccxt.async_support.base import throttler

    monkeypatch.setattr(throttler, "time", lambda: time.time() - 3_600)
    async with asyncio.timeout(5):
        for _ in range(20):
            await plugin.fetch_ticker(SYMBOL)
        assert await take(plugin.watch_ticker(SYMBOL), 1)


# Streams


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


# Import, secrets, breadth


async def test_what_is_not_declared_is_refused() -> None:
    name = next(name for name, entry in load_manifest().exchanges.items() if not entry.streams)
    plugin = CCXTPlugin(PluginSetup(name))
    with pytest.raises(PluginFeatureNotSupportedError, match="watch_trades"):
        plugin.watch_trades(SYMBOL)
    with pytest.raises(PluginFeatureNotSupportedError):
        await plugin.fetch_balances()
    await plugin.close()


async def test_secrets_show_nowhere(
    venue: BinanceVenue, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("ccxt", "ccxt.base.exchange", "tradewright.plugins._ccxt_exchange.library"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    credentials = Credentials({"api_key": "CANARY-KEY", "secret": "CANARY-SECRET"})
    plugin = CCXTPlugin(PluginSetup("binance", credentials, options=venue.provider_options()))
    texts = [repr(plugin), str(plugin.setup)]
    await plugin.fetch_ticker(SYMBOL)
    for code, status in ((-2015, 401), (-1121, 400), (-1003, 429)):
        body = refusal(code, "bad key CANARY-KEY at https://x/api?signature=CANARY-SECRET&a=1")
        venue.faults.answer(TICKER, status=status, body=body)
        with pytest.raises(TradewrightError) as caught:
            await plugin.fetch_ticker(SYMBOL)
        error: BaseException | None = caught.value
        while error is not None:
            texts.append(repr(error))
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    stream = plugin.watch_trades(SYMBOL)
    await take(stream, 1)
    await finish(stream)
    await plugin.close()
    shown = "\n".join([*texts, caplog.text, *capsys.readouterr()])
    assert "CANARY" not in shown
    assert "Invalid" in shown or "bad key" in shown, "the venue's reason is kept"


async def test_the_import_does_not_block_the_loop(venue: BinanceVenue) -> None:
    """In a fresh interpreter, where CCXT has not been imported yet."""
    program = f"""
import asyncio, sys, time
from tradewright.domain.errors import TradewrightError
from tradewright.plugins.base import PluginSetup
from tradewright.plugins.ccxt import CCXTPlugin
from tradewright.testing import check_market_plugin

async def main():
    plugin = CCXTPlugin(PluginSetup("binance", options={venue.provider_options()!r}))
    assert "ccxt" not in sys.modules
    beats = []
    async def beat():
        while True:
            beats.append(time.perf_counter())
            await asyncio.sleep(0.005)
    beating = asyncio.create_task(beat())
    opening = asyncio.create_task(plugin._open())
    await opening
    beating.cancel()
    assert "ccxt" in sys.modules
    await plugin.close()
    print(len(beats))

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    assert int(out) > 10, "the loop went on while CCXT was imported"


async def test_every_exchange_of_the_manifest_can_be_made() -> None:
    from tradewright.plugins import _ccxt_exchange

    for name in load_manifest().exchanges:
        plugin = CCXTPlugin(PluginSetup(name))
        exchange = plugin._make_exchange()
        assert exchange.id == name
        assert exchange.governor.retry_after_s is None
        assert isinstance(exchange, _ccxt_exchange._Manners)
        await plugin.close()


async def test_it_keeps_the_promises_of_a_market_plugin() -> None:
    async with BinanceVenue(CAPTURE, lead_in_s=LEAD_IN_S, speed=3) as venue:
        started_ms = venue.time.now_ms()
        await check_market_plugin(
            lambda: CCXTPlugin(PluginSetup("binance", options=venue.provider_options())),
            market="crypto",
            symbol=SYMBOL,
            history_ms=(MINUTE.ceil(started_ms - LEAD_IN_S * 1000), MINUTE.floor(started_ms)),
            timeframes=("1m", "5m", "1d"),
            now_ms=venue.time.now_ms,
        )

"""What the plugin reads from the emulated Binance."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from tests.contract.ccxt_plugin.rig import (
    LEAD_IN_S,
    MINUTE,
    SYMBOL,
    take,
)
from tests.venues.binance import CAPTURE_FILE, XRPETH_FILE, BinanceVenue
from tradewright.domain.errors import (
    NetworkPluginError,
    UnknownSymbol,
)
from tradewright.domain.instruments import Instrument
from tradewright.domain.timeframes import TIMEFRAMES
from tradewright.plugins.base import PluginSetup
from tradewright.plugins.ccxt import CCXTPlugin


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

"""What the plugin reads from the emulated Alpaca."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from tests.contract.alpaca_plugin.rig import DAY, IN_SESSION_MS, KEY, MINUTE, make_plugin, wait_until
from tests.venues.alpaca import AlpacaVenue
from tradewright.domain.bars import unknown_in
from tradewright.domain.capabilities import Capability
from tradewright.domain.errors import (
    CredentialsRequired,
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    PluginFeatureNotSupportedError,
    UnknownSymbol,
    UnknownTimeframe,
)
from tradewright.domain.instruments import Instrument
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.orders import OrderRequest
from tradewright.domain.timeframes import DAY_MS, TIMEFRAMES
from tradewright.plugins.alpaca import AlpacaPlugin
from tradewright.testing import DrivenClock

THURSDAY_MS = IN_SESSION_MS // DAY_MS * DAY_MS


async def test_instruments_carry_the_venues_rules(plugin: AlpacaPlugin) -> None:
    listed = {instrument.symbol: instrument for instrument in await plugin.fetch_instruments()}
    assert listed["AAPL"] == Instrument(
        market="stocks",
        symbol="AAPL",
        base="AAPL",
        quote="USD",
        type="stock",
        price_tick=Decimal("0.01"),
        amount_step=Decimal("0.000000001"),
        min_amount=Decimal("0.000000001"),
        order_types=("market", "limit", "stop", "stop_limit"),
        calendar="XNYS",
        name="Apple Inc.",
    )
    assert listed["BTC/USD"] == Instrument(
        market="crypto",
        symbol="BTC/USD",
        base="BTC",
        quote="USD",
        price_tick=Decimal("0.01"),
        amount_step=Decimal("0.000000001"),
        min_amount=Decimal("0.0001"),
        order_types=("market", "limit", "stop_limit"),
        name="Bitcoin",
    )


async def test_days_of_stocks_are_stamped_with_their_sessions_date(plugin: AlpacaPlugin) -> None:
    week_ms = TIMEFRAMES["1w"].floor(THURSDAY_MS)
    days = await plugin.fetch_ohlcv("AAPL", DAY, start_ms=week_ms, end_ms=IN_SESSION_MS)
    assert days.time.tolist() == [week_ms + n * DAY_MS for n in range(4)]
    weeks = await plugin.fetch_ohlcv("AAPL", TIMEFRAMES["1w"], start_ms=week_ms, end_ms=IN_SESSION_MS)
    assert weeks.time.tolist() == [week_ms]
    assert weeks.high[0] == days.high.max()
    month_ms = TIMEFRAMES["1M"].floor(THURSDAY_MS)
    months = await plugin.fetch_ohlcv("AAPL", TIMEFRAMES["1M"], start_ms=month_ms, end_ms=IN_SESSION_MS)
    assert months.time.tolist() == [month_ms]


async def test_hours_that_might_not_begin_as_ours_do_are_not_offered(plugin: AlpacaPlugin) -> None:
    offered = [timeframe.name for timeframe in plugin.timeframes]
    assert offered == ["1m", "3m", "5m", "15m", "30m", "1h", "1d", "1w", "1M"]
    with pytest.raises(UnknownTimeframe):
        await plugin.fetch_ohlcv("AAPL", TIMEFRAMES["4h"], start_ms=0, end_ms=IN_SESSION_MS)


async def test_a_page_is_put_together_from_as_many_answers_as_it_takes(
    venue: AlpacaVenue, plugin: AlpacaPlugin
) -> None:
    start_ms = IN_SESSION_MS - 2 * DAY_MS
    whole = await plugin.fetch_ohlcv("IBM", MINUTE, start_ms=start_ms, end_ms=IN_SESSION_MS)
    venue.data.page_limit = 250
    before = venue.requests["GET /v2/stocks/bars"]
    paged = await plugin.fetch_ohlcv("IBM", MINUTE, start_ms=start_ms, end_ms=IN_SESSION_MS)
    assert paged.equals(whole)
    assert venue.requests["GET /v2/stocks/bars"] - before == -(-len(whole) // 250)
    limited = await plugin.fetch_ohlcv("IBM", MINUTE, start_ms=start_ms, end_ms=IN_SESSION_MS, limit=300)
    assert limited.equals(whole[:300])


async def test_nothing_is_asked_where_no_bar_can_open(venue: AlpacaVenue, plugin: AlpacaPlugin) -> None:
    await plugin.fetch_instruments()
    for start_ms, end_ms in (
        (IN_SESSION_MS, IN_SESSION_MS),
        (IN_SESSION_MS + DAY_MS, IN_SESSION_MS + 2 * DAY_MS),
    ):
        assert not len(await plugin.fetch_ohlcv("AAPL", MINUTE, start_ms=start_ms, end_ms=end_ms))
    assert not venue.requests["GET /v2/stocks/bars"]


async def test_bars_are_raw_and_of_the_operators_feed(venue: AlpacaVenue, clock: DrivenClock) -> None:
    plugin = make_plugin(venue, clock, feed="sip")
    seen = venue.faults.answer("/v2/stocks/bars", body='{"bars":null,"next_page_token":null}')
    bars = await plugin.fetch_ohlcv("AAPL", MINUTE, start_ms=IN_SESSION_MS - 60_000, end_ms=IN_SESSION_MS)
    assert not len(bars)
    assert seen.used == 1
    await plugin.close()


async def test_rows_that_can_not_be_right_are_dropped_and_counted(
    venue: AlpacaVenue, plugin: AlpacaPlugin
) -> None:
    good = '{"t":"2024-08-08T14:01:00Z","o":2,"h":3,"l":1,"c":2,"v":5,"n":1,"vw":2}'
    later = good.replace("14:01", "14:02").replace('"c":2', '"c":1.5')
    bad = (
        good.replace('"h":3', '"h":0.5').replace("14:01", "14:03"),
        good.replace("14:01:00Z", "14:04:07Z"),
        good.replace('"o":2', '"o":"two"').replace("14:01", "14:05"),
        '"row"',
    )
    rows = ",".join((later, *bad, good, good.replace('"c":2', '"c":2.5')))
    venue.faults.answer(
        "/v2/stocks/bars", body=f'{{"bars":{{"IBM":[{good}],"AAPL":[{rows}]}},"next_page_token":null}}'
    )
    start_ms = IN_SESSION_MS - 20 * 60_000
    bars = await plugin.fetch_ohlcv("AAPL", MINUTE, start_ms=start_ms, end_ms=IN_SESSION_MS)
    assert bars.rows() == [
        (start_ms + 60_000, 2.0, 3.0, 1.0, 2.5, 5.0),
        (start_ms + 120_000, 2.0, 3.0, 1.0, 1.5, 5.0),
    ]
    assert plugin.rows_dropped == 4
    # A row that is none at all may have been any bar up to the last sound one.
    told = unknown_in(bars).clip(start_ms, IN_SESSION_MS)
    assert told == IntervalSet.of(
        (start_ms + minute * 60_000, start_ms + (minute + 1) * 60_000) for minute in (0, 3, 4, 5)
    )


@pytest.mark.parametrize(
    "body",
    [
        "<html>",
        "",
        "null",
        "[]",
        '"bars"',
        '{"bars":[]}',
        '{"bars":{"AAPL":{}}}',
        '{"bars":{"AAPL":[{"t":"yesterday","o":1,"h":1,"l":1,"c":1,"v":1}]}}',
        '{"bars":{},"next_page_token":7}',
        '{"bars":{"AAPL":[{"t":"2024-08-08T14:01:00Z","o":1e400,"h":1,"l":1,"c":1,"v":1}]}}',
        "[" * 100_000,
        '{"bars":{"AAPL":[' + "9" * 400,
    ],
)
async def test_an_answer_that_can_not_be_one_is_an_error(
    venue: AlpacaVenue, plugin: AlpacaPlugin, body: str
) -> None:
    await plugin.fetch_instruments()
    venue.faults.answer("/v2/stocks/bars", body=body)
    with pytest.raises(MalformedAnswerPluginError):
        await plugin.fetch_ohlcv("AAPL", MINUTE, start_ms=IN_SESSION_MS - DAY_MS, end_ms=IN_SESSION_MS)
    assert len(
        await plugin.fetch_ohlcv("AAPL", MINUTE, start_ms=IN_SESSION_MS - DAY_MS, end_ms=IN_SESSION_MS)
    )


async def test_pages_that_do_not_go_on_are_an_error(venue: AlpacaVenue, plugin: AlpacaPlugin) -> None:
    venue.faults.answer("/v2/stocks/bars", body='{"bars":{},"next_page_token":"again"}', times=None)
    with pytest.raises(MalformedAnswerPluginError, match="pages"):
        await plugin.fetch_ohlcv("AAPL", MINUTE, start_ms=IN_SESSION_MS - DAY_MS, end_ms=IN_SESSION_MS)
    assert venue.requests["GET /v2/stocks/bars"] == 2


async def test_ticker_book_and_trades_agree_with_the_venue(venue: AlpacaVenue, plugin: AlpacaPlugin) -> None:
    for symbol, levels in (("AAPL", 1), ("BTC/USD", 25)):
        one = venue.securities[symbol]
        ticker = await plugin.fetch_ticker(symbol)
        day, before = one.bars("1Day")[-1], one.bars("1Day")[-2]
        assert (ticker.last, ticker.bid, ticker.ask) == (one.last, one.bid[0], one.ask[0])
        assert ticker.volume == day.v
        assert ticker.change_percent == pytest.approx((one.last - before.c) / before.c * 100)
        book = await plugin.fetch_order_book(symbol, 25)
        assert (book.bids[0], book.asks[0]) == (one.bid, one.ask)
        assert len(book.bids) == len(book.asks) == levels
        assert [trade.price for trade in await plugin.fetch_trades(symbol, 5)] == [one.last]


async def test_splits_are_ratios_on_the_date_they_hold_from(venue: AlpacaVenue, plugin: AlpacaPlugin) -> None:
    action = venue.securities["SPLT"].splits[0]
    (split,) = await plugin.fetch_splits("SPLT")
    assert split.ratio == Decimal(4)
    days = await plugin.fetch_ohlcv("SPLT", DAY, start_ms=split.time - 7 * DAY_MS, end_ms=split.time + DAY_MS)
    assert days.close[-2] / days.open[-1] == pytest.approx(4, rel=0.01)
    assert await plugin.fetch_splits("AAPL") == await plugin.fetch_splits("BTC/USD") == ()
    body = (
        '{"corporate_actions":{"reverse_splits":[{"id":"a","symbol":"IBM","new_rate":1,"old_rate":8,'
        '"ex_date":"2024-08-01"},{"id":"b","symbol":"IBM","new_rate":1.5,"old_rate":1,"ex_date":"2030-01-02"}]},'
        '"next_page_token":null}'
    )
    venue.faults.answer("/v1/corporate-actions", body=body)
    assert [each.ratio for each in await plugin.fetch_splits("IBM")] == [Decimal("0.125")]
    assert action.date == "2024-08-06"


async def test_without_a_key_there_is_crypto_alone(venue: AlpacaVenue, clock: DrivenClock) -> None:
    plugin = make_plugin(venue, clock, key=None)
    assert {each.symbol for each in await plugin.fetch_instruments()} == {"BTC/USD", "ETH/USD"}
    assert (await plugin.fetch_ticker("BTC/USD")).last
    assert not any(capability.value.startswith("watch_") for capability in plugin.capabilities)
    for call in (plugin.fetch_ticker("AAPL"), plugin.fetch_splits("AAPL"), plugin.fetch_trades("NONE", 5)):
        with pytest.raises(CredentialsRequired):
            await call
    with pytest.raises(CredentialsRequired):
        await anext(plugin.watch_trades("BTC/USD"))
    pair = "BTC/USD"
    order = OrderRequest(client_order_id="1", symbol=pair, side="buy", type="market", amount=Decimal(1))
    assert Capability.CREATE_ORDER not in plugin.capabilities
    with pytest.raises(PluginFeatureNotSupportedError):
        await plugin.create_order(order)
    with pytest.raises(PluginFeatureNotSupportedError):
        await plugin.fetch_balances()
    assert not [request for request in venue.requests if "stocks" in request or "/v2/assets" in request]
    await plugin.close()


async def test_assets_are_listed_once_however_many_ask(venue: AlpacaVenue, plugin: AlpacaPlugin) -> None:
    await asyncio.gather(*(plugin.fetch_instruments() for _ in range(10)))
    assert venue.requests["GET /v2/assets"] == 2  # stocks and crypto


@pytest.mark.parametrize(
    "symbol", ["NOPE", "NOPE/USD", "", "../etc", "__class__", "'; drop", "AAPL,IBM", "aapl"]
)
async def test_a_symbol_that_is_not_listed_never_reaches_the_venue(
    venue: AlpacaVenue, plugin: AlpacaPlugin, symbol: str
) -> None:
    for call in (
        plugin.fetch_ticker(symbol),
        plugin.fetch_order_book(symbol, 5),
        plugin.fetch_splits(symbol),
    ):
        with pytest.raises(UnknownSymbol):
            await call
    with pytest.raises(UnknownSymbol):
        await plugin.fetch_ohlcv(symbol, MINUTE, start_ms=0, end_ms=60_000)
    with pytest.raises(UnknownSymbol):
        await anext(plugin.watch_trades(symbol))
    assert set(venue.requests) == {"GET /v2/assets"}


async def test_the_venues_clock_is_measured(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock
) -> None:
    clock.jump_wall(-30_000)
    assert await plugin.venue_time_ms() == venue.time.now_ms()
    assert await plugin.venue_time_ms() == venue.time.now_ms()
    assert venue.requests["GET /v2/clock"] == 1


async def test_a_slow_answer_about_the_time_makes_no_clock_that_is_ahead(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock
) -> None:
    venue.faults.delay(30, "/v2/clock")
    asking = asyncio.create_task(plugin.venue_time_ms())
    await wait_until(lambda: bool(venue.faults.injected))
    await clock.advance(30)
    assert venue.time.now_ms() - 1_000 < await asking <= venue.time.now_ms()


async def test_a_time_that_was_never_told_is_not_ours(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock
) -> None:
    """And is no failure of the host that gives the data."""
    venue.faults.unavailable("/v2/clock", times=2)
    for _ in range(2):
        with pytest.raises(PluginError) as failed:
            await plugin.venue_time_ms()
        assert not isinstance(failed.value, NetworkPluginError)
        assert plugin.measured_time_ms() is None
        await clock.advance(10)
    clock.jump_wall(-30_000)
    assert await plugin.venue_time_ms() == venue.time.now_ms() == plugin.measured_time_ms()


@pytest.mark.parametrize("with_key", [False, True])
async def test_a_venue_whose_time_is_not_told_is_known_by_the_dates_of_its_answers(
    venue: AlpacaVenue, clock: DrivenClock, *, with_key: bool
) -> None:
    plugin = make_plugin(venue, clock, key=KEY if with_key else None)
    venue.faults.answer("/v2/clock", status=503, times=None)
    clock.jump_wall(3_600_000)
    if with_key:
        with pytest.raises(PluginError):
            await plugin.venue_time_ms()
    else:
        await plugin.venue_time_ms()
    assert plugin.time_is_guessed
    assert plugin.measured_time_ms() is None
    await plugin.fetch_ticker("BTC/USD")
    assert not plugin.time_is_guessed
    assert venue.time.now_ms() - 1_000 <= await plugin.venue_time_ms() <= venue.time.now_ms()
    await plugin.close()

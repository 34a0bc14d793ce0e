"""Every failure of a venue, by a real answer or a real broken connection."""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial

import pytest

from tests.contract.ccxt_plugin.rig import (
    CAPTURE,
    KEYS,
    MINUTE,
    SYMBOL,
    TICKER,
    order_request,
    refusal,
    take,
)
from tests.venues.binance import BinanceVenue
from tests.venues.impatient import ImpatientPlugin
from tradewright.domain.errors import (
    AuthenticationPluginError,
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    RateLimitPluginError,
    TimeoutPluginError,
    TradewrightError,
    UnknownSymbol,
)
from tradewright.plugins.base import PluginSetup, SharedByInstances
from tradewright.plugins.ccxt import CCXTPlugin


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


async def test_a_ban_of_our_address_stops_the_calls_of_every_key(venue: BinanceVenue) -> None:
    shared, options = SharedByInstances(), venue.provider_options()
    public = ImpatientPlugin(PluginSetup("binance", options=options, shared=shared))
    account = ImpatientPlugin(PluginSetup("binance", KEYS, options=options, shared=shared))
    elsewhere = ImpatientPlugin(PluginSetup("binance", KEYS, options=options))
    try:
        for plugin in (account, elsewhere):
            await plugin.fetch_balances()
        await public.fetch_instruments()
        banned = venue.faults.answer(TICKER, status=418, headers={"Retry-After": "60"})
        with pytest.raises(RateLimitPluginError):
            await public.fetch_ticker(SYMBOL)
        calls = (account.fetch_balances, account.fetch_open_orders, partial(account.fetch_ticker, SYMBOL))
        for call in calls:
            with pytest.raises(RateLimitPluginError) as caught:
                await call()
            assert caught.value.retry_after_s == pytest.approx(60, abs=2)
        with pytest.raises(RateLimitPluginError):
            await account.create_order(order_request())
        assert not venue.ledger.orders
        assert banned.used == 1
        assert await elsewhere.fetch_balances(), "what shares nothing goes on"
    finally:
        for plugin in (public, account, elsewhere):
            await plugin.close()


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

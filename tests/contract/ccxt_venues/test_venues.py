"""What the generic plugin promises, at each exchange, and each exchange's own words for its failures."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from tests.contract.ccxt_venues.rig import NOW_MS, SYMBOL, Rig
from tests.venues.impatient import ImpatientPlugin
from tradewright.domain.capabilities import Capability, ProviderInfo
from tradewright.domain.errors import (
    NetworkPluginError,
    PluginError,
    RateLimitPluginError,
    UnknownSymbol,
)
from tradewright.domain.timeframes import HOUR_MS, ONE_MINUTE
from tradewright.plugins.base import PluginSetup
from tradewright.testing import check_market_plugin

_REST = frozenset({Capability.OHLCV, Capability.TICKER, Capability.ORDER_BOOK, Capability.TRADES})


class RestPlugin(ImpatientPlugin):
    """Without streams, which these emulators do not speak."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        return super().capabilities & _REST

    @classmethod
    def list_configurable_providers(cls, market: str) -> Sequence[ProviderInfo]:
        return [
            msgspec.structs.replace(info, capabilities=tuple(_REST.intersection(info.capabilities)))
            for info in super().list_configurable_providers(market)
        ]


async def test_it_keeps_the_promises_of_a_market_plugin(rig: Rig) -> None:
    venue = rig.venue
    await check_market_plugin(
        lambda: RestPlugin(PluginSetup(venue.provider, options=venue.provider_options(), clock=rig.clock)),
        market="crypto",
        symbol=SYMBOL,
        history_ms=(NOW_MS - 8 * HOUR_MS, NOW_MS - 2 * HOUR_MS),
        timeframes=("1m", "5m", "1h", "1d"),
        now_ms=venue.now_ms,
    )


async def test_instruments_carry_the_venues_rules(rig: Rig) -> None:
    (instrument,) = await rig.plugin.fetch_instruments()
    assert (instrument.symbol, instrument.base, instrument.quote) == (SYMBOL, "BTC", "USDT")
    assert instrument.active
    assert instrument.price_tick == Decimal("0.01")
    assert instrument.amount_step == Decimal("1E-8")


async def test_ticker_book_and_trades_are_the_venues(rig: Rig) -> None:
    market, now_ms = rig.market, rig.venue.now_ms()
    ticker = await rig.plugin.fetch_ticker(SYMBOL)
    day, (bids, asks) = market.day(now_ms), market.book(now_ms, 500)
    assert (ticker.last, ticker.high, ticker.low) == (day.close, day.high, day.low)
    assert (ticker.bid, ticker.ask) == (bids[0][0], asks[0][0])
    assert ticker.volume == pytest.approx(day.volume)
    for depth in (5, 50, 200):
        book = await rig.plugin.fetch_order_book(SYMBOL, depth)
        assert list(book.bids) == bids[:depth]
        assert list(book.asks) == asks[:depth]
    for limit in (1, 20, 500):
        trades = await rig.plugin.fetch_trades(SYMBOL, limit)
        prints = market.prints(rig.venue.now_ms(), 500)
        theirs = [(one.time_ms, str(one.id), one.side, one.price, one.amount) for one in prints]
        ours = [(one.time, one.id, one.side, one.price, one.amount) for one in trades]
        assert ours == theirs[-len(ours) :]
        assert len(ours) == (min(limit, 60) if rig.venue.provider == "bybit" else limit)


async def test_maintenance_in_the_venues_own_words_is_a_venue_that_is_away(rig: Rig) -> None:
    await rig.plugin.fetch_instruments()
    rule = rig.venue.maintenance(from_ms=NOW_MS + 60_000, until_ms=NOW_MS + 120_000)
    assert (await rig.plugin.fetch_ticker(SYMBOL)).last
    await rig.clock.advance(70)
    with pytest.raises(NetworkPluginError):
        await rig.plugin.fetch_ohlcv(SYMBOL, ONE_MINUTE, start_ms=NOW_MS - HOUR_MS, end_ms=NOW_MS)
    assert rule.used
    await rig.clock.advance(60)
    assert (await rig.plugin.fetch_ticker(SYMBOL)).last


async def test_asking_too_often_in_the_venues_own_words(rig: Rig) -> None:
    await rig.plugin.fetch_instruments()
    status, body = rig.venue.too_many_words
    rig.venue.faults.answer(status=status, body=body)
    with pytest.raises(RateLimitPluginError):
        await rig.plugin.fetch_ticker(SYMBOL)
    assert (await rig.plugin.fetch_ticker(SYMBOL)).last


@pytest.mark.parametrize("as_date", [False, True])
@pytest.mark.parametrize("status", [418, 429])
async def test_no_request_goes_out_while_the_venue_wants_none(rig: Rig, status: int, as_date: bool) -> None:
    await rig.plugin.fetch_instruments()
    rule = rig.venue.faults.too_many(90, status=status, as_date=as_date)
    for _ in range(8):  # 80 seconds
        with pytest.raises(RateLimitPluginError) as caught:
            await rig.plugin.fetch_ticker(SYMBOL)
        assert caught.value.retry_after_s is not None
        await rig.clock.advance(10)
    assert rule.used == 1
    await rig.clock.advance(15)
    assert (await rig.plugin.fetch_ticker(SYMBOL)).last


async def test_a_symbol_that_was_delisted_harms_no_other(rig: Rig) -> None:
    await rig.plugin.fetch_instruments()
    market = rig.venue.markets.pop(SYMBOL)
    with pytest.raises((UnknownSymbol, PluginError)):
        await rig.plugin.fetch_ticker(SYMBOL)
    rig.venue.markets[SYMBOL] = market
    assert (await rig.plugin.fetch_ticker(SYMBOL)).last

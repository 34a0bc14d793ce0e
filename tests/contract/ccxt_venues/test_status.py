"""What an exchange says of itself, and of what is traded there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contract.ccxt_venues.rig import BEGIN_MS, NOW_MS
from tests.venues.candle_venue import CandleVenue
from tests.venues.clock import HastyClock
from tests.venues.generated import generate_minutes
from tests.venues.impatient import ImpatientPlugin
from tests.venues.truth import Market
from tradewright.plugins._ccxt_parse import most_traded
from tradewright.plugins.base import PluginSetup


def market(base: str, quote: str, seed: int, times: float) -> Market:
    minutes = generate_minutes(seed, BEGIN_MS, 41 * 1_440, quiet=0)
    more = type(minutes)(*minutes.columns()[:-1], minutes.volume * times)
    return Market(base, quote, more)


@pytest.fixture
async def venue() -> AsyncIterator[CandleVenue]:
    markets = [
        market("AAA", "USDT", 1, 1),
        market("BTC", "USDT", 2, 1_000),
        market("ETH", "USDT", 3, 10),
        market("BTC", "IDR", 4, 1_000_000),
    ]
    async with CandleVenue(markets, clock=HastyClock(NOW_MS)) as opened:
        yield opened


@pytest.fixture
async def plugin(venue: CandleVenue) -> AsyncIterator[ImpatientPlugin]:
    made = ImpatientPlugin(PluginSetup("binance", options=venue.provider_options(), clock=venue.time.clock))
    yield made
    await made.close()


async def test_it_says_whether_it_is_being_worked_on(venue: CandleVenue, plugin: ImpatientPlugin) -> None:
    assert await plugin.fetch_status() == "up"
    venue.says_maintenance = True
    assert await plugin.fetch_status() == "down"


async def test_the_most_traded_come_first_and_currencies_are_not_mixed(plugin: ImpatientPlugin) -> None:
    assert list(await plugin.fetch_most_traded()) == ["BTC/USDT", "ETH/USDT", "AAA/USDT"]


def test_kinds_of_markets_are_ranked_apart_and_nonsense_is_left_out() -> None:
    markets = {
        symbol: {"type": kind, "quote": "USDT"}
        for symbol, kind in (("A", "spot"), ("B", "spot"), ("C", "swap"), ("D", "spot"), ("E", "spot"))
    }
    volumes = {"A": 1.0, "B": 2.0, "C": 5.0, "D": None, "E": float("nan"), "GONE": 9.0}
    rows = {symbol: {"quoteVolume": volume} for symbol, volume in volumes.items()}
    assert sorted(most_traded(rows, markets)) == ["A", "B", "C"]
    assert most_traded(rows, markets).index("B") < most_traded(rows, markets).index("A")
    assert most_traded([], markets) == most_traded({"A": 1}, markets) == []

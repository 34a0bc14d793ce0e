"""The emulated Binance and the plugin on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contract.ccxt_plugin.rig import (
    CAPTURE,
    trader_on,
)
from tests.venues.binance import BinanceVenue
from tests.venues.impatient import ImpatientPlugin
from tradewright.plugins.base import PluginSetup
from tradewright.plugins.ccxt import CCXTPlugin


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


@pytest.fixture
async def trader(venue: BinanceVenue) -> AsyncIterator[CCXTPlugin]:
    async with trader_on(venue) as made:
        yield made

"""The emulated Binance and the plugin on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contract.ccxt_plugin.rig import (
    CAPTURE,
    ImpatientPlugin,
)
from tests.venues.binance import BinanceVenue
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

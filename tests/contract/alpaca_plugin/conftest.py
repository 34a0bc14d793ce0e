"""The emulated Alpaca on a driven clock, in the middle of a session, and the plugin on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contract.alpaca_plugin.rig import IN_SESSION_MS, make_plugin
from tests.venues.alpaca import AlpacaVenue
from tradewright.plugins.alpaca import AlpacaPlugin
from tradewright.testing import DrivenClock


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock(IN_SESSION_MS)


@pytest.fixture
async def venue(clock: DrivenClock) -> AsyncIterator[AlpacaVenue]:
    async with AlpacaVenue(clock=clock, days=7) as opened:
        yield opened


@pytest.fixture
async def plugin(venue: AlpacaVenue, clock: DrivenClock) -> AsyncIterator[AlpacaPlugin]:
    made = make_plugin(venue, clock)
    try:
        yield made
    finally:
        await made.close()

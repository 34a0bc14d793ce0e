"""The promises of a market plugin, for stocks and for crypto."""

from __future__ import annotations

import pytest

from tests.contract.alpaca_plugin.rig import IN_SESSION_MS, make_plugin
from tests.venues.alpaca import AlpacaVenue
from tradewright.testing import DrivenClock, check_market_plugin


@pytest.mark.parametrize(("market", "symbol", "levels"), [("stocks", "AAPL", 1), ("crypto", "BTC/USD", 5)])
async def test_the_plugin_keeps_the_promises_of_a_market_plugin(
    venue: AlpacaVenue, clock: DrivenClock, market: str, symbol: str, levels: int
) -> None:
    session_ms = IN_SESSION_MS - 24 * 3_600_000  # the same time of the day before
    await check_market_plugin(
        lambda: make_plugin(venue, clock),
        market=market,
        symbol=symbol,
        history_ms=(session_ms, session_ms + 3 * 3_600_000),
        now_ms=clock.now_ms,
        deadline_s=30,
        advance=clock.advance,
        book_levels=levels,
    )
    assert venue.hub.errors == {}

"""The simulated exchange keeps the promises of ``MarketPlugin``."""

from __future__ import annotations

import pytest

from tradewright.plugins.base import MarketPlugin, PluginSetup
from tradewright.plugins.simulated import SimulatedPlugin
from tradewright.testing import DrivenClock, check_market_plugin

MONDAY_AFTERNOON_MS = 1_718_636_400_000  # 2024-06-17 15:00 UTC, in a session of the NYSE
DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("market", "symbol"), [("crypto", "BTC/USDT"), ("crypto", "ETH/BTC"), ("stocks", "TSLA")]
)
async def test_keeps_the_promises(market: str, symbol: str) -> None:
    clock = DrivenClock(MONDAY_AFTERNOON_MS + 12_345)

    def make() -> MarketPlugin:
        return SimulatedPlugin(PluginSetup("simulated", clock=clock))

    await check_market_plugin(make, market=market, symbol=symbol, advance=clock.advance)


async def test_keeps_the_promises_over_months_of_history() -> None:
    clock = DrivenClock(MONDAY_AFTERNOON_MS)
    history_ms = (MONDAY_AFTERNOON_MS - 70 * DAY_MS, MONDAY_AFTERNOON_MS)

    async def make() -> MarketPlugin:
        return SimulatedPlugin(PluginSetup("simulated", clock=clock))

    await check_market_plugin(
        make, market="crypto", symbol="SOL/USDT", history_ms=history_ms, advance=clock.advance
    )

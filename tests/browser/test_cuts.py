"""Charts of two servers on one Redis keep all bars and trades, whatever is cut."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.support.cut_house import cut_house
from tests.venues.binance import BinanceVenue, generate_capture
from tools.private_servers import OwnRedis

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CUTS = (
    "the venue's sockets are cut",
    "a browser's line is cut",
    "a server is killed",
    "Redis is killed",
)


async def test_no_bar_and_no_trade_is_lost_or_doubled(
    tmp_path: Path, own_redis: OwnRedis, postgres_url: str, browser: Browser
) -> None:
    chance = random.Random(5)
    async with (
        BinanceVenue(generate_capture(5, 900), lead_in_s=600) as venue,
        cut_house(tmp_path, venue, own_redis, postgres_url, browser) as house,
    ):
        await house.whole()
        for name in CUTS:
            await house.cuts[name](chance)
            await house.whole()
        verdict = await house.verdict()
        assert not verdict.faults, str(verdict)
        assert verdict.bars > 10
        assert verdict.trades > 100
        assert not [each for chart in house.charts for each in chart.complaints]

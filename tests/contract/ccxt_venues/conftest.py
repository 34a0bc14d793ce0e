"""Four exchanges of the generic plugin, each over its emulator with the same truth and a driven clock."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contract.ccxt_venues.reader import Reader, open_reader
from tests.contract.ccxt_venues.rig import NOW_MS, VENUES, Rig, make_rig
from tests.venues.clock import HastyClock


@pytest.fixture
def clock() -> HastyClock:
    return HastyClock(NOW_MS)


@pytest.fixture(params=sorted(VENUES))
async def rig(request: pytest.FixtureRequest, clock: HastyClock) -> AsyncIterator[Rig]:
    async with make_rig(request.param, clock) as made:
        yield made


@pytest.fixture
async def reader(rig: Rig) -> AsyncIterator[Reader]:
    async with open_reader(rig) as made:
        yield made

"""What the tests of AlpacaPlugin share: a moment in a session, plugins with and without a key, and waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar, Final, TypeVar

from tests.venues.alpaca import API_KEY, SECRET, AlpacaVenue
from tradewright.domain.credentials import Credentials
from tradewright.domain.timeframes import TIMEFRAMES
from tradewright.plugins.alpaca import AlpacaPlugin
from tradewright.plugins.base import PluginSetup
from tradewright.runtime.clock import Clock

T = TypeVar("T")

MINUTE: Final = TIMEFRAMES["1m"]
DAY: Final = TIMEFRAMES["1d"]
IN_SESSION_MS: Final = 1_723_125_600_000 + 20 * 60_000
"""2024-08-08 14:20 UTC: a Thursday, fifty minutes into the session in New York."""

KEY: Final = Credentials({"api_key": API_KEY, "secret": SECRET})


class ImpatientPlugin(AlpacaPlugin):
    http_timeout_s: ClassVar[float] = 1.0


def make_plugin(
    venue: AlpacaVenue, clock: Clock, *, key: Credentials | None = KEY, **options: object
) -> AlpacaPlugin:
    """A plugin that reaches the venue and gives up on it soon."""
    table = venue.provider_options() | options
    return ImpatientPlugin(PluginSetup("alpaca", key, testnet=True, options=table, clock=clock))


async def wait_until(condition: Callable[[], bool], deadline_s: float = 10) -> None:
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 -- the venue has no events for what tests may ask
            await asyncio.sleep(0.01)


async def take(stream: AsyncIterator[T], count: int, deadline_s: float = 10) -> list[T]:
    found: list[T] = []
    async with asyncio.timeout(deadline_s):
        async for item in stream:
            found.append(item)
            if len(found) >= count:
                break
    return found


async def finish(stream: AsyncIterator[Any]) -> None:
    await stream.aclose()  # type: ignore[attr-defined]

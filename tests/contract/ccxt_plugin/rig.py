"""What the tests of CCXTPlugin share: a capture, a patient and an impatient plugin, and waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar, TypeVar

from tests.venues.binance import generate_capture
from tradewright.domain.timeframes import Timeframe
from tradewright.plugins.ccxt import CCXTPlugin

T = TypeVar("T")

MINUTE = Timeframe.parse("1m")
SYMBOL = "BTC/USDT"
TICKER = "/api/v3/ticker/24hr"
LEAD_IN_S = 130
CAPTURE = generate_capture(4, 120)


class ImpatientPlugin(CCXTPlugin):
    http_timeout_s: ClassVar[float] = 0.5


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


def refusal(code: int, text: str) -> str:
    return json.dumps({"code": code, "msg": text})

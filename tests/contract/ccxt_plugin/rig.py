"""What the tests of CCXTPlugin share: a capture, a patient and an impatient plugin, and waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, TypeVar

from tests.venues.binance import BinanceVenue, generate_capture
from tests.venues.binance.trading import API_KEY, SECRET
from tests.venues.impatient import ImpatientPlugin
from tradewright.domain.credentials import Credentials
from tradewright.domain.orders import OrderRequest
from tradewright.domain.timeframes import Timeframe
from tradewright.plugins._ccxt_governor import Governor
from tradewright.plugins.base import PluginSetup
from tradewright.plugins.ccxt import CCXTPlugin

T = TypeVar("T")

MINUTE = Timeframe.parse("1m")
SYMBOL = "BTC/USDT"
TICKER = "/api/v3/ticker/24hr"
LEAD_IN_S = 130
CAPTURE = generate_capture(4, 120)


KEYS = Credentials({"api_key": API_KEY, "secret": SECRET})
CREATE = "POST /api/v3/order"
CANCEL = "DELETE /api/v3/order"


class HastyPlugin(ImpatientPlugin):
    """One that the tests need not wait for: at a venue of their own no pace has to be kept."""

    def _make_exchanges(self) -> tuple[Any, Any]:
        both = super()._make_exchanges()
        governor = Governor(self.provider, self.clock, per_second=1_000)
        for exchange in filter(None, both):
            exchange.governor = governor
        return both


def order_request(client_order_id: str = "tw-1", **changes: Any) -> OrderRequest:
    """A limit order that rests, or what the changes make of it."""
    limit = {"type": "limit", "price": Decimal(1_000)}
    whole = {"symbol": SYMBOL, "side": "buy", "amount": Decimal("0.25"), **limit, **changes}
    return OrderRequest(client_order_id=client_order_id, **whole)


@asynccontextmanager
async def trader_on(venue: BinanceVenue, **setup: Any) -> AsyncIterator[CCXTPlugin]:
    """A plugin with the venue's key, closed in the end."""
    plugin = HastyPlugin(PluginSetup("binance", KEYS, options=venue.provider_options(), **setup))
    try:
        yield plugin
    finally:
        await plugin.close()


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

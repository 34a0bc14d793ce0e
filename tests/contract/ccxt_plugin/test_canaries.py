"""No secret shows in an error, a representation or a log, whatever an account goes through."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.contract.ccxt_plugin.rig import CREATE, SYMBOL, HastyPlugin, finish, order_request, refusal
from tests.venues.binance import BinanceVenue
from tests.venues.binance.trading import DOUBTS
from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import TradewrightError
from tradewright.plugins.base import PluginSetup
from tradewright.plugins.ccxt import CCXTPlugin

KEY, SECRET = "CANARY-KEY-7f3a", "CANARY-SECRET-91bc"
ECHO = f"key {KEY} of https://venue/api?timestamp=1&signature=CANARY-SIGNATURE&a={SECRET} and {SECRET}"


def chain(error: BaseException | None) -> list[str]:
    """All that a traceback would show."""
    texts = []
    while error is not None:
        texts += [repr(error), str(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return texts


async def test_nothing_that_goes_wrong_shows_a_secret(
    venue: BinanceVenue, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("", "ccxt", "ccxt.base.exchange", "aiohttp", "tradewright"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    venue.trading.keys[KEY] = SECRET
    keys = Credentials({"api_key": KEY, "secret": SECRET})
    plugin: CCXTPlugin = HastyPlugin(PluginSetup("binance", keys, options=venue.provider_options()))
    texts = [repr(plugin), str(plugin.setup), repr(plugin.setup)]

    async def fails(call: Callable[[], Awaitable[Any]], *, always: bool = True) -> None:
        try:
            await call()
        except TradewrightError as error:
            texts.extend(chain(error))
        else:
            assert not always

    order = await plugin.create_order(order_request("tw-0"))
    calls: tuple[tuple[str, Callable[[], Awaitable[Any]]], ...] = (
        ("/api/v3/order", lambda: plugin.create_order(order_request())),
        ("/api/v3/order", lambda: plugin.cancel_order(SYMBOL, venue_order_id=order.venue_order_id)),
        ("/api/v3/order", lambda: plugin.fetch_order(SYMBOL, client_order_id="tw-0")),
        ("/api/v3/account", plugin.fetch_balances),
        ("/api/v3/myTrades", lambda: plugin.fetch_my_trades(SYMBOL, since_ms=1, limit=5)),
    )
    for path, call in calls:
        for status, code in ((400, -2010), (401, -2015), (400, -9999), (400, -1121), (400, -1021), (503, -1)):
            venue.faults.answer(path, status=status, body=refusal(code, ECHO), times=2)
            await fails(call)
            await venue.faults.heal()
        for body in (ECHO, f'["{ECHO}"]', f'{{"symbol":"{ECHO}","orderId":"{ECHO}"}}'):
            venue.faults.answer(path, body=body)
            await fails(call, always=False)  # to CCXT an account without balances has nothing
    for shape in ("hang", "reset", "cut_body", *DOUBTS):
        venue.trading.doubt(CREATE, shape)
        await fails(lambda: plugin.create_order(order_request("tw-doubt")))
        await plugin.cancel_all_orders(SYMBOL)
    for bad in ("NaN", "1e30"):
        await fails(lambda bad=bad: plugin.create_order(order_request(amount=Decimal(bad))))  # type: ignore[misc]
    venue.trading.keys.clear()
    stream = plugin.watch_orders()
    await fails(lambda: anext(stream))
    await finish(stream)
    await plugin.close()
    shown = "\n".join([*texts, caplog.text, *capsys.readouterr()])
    assert "CANARY" not in shown
    assert "***" in shown, "the venue's reason is kept"

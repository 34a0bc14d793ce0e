"""Import, secrets, all exchanges, and the promises of a market plugin."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import pytest

from tests.contract.ccxt_plugin.rig import (
    CAPTURE,
    LEAD_IN_S,
    MINUTE,
    SYMBOL,
    TICKER,
    HastyPlugin,
    finish,
    refusal,
    take,
)
from tests.venues.binance import BinanceVenue
from tradewright.domain.capabilities import Capability
from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import (
    PluginFeatureNotSupportedError,
    TradewrightError,
)
from tradewright.plugins._ccxt_manifest import TRADING, load_manifest
from tradewright.plugins.base import PluginSetup
from tradewright.plugins.ccxt import CCXTPlugin
from tradewright.testing import check_market_plugin


async def test_what_is_not_declared_is_refused() -> None:
    name = next(name for name, entry in load_manifest().exchanges.items() if not entry.streams)
    plugin = CCXTPlugin(PluginSetup(name))
    with pytest.raises(PluginFeatureNotSupportedError, match="watch_trades"):
        plugin.watch_trades(SYMBOL)
    with pytest.raises(PluginFeatureNotSupportedError):
        await plugin.fetch_balances()
    await plugin.close()


async def test_secrets_show_nowhere(
    venue: BinanceVenue, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("ccxt", "ccxt.base.exchange", "tradewright.plugins._ccxt_exchange.library"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    credentials = Credentials({"api_key": "CANARY-KEY", "secret": "CANARY-SECRET"})
    plugin = CCXTPlugin(PluginSetup("binance", credentials, options=venue.provider_options()))
    texts = [repr(plugin), str(plugin.setup)]
    await plugin.fetch_ticker(SYMBOL)
    for code, status in ((-2015, 401), (-1121, 400), (-1003, 429)):
        body = refusal(code, "bad key CANARY-KEY at https://x/api?signature=CANARY-SECRET&a=1")
        venue.faults.answer(TICKER, status=status, body=body)
        with pytest.raises(TradewrightError) as caught:
            await plugin.fetch_ticker(SYMBOL)
        error: BaseException | None = caught.value
        while error is not None:
            texts.append(repr(error))
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    stream = plugin.watch_trades(SYMBOL)
    await take(stream, 1)
    await finish(stream)
    await plugin.close()
    shown = "\n".join([*texts, caplog.text, *capsys.readouterr()])
    assert "CANARY" not in shown
    assert "Invalid" in shown or "bad key" in shown, "the venue's reason is kept"


async def test_the_import_does_not_block_the_loop(venue: BinanceVenue) -> None:
    """In a fresh interpreter, where CCXT has not been imported yet."""
    program = f"""
import asyncio, sys, time
from tradewright.domain.errors import TradewrightError
from tradewright.plugins.base import PluginSetup
from tradewright.plugins.ccxt import CCXTPlugin
from tradewright.testing import check_market_plugin

async def main():
    plugin = CCXTPlugin(PluginSetup("binance", options={venue.provider_options()!r}))
    assert "ccxt" not in sys.modules
    beats = []
    async def beat():
        while True:
            beats.append(time.perf_counter())
            await asyncio.sleep(0.005)
    beating = asyncio.create_task(beat())
    opening = asyncio.create_task(plugin._open())
    await opening
    beating.cancel()
    assert "ccxt" in sys.modules
    await plugin.close()
    print(len(beats))

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    assert int(out) > 10, "the loop went on while CCXT was imported"


async def test_every_exchange_of_the_manifest_can_be_made() -> None:
    from tradewright.plugins import _ccxt_exchange

    for name in load_manifest().exchanges:
        plugin = CCXTPlugin(PluginSetup(name, Credentials({"api_key": "k", "secret": "s"})))
        exchange, account = plugin._make_exchanges()
        assert exchange.id == account.id == name
        assert exchange.governor is account.governor
        assert exchange.governor.retry_after_s is None
        assert (exchange.number, account.number) == (float, str)
        assert isinstance(exchange, _ccxt_exchange._Manners)
        for capability in plugin.capabilities & TRADING:
            assert _own_methods(account, METHODS[capability]), f"{name} has no {capability} of its own"
        await plugin.close()


METHODS = {
    Capability.WATCH_ORDERS: "watch_orders",
    Capability.WATCH_MY_TRADES: "watch_my_trades",
    Capability.WATCH_BALANCES: "watch_balance",
    Capability.WATCH_POSITIONS: "watch_positions",
    Capability.CREATE_ORDER: "create_order",
    Capability.CANCEL_ORDER: "cancel_order",
    Capability.CANCEL_ALL_ORDERS: "cancel_all_orders",
    Capability.EDIT_ORDER: "edit_order",
    Capability.FETCH_ORDER: "fetch_order",
    Capability.FETCH_OPEN_ORDERS: "fetch_open_orders",
    Capability.FETCH_CLOSED_ORDERS: "fetch_canceled_and_closed_orders fetch_orders fetch_closed_orders",
    Capability.FETCH_MY_TRADES: "fetch_my_trades",
    Capability.FETCH_BALANCES: "fetch_balance",
    Capability.FETCH_POSITIONS: "fetch_positions",
    Capability.FETCH_FEES: "fetch_trading_fee fetch_trading_fees",
    Capability.SET_LEVERAGE: "set_leverage",
}


def _own_methods(exchange: Any, names: str) -> list[str]:
    """Those of the methods that are not CCXT's general ones, which refuse or emulate."""
    from ccxt.async_support import Exchange

    kind = type(exchange)
    return [name for name in names.split() if getattr(kind, name) is not getattr(Exchange, name)]


async def test_it_keeps_the_promises_of_a_market_plugin() -> None:
    async with BinanceVenue(CAPTURE, lead_in_s=LEAD_IN_S, speed=3) as venue:
        started_ms = venue.time.now_ms()
        await check_market_plugin(
            lambda: HastyPlugin(PluginSetup("binance", options=venue.provider_options())),
            market="crypto",
            symbol=SYMBOL,
            history_ms=(MINUTE.ceil(started_ms - LEAD_IN_S * 1000), MINUTE.floor(started_ms)),
            timeframes=("1m", "5m", "1d"),
            now_ms=venue.time.now_ms,
        )

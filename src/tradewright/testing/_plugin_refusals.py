"""Promises about what a plugin refuses: what it does not declare, and symbols that it does not list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Final, TypeAlias

from tradewright.domain.capabilities import Capability
from tradewright.domain.errors import PluginFeatureNotSupportedError, TradewrightError, UnknownSymbol
from tradewright.domain.orders import OrderRequest
from tradewright.domain.timeframes import ONE_MINUTE
from tradewright.plugins.base import MarketPlugin
from tradewright.testing._plugin_subject import Subject

Call: TypeAlias = Callable[[], Awaitable[object] | AsyncIterator[object]]

_UNLISTED: Final = "NOSUCH0/NOSUCH1"
_DATA: Final = (
    Capability.OHLCV,
    Capability.TICKER,
    Capability.ORDER_BOOK,
    Capability.TRADES,
    Capability.WATCH_OHLCV,
    Capability.WATCH_TICKER,
    Capability.WATCH_ORDER_BOOK,
    Capability.WATCH_TRADES,
)


async def check_undeclared(subject: Subject, plugin: MarketPlugin) -> None:
    """Whatever is not declared raises ``PluginFeatureNotSupportedError`` and does nothing."""
    now_ms = await subject.now_ms(plugin)
    calls = _data_calls(subject, plugin, subject.symbol, now_ms) | _trading_calls(plugin, subject.symbol)
    for capability, call in calls.items():
        if not plugin.supports(capability):
            await _refused(
                subject, capability, call, PluginFeatureNotSupportedError, "although it is not declared"
            )


async def check_unknown_symbol(subject: Subject, plugin: MarketPlugin) -> None:
    """Market data of a symbol that is not listed raises ``UnknownSymbol``."""
    calls = _data_calls(subject, plugin, _UNLISTED, await subject.now_ms(plugin))
    for capability, call in calls.items():
        if plugin.supports(capability):
            await _refused(subject, capability, call, UnknownSymbol, "for a symbol that is not listed")


async def _refused(
    subject: Subject, capability: Capability, call: Call, error: type[TradewrightError], when: str
) -> None:
    async with subject.attempt(f"Refusing {capability.value} {when}"):
        try:
            answer = call()
            if isinstance(answer, AsyncIterator):
                await anext(answer)
            else:
                await answer
        except error:
            return
    raise AssertionError(f"{capability.value} did not raise {error.__name__} {when}.")


def _data_calls(subject: Subject, plugin: MarketPlugin, symbol: str, now_ms: int) -> dict[Capability, Call]:
    timeframe = next(iter(subject.timeframes(plugin)), ONE_MINUTE)
    start_ms = timeframe.floor(now_ms)
    calls: tuple[Call, ...] = (
        lambda: plugin.fetch_ohlcv(symbol, timeframe, start_ms=start_ms, end_ms=now_ms + 1, limit=1),
        lambda: plugin.fetch_ticker(symbol),
        lambda: plugin.fetch_order_book(symbol, 5),
        lambda: plugin.fetch_trades(symbol, 5),
        lambda: plugin.watch_ohlcv(symbol, timeframe),
        lambda: plugin.watch_ticker(symbol),
        lambda: plugin.watch_order_book(symbol),
        lambda: plugin.watch_trades(symbol),
    )
    return dict(zip(_DATA, calls, strict=True))


def _trading_calls(plugin: MarketPlugin, symbol: str) -> dict[Capability, Call]:
    order = OrderRequest(
        client_order_id="conformance-check",
        symbol=symbol,
        side="buy",
        type="limit",
        amount=Decimal(1),
        price=Decimal("0.00000001"),
    )
    return {
        Capability.WATCH_ORDERS: plugin.watch_orders,
        Capability.WATCH_MY_TRADES: plugin.watch_my_trades,
        Capability.WATCH_BALANCES: plugin.watch_balances,
        Capability.WATCH_POSITIONS: plugin.watch_positions,
        Capability.CREATE_ORDER: lambda: plugin.create_order(order),
        Capability.CANCEL_ORDER: lambda: plugin.cancel_order(symbol, venue_order_id="0"),
        Capability.CANCEL_ALL_ORDERS: lambda: plugin.cancel_all_orders(symbol),
        Capability.EDIT_ORDER: lambda: plugin.edit_order(symbol, venue_order_id="0", amount=Decimal(1)),
        Capability.FETCH_ORDER: lambda: plugin.fetch_order(symbol, venue_order_id="0"),
        Capability.FETCH_OPEN_ORDERS: lambda: plugin.fetch_open_orders(symbol),
        Capability.FETCH_CLOSED_ORDERS: lambda: plugin.fetch_closed_orders(symbol, since_ms=0, limit=1),
        Capability.FETCH_MY_TRADES: lambda: plugin.fetch_my_trades(symbol, since_ms=0, limit=1),
        Capability.FETCH_BALANCES: plugin.fetch_balances,
        Capability.FETCH_POSITIONS: plugin.fetch_positions,
        Capability.FETCH_FEES: lambda: plugin.fetch_fees(symbol),
        Capability.SET_LEVERAGE: lambda: plugin.set_leverage(symbol, Decimal(1)),
    }

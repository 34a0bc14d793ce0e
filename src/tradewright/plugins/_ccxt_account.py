"""The methods of ``CCXTPlugin`` that concern an account: each asks its capability and hands on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal

from tradewright.domain.capabilities import Capability
from tradewright.domain.credentials import KeyPermissions
from tradewright.domain.orders import (
    Balance,
    OrderRequest,
    Position,
    TradingFees,
    VenueFill,
    VenueOrder,
)
from tradewright.plugins._ccxt_feeds import (
    after_each,
    balances_feed,
    fills_feed,
    one_by_one,
    orders_feed,
    positions_feed,
)
from tradewright.plugins._ccxt_streams import StreamSet
from tradewright.plugins._ccxt_trading import Trading
from tradewright.plugins.base import MarketPlugin


class AccountMethods(MarketPlugin):
    """What ``Trading`` does, as a plugin offers it."""

    _trading: Trading
    _account_streams: StreamSet

    @abstractmethod
    def _require(self, capability: Capability) -> None:
        """Raise where the instance does not offer that."""

    async def create_order(self, request: OrderRequest) -> VenueOrder:
        self._require(Capability.CREATE_ORDER)
        return await self._trading.create_order(request)

    async def cancel_order(self, symbol: str, *, venue_order_id: str) -> VenueOrder:
        self._require(Capability.CANCEL_ORDER)
        return await self._trading.cancel_order(symbol, venue_order_id)

    async def cancel_all_orders(self, symbol: str | None = None) -> None:
        self._require(Capability.CANCEL_ALL_ORDERS)
        await self._trading.cancel_all_orders(symbol)

    async def edit_order(
        self,
        symbol: str,
        *,
        venue_order_id: str,
        amount: Decimal | None = None,
        price: Decimal | None = None,
        stop_price: Decimal | None = None,
    ) -> VenueOrder:
        self._require(Capability.EDIT_ORDER)
        return await self._trading.edit_order(
            symbol, venue_order_id, amount=amount, price=price, stop_price=stop_price
        )

    async def fetch_order(
        self, symbol: str, *, venue_order_id: str | None = None, client_order_id: str | None = None
    ) -> VenueOrder | None:
        self._require(Capability.FETCH_ORDER)
        return await self._trading.fetch_order(symbol, venue_order_id, client_order_id)

    async def fetch_open_orders(self, symbol: str | None = None) -> Sequence[VenueOrder]:
        self._require(Capability.FETCH_OPEN_ORDERS)
        return await self._trading.fetch_open_orders(symbol)

    async def fetch_closed_orders(self, symbol: str, *, since_ms: int, limit: int) -> Sequence[VenueOrder]:
        self._require(Capability.FETCH_CLOSED_ORDERS)
        return await self._trading.fetch_closed_orders(symbol, since_ms, limit)

    async def fetch_my_trades(self, symbol: str, *, since_ms: int, limit: int) -> Sequence[VenueFill]:
        self._require(Capability.FETCH_MY_TRADES)
        return await self._trading.fetch_my_trades(symbol, since_ms, limit)

    async def key_permissions(self) -> KeyPermissions:
        self._require(Capability.FETCH_BALANCES)
        return await self._trading.key_permissions(self.provider)

    async def fetch_balances(self) -> Sequence[Balance]:
        self._require(Capability.FETCH_BALANCES)
        return await self._trading.fetch_balances()

    async def fetch_positions(self) -> Sequence[Position]:
        self._require(Capability.FETCH_POSITIONS)
        return await self._trading.fetch_positions()

    async def fetch_fees(self, symbol: str) -> TradingFees:
        self._require(Capability.FETCH_FEES)
        return await self._trading.fetch_fees(symbol)

    async def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        self._require(Capability.SET_LEVERAGE)
        await self._trading.set_leverage(symbol, leverage)

    def watch_orders(self) -> AsyncIterator[VenueOrder]:
        self._require(Capability.WATCH_ORDERS)
        return one_by_one(self._account_streams.stream(orders_feed()))

    def watch_my_trades(self) -> AsyncIterator[VenueFill]:
        self._require(Capability.WATCH_MY_TRADES)
        return one_by_one(self._account_streams.stream(fills_feed()))

    # What these two streams tell is a part, and of some exchanges a difference: what there is is asked for.

    def watch_balances(self) -> AsyncIterator[Sequence[Balance]]:
        self._require(Capability.WATCH_BALANCES)
        self._require(Capability.FETCH_BALANCES)
        return after_each(self._account_streams.stream(balances_feed()), self._trading.fetch_balances)

    def watch_positions(self) -> AsyncIterator[Sequence[Position]]:
        self._require(Capability.WATCH_POSITIONS)
        self._require(Capability.FETCH_POSITIONS)
        return after_each(self._account_streams.stream(positions_feed()), self._trading.fetch_positions)

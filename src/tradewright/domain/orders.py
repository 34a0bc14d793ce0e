"""Orders, fills, balances and positions as a venue reports them. Money and amounts are ``Decimal``."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, TypeAlias

import msgspec

from tradewright.domain.instruments import OrderType
from tradewright.domain.ticks import Side

OrderStatus: TypeAlias = Literal[
    "pending", "open", "partially_filled", "filled", "canceled", "rejected", "expired", "unknown"
]
TimeInForce: TypeAlias = Literal["gtc", "ioc", "fok", "day"]


class Fee(msgspec.Struct, frozen=True):
    """What a fill or an order cost, in ``currency``."""

    currency: str
    cost: Decimal


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it is to be sent once; ``client_order_id`` is ours and unique for ever."""

    client_order_id: str
    symbol: str
    side: Side
    type: OrderType
    amount: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce | None = None
    post_only: bool = False
    reduce_only: bool = False


class VenueOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the venue knows it; ``updated_ms`` is the venue's time."""

    venue_order_id: str
    client_order_id: str | None
    symbol: str
    side: Side
    type: OrderType
    status: OrderStatus
    amount: Decimal
    filled: Decimal
    remaining: Decimal
    price: Decimal | None = None
    average: Decimal | None = None
    fee: Fee | None = None
    created_ms: int | None = None
    updated_ms: int | None = None


class VenueFill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of one order; ``trade_id`` is unique per symbol at the venue."""

    trade_id: str
    venue_order_id: str
    symbol: str
    side: Side
    price: Decimal
    amount: Decimal
    time_ms: int
    fee: Fee | None = None
    maker: bool | None = None


class Balance(msgspec.Struct, frozen=True):
    """What an account holds of one currency; ``total`` is ``free`` plus ``locked``."""

    currency: str
    free: Decimal
    locked: Decimal

    @property
    def total(self) -> Decimal:
        """All of it, whether an order locks it or not."""
        return self.free + self.locked


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """An open position; ``amount`` is negative for a short one."""

    symbol: str
    amount: Decimal
    entry_price: Decimal | None = None
    mark_price: Decimal | None = None
    unrealized_pnl: Decimal | None = None
    leverage: Decimal | None = None


class TradingFees(msgspec.Struct, frozen=True):
    """Rates as fractions: 0.001 is a tenth of a percent."""

    maker: Decimal
    taker: Decimal

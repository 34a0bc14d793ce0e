"""The venue's own books: orders, executions and balances. It is the judge of what really happened."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from tests.venues.time import VenueTime

Status: TypeAlias = Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"]
Execution: TypeAlias = Literal["NEW", "TRADE", "CANCELED", "EXPIRED"]

OPEN: Final = ("NEW", "PARTIALLY_FILLED")
FEE: Final = Decimal("0.001")


class LedgerError(Exception):
    """The books do not allow it; the text is the venue's."""


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution."""

    id: int
    price: Decimal
    amount: Decimal
    fee: Decimal
    fee_asset: str
    time_ms: int
    maker: bool


@dataclass(slots=True)
class PlacedOrder:
    """One order; ``cancel_id`` is the client id of the cancellation that ended it."""

    id: int
    client_id: str
    symbol: str
    base: str
    quote: str
    side: str
    type: str
    time_in_force: str
    amount: Decimal
    price: Decimal
    stop_price: Decimal
    created_ms: int
    updated_ms: int
    status: Status = "NEW"
    cancel_id: str = ""
    fills: list[Fill] = field(default_factory=list)

    @property
    def executed(self) -> Decimal:
        """How much is filled."""
        return sum((fill.amount for fill in self.fills), Decimal(0))

    @property
    def cost(self) -> Decimal:
        """What the fills were worth."""
        return sum((fill.amount * fill.price for fill in self.fills), Decimal(0))

    @property
    def open(self) -> bool:
        """Whether it can still be filled."""
        return self.status in OPEN


class Ledger:
    """One account. ``listeners`` hear of every change."""

    def __init__(self, time: VenueTime) -> None:
        self._time = time
        self._ids = itertools.count(28)
        self._fill_ids = itertools.count(501)
        self.orders: dict[int, PlacedOrder] = {}
        self.free: dict[str, Decimal] = {"USDT": Decimal(1_000_000), "BTC": Decimal(10)}
        self.locked: dict[str, Decimal] = {}
        self.listeners: list[Callable[[PlacedOrder, Execution], None]] = []

    def place(
        self,
        *,
        client_id: str,
        symbol: str,
        base: str,
        quote: str,
        side: str,
        kind: str,
        time_in_force: str,
        amount: Decimal,
        price: Decimal,
        stop_price: Decimal,
        market_price: Decimal,
    ) -> PlacedOrder:
        """Take an order: a market order is filled at once at ``market_price``, others rest."""
        if any(one.open and one.client_id == client_id for one in self.orders.values()):
            raise LedgerError("Duplicate order sent.")
        order = PlacedOrder(
            next(self._ids),
            client_id,
            symbol,
            base,
            quote,
            side,
            kind,
            time_in_force,
            amount,
            price,
            stop_price,
            self._time.now_ms(),
            self._time.now_ms(),
        )
        asset, needed = _locks(order, price or market_price)
        if self.free.get(asset, Decimal(0)) < needed:
            raise LedgerError("Account has insufficient balance for requested action.")
        self.orders[order.id] = order
        self._move(asset, -needed, needed)
        self._tell(order, "NEW")
        if kind == "MARKET":
            self.fill(order.id, amount, market_price, maker=False)
        elif time_in_force in ("IOC", "FOK"):
            self._end(order, "EXPIRED")
        return order

    def fill(
        self, order_id: int, amount: Decimal, price: Decimal | None = None, *, maker: bool = True
    ) -> None:
        """Execute a part of an open order, at its own price where none is given."""
        order = self.orders[order_id]
        if not order.open or amount > order.amount - order.executed:
            raise LedgerError("There is not that much left to fill.")
        at = price if price is not None else order.price
        got, fee_asset = (amount, order.base) if order.side == "BUY" else (amount * at, order.quote)
        fill = Fill(next(self._fill_ids), at, amount, got * FEE, fee_asset, self._time.now_ms(), maker)
        order.fills.append(fill)
        asset, unlocked = _locks(order, order.price or at, amount)
        self._move(asset, unlocked - (amount * at if order.side == "BUY" else amount), -unlocked)
        self._move(fee_asset, got - fill.fee, Decimal(0))
        order.status = "FILLED" if order.executed == order.amount else "PARTIALLY_FILLED"
        order.updated_ms = fill.time_ms
        self._tell(order, "TRADE")

    def cancel(self, order: PlacedOrder, cancel_id: str) -> None:
        """End an open order."""
        order.cancel_id = cancel_id
        self._end(order, "CANCELED")

    def find(self, symbol: str, order_id: int | None, client_id: str | None) -> PlacedOrder | None:
        """The order of that id, or the newest of that client id."""
        chosen: Iterable[PlacedOrder] = reversed(self.orders.values())
        for order in chosen:
            if order.symbol == symbol and (order.id == order_id or order.client_id == client_id):
                return order
        return None

    def of_client(self, client_id: str) -> list[PlacedOrder]:
        """All orders that ever came with that client id."""
        return [order for order in self.orders.values() if order.client_id == client_id]

    def _end(self, order: PlacedOrder, status: Literal["CANCELED", "EXPIRED"]) -> None:
        asset, left = _locks(order, order.price, order.amount - order.executed)
        self._move(asset, left, -left)
        order.status, order.updated_ms = status, self._time.now_ms()
        self._tell(order, status)

    def _move(self, asset: str, free: Decimal, locked: Decimal) -> None:
        self.free[asset] = self.free.get(asset, Decimal(0)) + free
        self.locked[asset] = self.locked.get(asset, Decimal(0)) + locked

    def _tell(self, order: PlacedOrder, execution: Execution) -> None:
        for listener in tuple(self.listeners):
            listener(order, execution)


def _locks(order: PlacedOrder, price: Decimal, amount: Decimal | None = None) -> tuple[str, Decimal]:
    """What an order, or a part of it, keeps from being spent."""
    part = order.amount if amount is None else amount
    return (order.quote, part * price) if order.side == "BUY" else (order.base, part)

"""One account's orders, fills, cash and positions, exact: the judge of what really happened."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from random import Random
from typing import Final

from tests.venues.alpaca.data_api import Refused
from tests.venues.alpaca.securities import Security, stamp
from tests.venues.time import VenueTime

OPEN: Final = frozenset({"new", "accepted", "partially_filled"})


@dataclass(slots=True)
class LedgerOrder:
    """One order in all its states."""

    id: str
    client_order_id: str
    symbol: str
    asset_class: str
    side: str
    type: str
    time_in_force: str
    qty: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    created_ms: int
    updated_ms: int
    status: str = "new"
    filled_qty: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    triggered: bool = False
    replaced_by: str | None = None

    def row(self) -> dict[str, object]:
        """The REST form."""
        average = self.paid / self.filled_qty if self.filled_qty else None
        return {
            "id": self.id,
            "client_order_id": self.client_order_id,
            "created_at": stamp(self.created_ms),
            "updated_at": stamp(self.updated_ms),
            "submitted_at": stamp(self.created_ms),
            "symbol": self.symbol,
            "asset_class": self.asset_class,
            "notional": None,
            "qty": f"{self.qty:f}",
            "filled_qty": f"{self.filled_qty:f}",
            "filled_avg_price": None if average is None else f"{average:f}",
            "order_class": "",
            "order_type": self.type,
            "type": self.type,
            "side": self.side,
            "time_in_force": self.time_in_force,
            "limit_price": None if self.limit_price is None else f"{self.limit_price:f}",
            "stop_price": None if self.stop_price is None else f"{self.stop_price:f}",
            "status": self.status,
            "extended_hours": False,
            "replaced_by": self.replaced_by,
            "legs": None,
        }


@dataclass(frozen=True, slots=True)
class LedgerFill:
    """One execution."""

    id: str
    order: LedgerOrder
    price: Decimal
    qty: Decimal
    at_ms: int
    partial: bool

    def row(self) -> dict[str, object]:
        """The form of the account's activities."""
        return {
            "id": self.id,
            "activity_type": "FILL",
            "transaction_time": stamp(self.at_ms),
            "type": "partial_fill" if self.partial else "fill",
            "price": f"{self.price:f}",
            "qty": f"{self.qty:f}",
            "side": self.order.side,
            "symbol": self.order.symbol,
            "order_id": self.order.id,
        }


@dataclass(slots=True)
class Holding:
    """What is held of one symbol, and what was paid for it."""

    qty: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)


@dataclass(slots=True)
class Ledger:
    """Places, matches and cancels. `on_event` is told of every change; `fill_at_most` bounds each fill."""

    securities: Mapping[str, Security]
    time: VenueTime
    on_event: Callable[[str, LedgerOrder, LedgerFill | None], None]
    cash: Decimal = Decimal(100_000)
    orders: dict[str, LedgerOrder] = field(default_factory=dict)
    fills: list[LedgerFill] = field(default_factory=list)
    holdings: dict[str, Holding] = field(default_factory=dict)
    fill_at_most: Decimal | None = None
    matching: bool = True
    _chance: Random = field(default_factory=lambda: Random(7))

    def place(self, body: Mapping[str, object]) -> LedgerOrder:
        """Take an order, or refuse it in the venue's words."""
        order = self._read(body)
        if any(other.client_order_id == order.client_order_id for other in self.orders.values()):
            raise Refused(422, "client_order_id must be unique", 40010001)
        self._check(order)
        self.orders[order.id] = order
        self.on_event("new", order, None)
        self.match(order.symbol)
        return order

    def _read(self, body: Mapping[str, object]) -> LedgerOrder:
        symbol = str(body.get("symbol"))
        security = self.securities.get(symbol)
        if security is None:
            raise Refused(422, f'asset "{symbol}" not found', 40010001)
        now_ms = self.time.now_ms()
        qty = _decimal(body, "qty")
        if qty is None or qty <= 0:
            raise Refused(422, "qty must be > 0", 40010001)
        return LedgerOrder(
            id=self.new_id(),
            client_order_id=str(body.get("client_order_id") or self.new_id()),
            symbol=symbol,
            asset_class="us_equity" if security.stock else "crypto",
            side=str(body["side"]),
            type=str(body["type"]),
            time_in_force=str(body["time_in_force"]),
            qty=qty,
            limit_price=_decimal(body, "limit_price"),
            stop_price=_decimal(body, "stop_price"),
            created_ms=now_ms,
            updated_ms=now_ms,
        )

    def _check(self, order: LedgerOrder) -> None:
        security = self.securities[order.symbol]
        if security.stock and order.qty != int(order.qty) and order.time_in_force != "day":
            raise Refused(422, "fractional orders must be DAY orders", 42210000)
        for name in ("limit_price", "stop_price"):
            price: Decimal | None = getattr(order, name)
            if price is not None and price % security.tick:
                message = (
                    f"invalid {name} {price}. sub-penny increment does not fulfill minimum pricing criteria"
                )
                raise Refused(422, message, 42210000)
        needs = {"market": (), "limit": ("limit_price",), "stop": ("stop_price",)}
        for name in needs.get(order.type, ("limit_price", "stop_price")):
            if getattr(order, name) is None:
                raise Refused(422, f"{order.type} orders require {name.replace('_', ' ')}", 40010001)
        price = order.limit_price or order.stop_price or Decimal(str(security.ask[0]))
        if order.side == "buy" and price * order.qty > self.cash:
            raise Refused(403, "insufficient buying power", 40310000)
        if order.side == "sell" and order.qty > self.holdings.get(order.symbol, Holding()).qty:
            raise Refused(403, f"insufficient qty available for order (requested: {order.qty})", 40310000)

    def match(self, symbol: str) -> None:
        """Fill what can be filled at the present quote."""
        if not self.matching:
            return
        for order in [one for one in self.orders.values() if one.symbol == symbol and one.status in OPEN]:
            self._match(order)

    def _match(self, order: LedgerOrder) -> None:
        security = self.securities[order.symbol]
        buys = order.side == "buy"
        price = Decimal(str((security.ask if buys else security.bid)[0]))
        if order.stop_price is not None and not order.triggered:
            reached = price >= order.stop_price if buys else price <= order.stop_price
            if not reached:
                return
            order.triggered = True
        if order.limit_price is not None and (
            price > order.limit_price if buys else price < order.limit_price
        ):
            if order.time_in_force in ("ioc", "fok"):
                self._end(order, "canceled")
            return
        left = order.qty - order.filled_qty
        qty = left if self.fill_at_most is None else min(left, self.fill_at_most)
        order.filled_qty += qty
        order.paid += qty * price
        order.updated_ms = self.time.now_ms()
        order.status = "filled" if order.filled_qty == order.qty else "partially_filled"
        self._book(order, qty, price)
        activity = f"{stamp(order.updated_ms).translate(_DIGITS)}::{self.new_id()}"
        fill = LedgerFill(activity, order, price, qty, order.updated_ms, order.status != "filled")
        self.fills.append(fill)
        self.on_event("partial_fill" if fill.partial else "fill", order, fill)

    def _book(self, order: LedgerOrder, qty: Decimal, price: Decimal) -> None:
        holding = self.holdings.setdefault(order.symbol, Holding())
        signed = qty if order.side == "buy" else -qty
        self.cash -= signed * price
        if signed > 0:
            holding.cost += signed * price
        else:
            holding.cost += holding.cost / holding.qty * signed
        holding.qty += signed
        if not holding.qty:
            del self.holdings[order.symbol]

    def find(self, order_id: str) -> LedgerOrder:
        """One order, or the refusal."""
        if order_id not in self.orders:
            raise Refused(404, f"order not found for {order_id}", 40410000)
        return self.orders[order_id]

    def cancel(self, order_id: str) -> None:
        """Cancel an open order."""
        order = self.find(order_id)
        if order.status not in OPEN:
            raise Refused(422, f'order is already in "{order.status}" state', 42210000)
        self._end(order, "canceled")

    def replace(self, order_id: str, body: Mapping[str, object]) -> LedgerOrder:
        """A new order with other numbers in place of an open one."""
        old = self.find(order_id)
        if old.status not in OPEN:
            raise Refused(422, f'order is already in "{old.status}" state', 42210000)
        changed = {
            name: value for name, value in body.items() if name in ("qty", "limit_price", "stop_price")
        }
        new = self._read({**old.row(), "client_order_id": None, **changed})
        self._check(new)
        old.replaced_by = new.id
        self._end(old, "replaced")
        self.orders[new.id] = new
        self.on_event("new", new, None)
        self.match(new.symbol)
        return new

    def _end(self, order: LedgerOrder, status: str) -> None:
        order.status, order.updated_ms = status, self.time.now_ms()
        self.on_event(status, order, None)

    def positions(self) -> list[dict[str, object]]:
        """What is held, in the venue's form; pairs without their slash."""
        rows: list[dict[str, object]] = []
        for symbol, holding in sorted(self.holdings.items()):
            security = self.securities[symbol]
            price = Decimal(str(security.last))
            selling = [o for o in self.orders.values() if o.symbol == symbol and o.side == "sell"]
            locked = sum((o.qty - o.filled_qty for o in selling if o.status in OPEN), Decimal(0))
            rows.append(
                {
                    "symbol": symbol.replace("/", ""),
                    "asset_class": "us_equity" if security.stock else "crypto",
                    "qty": f"{holding.qty:f}",
                    "qty_available": f"{holding.qty - locked:f}",
                    "avg_entry_price": f"{holding.cost / holding.qty:f}",
                    "side": "long",
                    "current_price": f"{price:f}",
                    "unrealized_pl": f"{price * holding.qty - holding.cost:f}",
                }
            )
        return rows

    def account(self) -> dict[str, object]:
        """The account; open orders to buy hold cash back."""
        buying = [one for one in self.orders.values() if one.side == "buy" and one.status in OPEN]
        held = sum(
            (
                (one.limit_price or one.stop_price or Decimal(0)) * (one.qty - one.filled_qty)
                for one in buying
            ),
            Decimal(0),
        )
        return {
            "id": "e6fe16f3-64a4-4921-8928-cadf02f92f98",
            "status": "ACTIVE",
            "currency": "USD",
            "cash": f"{self.cash:f}",
            "non_marginable_buying_power": f"{self.cash - held:f}",
            "buying_power": f"{2 * (self.cash - held):f}",
        }

    def new_id(self) -> str:
        """The same ids in each run."""
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))


_DIGITS: Final = {ord(sign): None for sign in "-:.TZ"}


def _decimal(body: Mapping[str, object], name: str) -> Decimal | None:
    value = body.get(name)
    if value is None:
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise Refused(422, f"{name} is no number", 40010001) from None

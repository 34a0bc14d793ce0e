"""Alpaca's trading host: orders, fills, balances, positions. Nothing here is sent twice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from tradewright.domain.credentials import KeyPermissions
from tradewright.domain.errors import (
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    PluginFeatureNotSupportedError,
)
from tradewright.domain.orders import Balance, OrderRequest, Position, TradingFees, VenueFill, VenueOrder
from tradewright.plugins import _alpaca_orders as orders
from tradewright.plugins import _alpaca_parse as parse
from tradewright.plugins._alpaca_client import ApiClient
from tradewright.plugins._alpaca_errors import NAME, NotThere, malformed
from tradewright.plugins._alpaca_listing import Listing
from tradewright.plugins._alpaca_times import rfc3339

ORDERS_PAGE: Final = 500
FILLS_PAGE: Final = 100
PAGES_MAX: Final = 50

_ID: Final = re.compile(r"[A-Za-z0-9\-]{1,64}")


class TradingDesk:
    """What one account may do. Positions in pairs are told as balances, those in stocks as positions."""

    def __init__(self, api: ApiClient, listing: Listing) -> None:
        self._api = api
        self._listing = listing

    async def create(self, request: OrderRequest) -> VenueOrder:
        """Send the order once; what comes back counts only where it is this very order."""
        made = orders.order(await self._api.send("POST", "/v2/orders", orders.order_body(request)))
        if made.client_order_id != request.client_order_id:
            raise malformed("the order it confirms is another one")
        return made

    async def cancel(self, venue_order_id: str) -> VenueOrder:
        """Ask for the cancellation, then for the order's state."""
        path = _order_path(venue_order_id)
        await self._api.send("DELETE", path)
        try:
            return orders.order(await self._api.get("trading", path))
        except PluginError as error:
            # The cancellation was taken; any other error would say that it was refused.
            raise NetworkPluginError(
                f"{NAME} takes the cancellation but does not tell its outcome."
            ) from error

    async def cancel_all(self, symbol: str | None) -> None:
        """Ask for the cancellation of every open order, or of those in one symbol."""
        if symbol is None:
            _check_cancelled(await self._api.send("DELETE", "/v2/orders"))
            return
        for each in await self.open(symbol):
            try:
                await self._api.send("DELETE", _order_path(each.venue_order_id))
            except NotThere:
                continue  # it has ended meanwhile

    async def edit(
        self,
        venue_order_id: str,
        *,
        amount: Decimal | None,
        price: Decimal | None,
        stop_price: Decimal | None,
    ) -> VenueOrder:
        """Replace the order by one with other numbers, which has an id of its own."""
        changes = {"qty": amount, "limit_price": price, "stop_price": stop_price}
        body = {name: orders.plain(value) for name, value in changes.items() if value is not None}
        return orders.order(await self._api.send("PATCH", _order_path(venue_order_id), body))

    async def find(self, venue_order_id: str | None, client_order_id: str | None) -> VenueOrder | None:
        """The order by its id or by ours, or None."""
        try:
            if venue_order_id is not None:
                return orders.order(await self._api.get("trading", _order_path(venue_order_id)))
            if client_order_id is not None:
                ours = {"client_order_id": client_order_id}
                return orders.order(await self._api.get("trading", "/v2/orders:by_client_order_id", ours))
        except NotThere:
            return None
        raise PluginError("An order is found by the venue's id or by ours; neither was given.")

    async def open(self, symbol: str | None) -> list[VenueOrder]:
        """All open orders, the oldest first."""
        return await self._orders({"status": "open"} | _symbols(symbol), PAGES_MAX * ORDERS_PAGE, after=None)

    async def closed(self, symbol: str, *, since_ms: int, limit: int) -> list[VenueOrder]:
        """Orders that are final and were submitted since then, the oldest first."""
        return await self._orders({"status": "closed"} | _symbols(symbol), limit, after=rfc3339(since_ms))

    async def _orders(self, params: Mapping[str, str], limit: int, *, after: str | None) -> list[VenueOrder]:
        found: dict[str, VenueOrder] = {}
        size = min(ORDERS_PAGE, limit)
        for _ in range(PAGES_MAX):
            from_there = {"after": after} if after else {}
            page = {"direction": "asc", "limit": str(size), "nested": "false"} | from_there
            listed = parse.rows(
                await self._api.get("trading", "/v2/orders", {**params, **page}), "the orders"
            )
            ours = [row for row in listed if _is_ours(row)]
            found.update((each.venue_order_id, each) for each in map(orders.order, ours))
            if len(listed) < size or len(found) >= limit:
                return list(found.values())[:limit]
            after = listed[-1].get("submitted_at") if isinstance(listed[-1], Mapping) else None
            if not isinstance(after, str):
                raise malformed("an order has no time")
        raise malformed("its pages do not end")

    async def fills(self, symbol: str, *, since_ms: int, limit: int) -> list[VenueFill]:
        """The account's executions in the symbol, the oldest first."""
        params = {"after": rfc3339(since_ms), "direction": "asc", "page_size": str(FILLS_PAGE)}
        found: list[VenueFill] = []
        token: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            answer = await self._api.get("trading", "/v2/account/activities/FILL", params | token)
            listed = parse.rows(answer, "the fills")
            rows = [row for row in listed if isinstance(row, Mapping) and _names(row.get("symbol"), symbol)]
            found += [orders.fill(row, symbol) for row in rows]
            if len(listed) < FILLS_PAGE or len(found) >= limit:
                return found[:limit]
            last = listed[-1].get("id") if isinstance(listed[-1], Mapping) else None
            if not isinstance(last, str) or token.get("page_token") == last:
                raise malformed("its pages do not go on")
            token = {"page_token": last}
        raise malformed("its pages do not end")

    async def balances(self) -> list[Balance]:
        """Cash, and what is held of currencies."""
        account = await self._api.get("trading", "/v2/account")
        held = [row for row in await self._positions() if orders.is_coin(row)]
        pairs = [await self._listing.pair_named(str(row.get("symbol")).replace("/", "")) for row in held]
        coins = [orders.holding(row, pair) for row, pair in zip(held, pairs, strict=True)]
        return [orders.cash(account), *coins]

    async def key_permissions(self, *, paper: bool) -> KeyPermissions:
        """What the account of the key may do. Whether a key can send coins away Alpaca does not tell; of a
        paper account there is nothing to send."""
        account = parse.table(await self._api.get("trading", "/v2/account"), "the account")
        may_trade = account.get("status") == "ACTIVE" and not any(
            account.get(name) is True
            for name in ("account_blocked", "trading_blocked", "trade_suspended_by_user")
        )
        return KeyPermissions(
            permissions=("read", "trade") if may_trade else ("read",), can_withdraw=False if paper else None
        )

    async def positions(self) -> list[Position]:
        """What is held of stocks, and owed."""
        return [
            orders.position(row) for row in await self._positions() if row.get("asset_class") == "us_equity"
        ]

    async def _positions(self) -> list[Mapping[str, Any]]:
        listed = parse.rows(await self._api.get("trading", "/v2/positions"), "the positions")
        return [parse.table(row, "a position") for row in listed]

    async def fees(self, symbol: str) -> TradingFees:
        """Stocks cost no commission. What pairs cost depends on a tier that Alpaca does not tell."""
        if not parse.is_stock(symbol):
            raise PluginFeatureNotSupportedError(f"{NAME} does not tell what the account pays for crypto.")
        await self._listing.find(symbol)
        return TradingFees(Decimal(0), Decimal(0))


def _order_path(venue_order_id: str) -> str:
    if not _ID.fullmatch(venue_order_id):
        raise NotThere(f"{NAME} has no order of such an id.")
    return f"/v2/orders/{venue_order_id}"


def _symbols(symbol: str | None) -> dict[str, str]:
    return {} if symbol is None else {"symbols": symbol}


def _is_ours(row: object) -> bool:
    """Orders of several legs and of options may have been placed elsewhere; they are none that we know."""
    return not isinstance(row, Mapping) or row.get("asset_class", "us_equity") in ("us_equity", "crypto")


def _names(theirs: object, symbol: str) -> bool:
    return isinstance(theirs, str) and theirs.replace("/", "") == symbol.replace("/", "")


def _check_cancelled(answer: object) -> None:
    """Alpaca tells of each order whether its cancellation was taken."""
    outcomes = [parse.table(row, "an outcome").get("status") for row in parse.rows(answer, "the outcomes")]
    if any(not isinstance(status, int) or status >= 500 for status in outcomes):
        raise MalformedAnswerPluginError(
            f"{NAME} does not know of every order whether it is being cancelled."
        )
    refused = sum(status not in (200, 204, 404) for status in outcomes)
    if refused:
        raise PluginError(f"{NAME} refused to cancel {refused} of {len(outcomes)} orders.")

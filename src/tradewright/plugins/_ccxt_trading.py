"""The trading side of ``CCXTPlugin``: what may change something is sent once, or not at all.

Nothing here repeats a write. What its errors tell is said at ``private_answer_of``; whoever cancels a
caller while a write is on its way gets the cancellation alone: the venue may have done it, and only a
question by the client order id tells.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import msgspec

from tradewright.domain.credentials import KeyPermissions
from tradewright.domain.errors import (
    InvalidInput,
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    PluginFeatureNotSupportedError,
)
from tradewright.domain.orders import (
    Balance,
    OrderRequest,
    Position,
    TradingFees,
    VenueFill,
    VenueOrder,
)
from tradewright.plugins import _ccxt_orders as parse
from tradewright.plugins._ccxt_arguments import order_arguments
from tradewright.plugins._ccxt_permissions import permission_question
from tradewright.plugins._ccxt_quirks import TradingFacts

if TYPE_CHECKING:
    from tradewright.plugins._ccxt_errors import Writes

_T = TypeVar("_T")

CALL_DEADLINE_S: Final = 30.0
LEVERAGE_MAX: Final = 1_000
_ID: Final = re.compile(r"[A-Za-z0-9_.:/=+-]{1,128}")


class Private(Protocol):
    """A call that needs the key, on an exchange that was made ready before."""

    async def __call__(self, call: Callable[[Any], Awaitable[_T]], *, writes: Writes | None) -> _T:
        """What the call gives, or one of our errors."""
        ...


class Trading:
    """One account. ``facts`` is what is known of the venue, ``finds_by_client_id`` whether CCXT can ask it
    for an order by our id."""

    def __init__(
        self,
        name: str,
        facts: TradingFacts,
        *,
        finds_by_client_id: bool,
        private: Private,
        ready: Callable[[str | None], Awaitable[Any]],
        library: Callable[[], Any],
    ) -> None:
        self._name = name
        self._facts = facts
        self._finds_by_client_id = finds_by_client_id and not facts.no_client_id_lookup
        self._private = private
        self._ready = ready
        self._library = library

    # Writes

    async def create_order(self, request: OrderRequest) -> VenueOrder:
        """See ``MarketPlugin.create_order``."""
        _check_id("client_order_id", request.client_order_id)
        exchange = await self._unsent(self._ready(request.symbol))
        kind, amount, price, params = order_arguments(self._library(), exchange, request)
        answer = await self._private(
            lambda exchange: exchange.create_order(request.symbol, kind, request.side, amount, price, params),
            writes="create",
        )
        order = _known_outcome(parse.order, answer, request)
        if order.client_order_id is None and self._facts.echoes_client_id:
            raise _unknown(f"{self._name} did not name our id in its answer.")
        if order.client_order_id not in (None, request.client_order_id):
            raise _unknown(f"{self._name} answered with another order than ours.")
        return order

    async def cancel_order(self, symbol: str, venue_order_id: str) -> VenueOrder:
        """See ``MarketPlugin.cancel_order``."""
        _check_id("venue_order_id", venue_order_id)
        await self._unsent(self._ready(symbol))
        answer = await self._private(
            lambda exchange: exchange.cancel_order(venue_order_id, symbol), writes="change"
        )
        try:
            order = parse.order(answer)
        except MalformedAnswerPluginError:
            return await self._after("cancellation", symbol, venue_order_id)
        if order.venue_order_id != venue_order_id:
            raise _unknown(f"{self._name} answered with another order than the one to cancel.")
        if self._facts.cancellations_have_ids:
            ours = parse.original_client_id(answer)
            return msgspec.structs.replace(order, client_order_id=ours, created_ms=None)
        return order

    async def cancel_all_orders(self, symbol: str | None) -> None:
        """See ``MarketPlugin.cancel_all_orders``. Where the venue does so by symbol alone, the symbols are
        those of the open orders, one after the other; the first failure ends it."""
        exchange = await self._unsent(self._ready(symbol))
        if await self._cancelled_all_of(symbol):
            return
        if exchange.has.get("fetchOpenOrders") is not True:
            raise PluginFeatureNotSupportedError(f"{self._name} cancels the orders of one symbol alone.")
        open_orders = await self._unsent(self.fetch_open_orders(None))
        for one in sorted({order.symbol for order in open_orders}):
            await self._cancelled_all_of(one)

    async def _cancelled_all_of(self, symbol: str | None) -> bool:
        """Whether that was done; False where CCXT wants a symbol and there is none."""
        library = self._library()

        async def cancelled(exchange: Any) -> bool:
            try:
                await exchange.cancel_all_orders(symbol)
            except library.OrderNotFound:
                pass  # there was nothing to cancel
            except library.ArgumentsRequired:
                if symbol is not None:
                    raise
                return False
            return True

        return await self._private(cancelled, writes="change")

    async def edit_order(
        self,
        symbol: str,
        venue_order_id: str,
        *,
        amount: Decimal | None,
        price: Decimal | None,
        stop_price: Decimal | None,
    ) -> VenueOrder:
        """See ``MarketPlugin.edit_order``. What is not given stays as the venue has it now."""
        exchange = await self._unsent(self._ready(symbol))
        if self._facts.spot_edit_replaces and exchange.markets[symbol].get("spot"):
            raise PluginFeatureNotSupportedError(f"{self._name} can't change a spot order in one step.")
        before = await self._unsent(self.fetch_order(symbol, venue_order_id, None))
        if before is None:
            raise PluginError(f"{self._name} has no such order.")
        library, params = self._library(), {}
        if stop_price is not None:
            params["triggerPrice"] = library.outgoing_price(exchange, symbol, stop_price, "stop_price")
        new_amount = library.outgoing_amount(exchange, symbol, before.amount if amount is None else amount)
        wanted = before.price if price is None else price
        new_price = library.outgoing_price(exchange, symbol, wanted) if wanted is not None else None
        kind = "market" if before.type in ("market", "stop") else "limit"
        answer = await self._private(
            lambda exchange: exchange.edit_order(
                venue_order_id, symbol, kind, before.side, new_amount, new_price, params
            ),
            writes="change",
        )
        new = msgspec.structs.replace(
            before,
            amount=parse.sent(new_amount),
            price=parse.sent(new_price) if new_price is not None else None,
        )
        return _known_outcome(parse.order, answer, new)

    async def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """See ``MarketPlugin.set_leverage``."""
        exchange = await self._unsent(self._ready(symbol))
        if not leverage.is_finite() or not 1 <= leverage <= LEVERAGE_MAX:
            raise InvalidInput(
                f"The leverage must be from 1 to {LEVERAGE_MAX}.", {"leverage": "out of range"}
            )
        if exchange.markets[symbol].get("contract") is not True:
            raise InvalidInput("A spot market has no leverage.", {"symbol": "not a swap"})
        value = int(leverage) if leverage == int(leverage) else float(leverage)
        await self._private(lambda exchange: exchange.set_leverage(value, symbol), writes="change")

    async def _unsent(self, preparation: Awaitable[_T]) -> _T:
        """What comes before a write: where it fails, the write is not in doubt."""
        try:
            return await preparation
        except (NetworkPluginError, MalformedAnswerPluginError) as error:
            raise PluginError(f"Nothing was sent: {error}", error.retry_after_s) from error

    async def _after(self, what: str, symbol: str, venue_order_id: str) -> VenueOrder:
        """The order, asked for after a write whose answer does not describe it."""
        try:
            order = await self.fetch_order(symbol, venue_order_id, None)
        except PluginError as error:
            raise _unknown(f"{self._name} took the {what}, but could not be asked for the order.") from error
        if order is None:
            raise _unknown(f"{self._name} took the {what}, but does not know the order.")
        return order

    # Reads

    async def fetch_order(
        self, symbol: str, venue_order_id: str | None, client_order_id: str | None
    ) -> VenueOrder | None:
        """See ``MarketPlugin.fetch_order``; ``PluginFeatureNotSupportedError`` where the venue can't be
        asked by our id, for what a list does not hold need not be missing."""
        if not venue_order_id and not client_order_id:
            raise InvalidInput("An order is asked for by an id.", {"venue_order_id": "missing"})
        _check_id("order id", venue_order_id or client_order_id or "")
        exchange = await self._ready(symbol)
        if venue_order_id:
            return await self._fetch_by_venue_id(exchange, symbol, venue_order_id)
        assert client_order_id is not None
        if self._finds_by_client_id:
            params = {**self._facts.fetch_order_params, "clientOrderId": client_order_id}
            found = await self._found(lambda exchange: exchange.fetch_order("", symbol, params))
        elif self._facts.client_id_filter:
            found = await self._filtered(exchange, symbol, {self._facts.client_id_filter: client_order_id})
        else:
            raise PluginFeatureNotSupportedError(f"{self._name} can't be asked for an order by our id.")
        if found is not None and found.client_order_id != client_order_id:
            raise MalformedAnswerPluginError(f"{self._name} answered with another order.")
        return found

    async def _fetch_by_venue_id(self, exchange: Any, symbol: str, venue_order_id: str) -> VenueOrder | None:
        if exchange.has.get("fetchOrder") is not True:
            raise PluginFeatureNotSupportedError(f"{self._name} can't be asked for one order.")
        params = dict(self._facts.fetch_order_params)
        found = await self._found(lambda exchange: exchange.fetch_order(venue_order_id, symbol, params))
        if found is not None and found.venue_order_id != venue_order_id:
            raise MalformedAnswerPluginError(f"{self._name} answered with another order.")
        return found

    async def _found(self, call: Callable[[Any], Awaitable[Any]]) -> VenueOrder | None:
        """The order, or None where the venue says that it has none."""
        missing = self._library().OrderNotFound

        async def asked(exchange: Any) -> Any:
            try:
                return await call(exchange)
            except missing:
                return None

        answer = await self._private(asked, writes=None)
        return parse.order(answer) if answer is not None else None

    async def _filtered(self, exchange: Any, symbol: str, params: Mapping[str, str]) -> VenueOrder | None:
        """The newest of the orders that the venue lists under that client id, open ones first."""
        names = ["fetch_open_orders", _closed_method(exchange)]
        for name in names:
            answer = await self._private(
                lambda exchange, name=name: getattr(exchange, name)(symbol, params=dict(params)),  # type: ignore[misc]
                writes=None,
            )
            wanted = set(params.values())
            found = [order for order in parse.orders(answer) if order.client_order_id in wanted]
            if found:
                return max(found, key=lambda order: order.created_ms or 0)
        return None

    async def fetch_open_orders(self, symbol: str | None) -> Sequence[VenueOrder]:
        """See ``MarketPlugin.fetch_open_orders``."""
        await self._ready(symbol)
        answer = await self._private(lambda exchange: exchange.fetch_open_orders(symbol), writes=None)
        return tuple(parse.orders(answer))

    async def fetch_closed_orders(self, symbol: str, since_ms: int, limit: int) -> Sequence[VenueOrder]:
        """See ``MarketPlugin.fetch_closed_orders``."""
        name = _closed_method(await self._ready(symbol))
        answer = await self._private(
            lambda exchange: getattr(exchange, name)(symbol, since_ms, limit), writes=None
        )
        final = [order for order in parse.orders(answer) if order.status in parse.FINAL_STATUSES]
        return tuple(sorted(final, key=lambda order: order.created_ms or 0)[:limit])

    async def fetch_my_trades(self, symbol: str, since_ms: int, limit: int) -> Sequence[VenueFill]:
        """See ``MarketPlugin.fetch_my_trades``."""
        await self._ready(symbol)
        answer = await self._private(
            lambda exchange: exchange.fetch_my_trades(symbol, since_ms, limit), writes=None
        )
        return tuple(parse.fills(answer)[:limit])

    async def key_permissions(self, provider: str) -> KeyPermissions:
        """See ``MarketPlugin.key_permissions``."""
        question = permission_question(provider)
        if question is None:
            return KeyPermissions()
        await self._ready(None)
        try:
            answer = await self._private(question.ask, writes=None)
        except PluginFeatureNotSupportedError:  # a test network need not have this call
            return KeyPermissions()
        return question.read(answer)

    async def fetch_balances(self) -> Sequence[Balance]:
        """See ``MarketPlugin.fetch_balances``."""
        await self._ready(None)
        answer = await self._private(lambda exchange: exchange.fetch_balance(), writes=None)
        return tuple(parse.balances(answer))

    async def fetch_positions(self) -> Sequence[Position]:
        """See ``MarketPlugin.fetch_positions``."""
        await self._ready(None)
        answer = await self._private(lambda exchange: exchange.fetch_positions(), writes=None)
        return tuple(parse.positions(answer))

    async def fetch_fees(self, symbol: str) -> TradingFees:
        """See ``MarketPlugin.fetch_fees``."""
        await self._ready(symbol)
        answer = await self._private(lambda exchange: exchange.fetch_trading_fee(symbol), writes=None)
        return parse.fees(answer)


def _closed_method(exchange: Any) -> str:
    """CCXT's list that holds most of the final orders: some venues' closed orders are the filled ones."""
    methods = {
        "fetchCanceledAndClosedOrders": "fetch_canceled_and_closed_orders",
        "fetchOrders": "fetch_orders",
        "fetchClosedOrders": "fetch_closed_orders",
    }
    for feature, method in methods.items():
        if exchange.has.get(feature) is True:
            return method
    raise PluginFeatureNotSupportedError(f"{exchange.name} lists no final orders.")


def _check_id(field: str, value: str) -> None:
    if not _ID.fullmatch(value) or ".." in value:
        raise InvalidInput(f"The {field} is none.", {field: "not a valid id"})


def _known_outcome(
    read: Callable[[object, Any], VenueOrder], answer: object, asked: OrderRequest | VenueOrder
) -> VenueOrder:
    """The order of the answer to a write; where it can't be read, what became of the write is not known."""
    try:
        return read(answer, asked)
    except MalformedAnswerPluginError as error:
        raise _unknown(str(error)) from error


def _unknown(reason: str) -> MalformedAnswerPluginError:
    return MalformedAnswerPluginError(f"{reason} What became of the request is not known.")

"""The venue's signed REST calls: signature, clock and filter checks, and its ways to leave one in doubt."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from tests.venues.binance.ledger import Ledger, LedgerError, PlacedOrder
from tests.venues.binance.market import SpotMarket
from tests.venues.binance.rest import VenueError
from tests.venues.time import VenueTime

Query = Mapping[str, str]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

API_KEY: Final = "emulated-key-of-the-venue"
SECRET: Final = "emulated-secret-of-the-venue"
MAX_PRICE: Final = Decimal(1_000_000)
MIN_NOTIONAL: Final = Decimal(5)
RIGHTS: Final = (
    "enableReading",
    "enableWithdrawals",
    "enableInternalTransfer",
    "enableMargin",
    "enableFutures",
    "permitsUniversalTransfer",
    "enableVanillaOptions",
    "enableFixApiTrade",
    "enableFixReadOnly",
    "enableSpotAndMarginTrading",
    "enablePortfolioMarginTrading",
)
TYPES: Final = ("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT")

DOUBTS: Final[Mapping[str, tuple[int, str]]] = {
    # an answer that tells nothing of an order that was taken, by its name
    "html": (200, "<html>Bad Gateway</html>"),
    "object": (200, "{}"),
    "list": (200, "[]"),
    "null": (200, "null"),
    "text": (200, '""'),
    "empty": (200, ""),
    "no_id": (200, '{"symbol":"BTCUSDT","status":"NEW","side":"BUY","type":"LIMIT","origQty":"1"}'),
    "408": (408, ""),
    "500": (500, ""),
    "502": (502, "<html>Bad Gateway</html>"),
    "503": (503, "Service Unavailable"),
    "503_refusal": (503, '{"code":-2010,"msg":"Account has insufficient balance for requested action."}'),
    "504": (504, ""),
    "-1000": (400, '{"code":-1000,"msg":"An unknown error occurred while processing the request."}'),
    "-1006": (400, '{"code":-1006,"msg":"An unexpected response was received from the message bus."}'),
    "-1007": (408, '{"code":-1007,"msg":"Timeout waiting for response from backend server."}'),
    "duplicate": (400, '{"code":-2010,"msg":"Duplicate order sent."}'),
    "unheard_of": (400, '{"code":-9999,"msg":"Something else."}'),
}


@dataclass(slots=True)
class Doubt:
    """What to do with calls of that method and path: take them (or, with ``lost``, do not), then
    ``hang``, ``reset``, ``cut_body`` or one of ``DOUBTS``."""

    call: str
    shape: str
    times: int
    lost: bool


class TradingApi:
    """The signed calls on one account. ``requests`` counts all that reached the venue, by method and path."""

    def __init__(self, markets: Mapping[str, SpotMarket], time: VenueTime, ledger: Ledger) -> None:
        self._markets = markets
        self._time = time
        self.ledger = ledger
        self.requests: Counter[str] = Counter()
        self.keys: dict[str, str] = {API_KEY: SECRET}
        self.permitted = True
        self.rights = {"enableReading": True, "enableSpotAndMarginTrading": True}
        """What the keys may do, by the venue's names; what is not named they may not."""
        self.invisible_for_ms = 0
        self.max_skew_ms = 0
        self._doubts: list[Doubt] = []
        self._cancel_ids = itertools.count(1)

    def add_routes(self, app: web.Application) -> None:
        """Put every call onto the application."""
        for method, path, answer in (
            ("POST", "/api/v3/order", self._create),
            ("GET", "/api/v3/order", self._order),
            ("DELETE", "/api/v3/order", self._cancel),
            ("GET", "/api/v3/openOrders", self._open_orders),
            ("DELETE", "/api/v3/openOrders", self._cancel_all),
            ("GET", "/api/v3/allOrders", self._all_orders),
            ("GET", "/api/v3/myTrades", self._my_trades),
            ("GET", "/api/v3/account", self._account),
            ("GET", "/sapi/v1/account/apiRestrictions", self._restrictions),
            ("GET", "/sapi/v1/asset/tradeFee", self._fees),
            ("GET", "/fapi/v1/leverageBracket", self._nothing),
            ("GET", "/fapi/v3/positionRisk", self._nothing),
        ):
            app.router.add_route(method, path, self._handler(f"{method} {path}", answer))

    def doubt(self, call: str, shape: str, *, times: int = 1, lost: bool = False) -> None:
        """From now on leave that many such calls (``POST /api/v3/order``) in doubt."""
        self._doubts.append(Doubt(call, shape, times, lost))

    # what comes first

    def _handler(self, call: str, answer: Callable[[Query], object]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.requests[call] += 1
            doubt = next((one for one in self._doubts if one.call == call and one.times > 0), None)
            if doubt is not None:
                doubt.times -= 1
                if doubt.lost:
                    return await self._leave_in_doubt(request, doubt.shape)
            try:
                body: object = answer(self._checked(request, await request.text()))
            except VenueError as error:
                return web.json_response({"code": error.code, "msg": error.text}, status=error.status)
            if doubt is not None:
                return await self._leave_in_doubt(request, doubt.shape)
            return web.json_response(body)

        return handle

    async def _leave_in_doubt(self, request: web.Request, shape: str) -> web.StreamResponse:
        if shape == "hang":
            await asyncio.Event().wait()
        if shape == "cut_body":
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            response.content_type = "application/json"
            await response.prepare(request)
            await response.write(b'{"symbol":"BTC')
            if request.transport is not None:
                request.transport.close()
            return response
        if shape == "reset":
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        status, text = DOUBTS[shape]
        return web.Response(status=status, text=text, content_type="application/json")

    def _checked(self, request: web.Request, body: str) -> Query:
        text = "&".join(part for part in (request.query_string, body) if part)
        signed, _, signature = text.rpartition("&signature=")
        query = dict(parse_qsl(signed, keep_blank_values=True))
        self.check(request.headers.get("X-MBX-APIKEY"), query, signed, signature)
        return query

    def check(self, key: str | None, query: Query, signed: str, signature: str) -> None:
        """Raise the venue's refusal where key, signature or timestamp are wrong."""
        if not key:
            raise VenueError(-2014, "API-key format invalid.", 401)
        secret = self.keys.get(key)
        if secret is None or not self.permitted:
            raise VenueError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        expected = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, signature):
            raise VenueError(-1022, "Signature for this request is not valid.")
        skew_ms = int(query.get("timestamp", "0")) - self._time.now_ms()
        window_ms = int(query.get("recvWindow", "5000"))
        self.max_skew_ms = max(self.max_skew_ms, abs(skew_ms))
        if skew_ms >= 1_000:
            text = "Timestamp for this request was 1000ms ahead of the server's time."
            raise VenueError(-1021, text)
        if -skew_ms > window_ms:
            raise VenueError(-1021, "Timestamp for this request is outside of the recvWindow.")

    # orders

    def _create(self, query: Query) -> object:
        market = self._market(query)
        kind, side = query.get("type", ""), query.get("side", "")
        if kind not in TYPES or side not in ("BUY", "SELL"):
            raise VenueError(-1116, "Invalid orderType.")
        known = {"symbol", "side", "type", "timeInForce", "quantity", "price", "stopPrice"}
        known |= {"newClientOrderId", "newOrderRespType", "timestamp", "recvWindow"}
        if not query.keys() <= known:
            raise VenueError(-1104, f"Not all sent parameters were read; unread: {query.keys() - known}.")
        amount = _number(query, "quantity")
        limited, stopped = kind in ("LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT"), "STOP" in kind
        price = _number(query, "price") if limited else Decimal(0)
        stop_price = _number(query, "stopPrice") if stopped else Decimal(0)
        _filters(market, amount, [one for one in (price, stop_price) if one])
        if amount * (price or market.last_price) < MIN_NOTIONAL:
            raise VenueError(-1013, "Filter failure: NOTIONAL")
        try:
            order = self.ledger.place(
                client_id=query.get("newClientOrderId") or f"made{len(self.ledger.orders)}",
                symbol=market.symbol,
                base=market.base,
                quote=market.quote,
                side=side,
                kind=kind,
                time_in_force=query.get("timeInForce", "GTC"),
                amount=amount,
                price=price,
                stop_price=stop_price,
                market_price=market.last_price,
            )
        except LedgerError as error:
            raise VenueError(-2010, str(error)) from error
        fills = [
            {
                "price": str(fill.price),
                "qty": f"{fill.amount:f}",
                "commission": f"{fill.fee:f}",
                "commissionAsset": fill.fee_asset,
                "tradeId": fill.id,
            }
            for fill in order.fills
        ]
        return {**_row(order), "transactTime": order.updated_ms, "fills": fills}

    def _order(self, query: Query) -> object:
        order = self._find(query)
        if order is None or not self._visible(order):
            raise VenueError(-2013, "Order does not exist.")
        return _row(order)

    def _cancel(self, query: Query) -> object:
        order = self._find(query)
        if order is None or not order.open:
            raise VenueError(-2011, "Unknown order sent.")
        self.ledger.cancel(order, f"cancel{next(self._cancel_ids)}")
        return _cancelled(order)

    def _cancel_all(self, query: Query) -> object:
        symbol = self._market(query).symbol
        found = [one for one in self.ledger.orders.values() if one.symbol == symbol and one.open]
        if not found:
            raise VenueError(-2011, "Unknown order sent.")
        for order in found:
            self.ledger.cancel(order, f"cancel{next(self._cancel_ids)}")
        return [_cancelled(order) for order in found]

    def _open_orders(self, query: Query) -> object:
        symbol = query.get("symbol")
        return [_row(one) for one in self._shown() if one.open and symbol in (None, one.symbol)]

    def _all_orders(self, query: Query) -> object:
        symbol, start_ms = self._market(query).symbol, int(query.get("startTime", "0"))
        chosen = [one for one in self._shown() if one.symbol == symbol and one.created_ms >= start_ms]
        return [_row(one) for one in chosen[: int(query.get("limit", "500"))]]

    def _my_trades(self, query: Query) -> object:
        symbol, start_ms = self._market(query).symbol, int(query.get("startTime", "0"))
        return [
            _trade(order, index)
            for order in self._shown()
            for index, fill in enumerate(order.fills)
            if order.symbol == symbol and fill.time_ms >= start_ms
        ][: int(query.get("limit", "500"))]

    def _account(self, _query: Query) -> object:
        assets = sorted(self.ledger.free.keys() | self.ledger.locked.keys())
        rows = [
            {
                "asset": one,
                "free": f"{self.ledger.free.get(one, Decimal(0)):f}",
                "locked": f"{self.ledger.locked.get(one, Decimal(0)):f}",
            }
            for one in assets
        ]
        return {"accountType": "SPOT", "canTrade": True, "updateTime": self._time.now_ms(), "balances": rows}

    def _restrictions(self, _query: Query) -> object:
        return {
            "ipRestrict": False,
            "createTime": self._time.now_ms() - 86_400_000,
            **{right: self.rights.get(right, False) for right in RIGHTS},
        }

    def _fees(self, query: Query) -> object:
        symbol = self._market(query).symbol
        return [{"symbol": symbol, "makerCommission": "0.001", "takerCommission": "0.00075"}]

    def _nothing(self, _query: Query) -> object:
        return []

    def _market(self, query: Query) -> SpotMarket:
        market = self._markets.get(query.get("symbol", ""))
        if market is None:
            raise VenueError(-1121, "Invalid symbol.")
        return market

    def _find(self, query: Query) -> PlacedOrder | None:
        order_id, client_id = query.get("orderId"), query.get("origClientOrderId")
        if not order_id and not client_id:
            raise VenueError(
                -1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty."
            )
        if order_id and not order_id.isdigit():
            raise VenueError(-1100, "Illegal characters found in parameter 'orderId'.")
        return self.ledger.find(self._market(query).symbol, int(order_id) if order_id else None, client_id)

    def _shown(self) -> list[PlacedOrder]:
        return [order for order in self.ledger.orders.values() if self._visible(order)]

    def _visible(self, order: PlacedOrder) -> bool:
        return self._time.now_ms() - order.created_ms >= self.invisible_for_ms


def _number(query: Query, name: str) -> Decimal:
    text = query.get(name, "")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise VenueError(-1102, f"Mandatory parameter '{name}' was not sent or malformed.") from None
    if not text.isascii() or not value.is_finite() or value <= 0 or "E" in text.upper():
        raise VenueError(-1100, f"Illegal characters found in parameter '{name}'.")
    return value


def _filters(market: SpotMarket, amount: Decimal, prices: list[Decimal]) -> None:
    if any(price % Decimal(market.tick) or price > MAX_PRICE for price in prices):
        raise VenueError(-1013, "Filter failure: PRICE_FILTER")
    decimals = max(8, -int(Decimal(market.step).normalize().as_tuple().exponent))
    if -int(amount.normalize().as_tuple().exponent) > decimals:
        raise VenueError(-1111, "Parameter 'quantity' has too much precision.")
    if amount % Decimal(market.step) or amount < Decimal(market.step):
        raise VenueError(-1013, "Filter failure: LOT_SIZE")


def _row(order: PlacedOrder) -> dict[str, object]:
    return {
        "symbol": order.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "price": f"{order.price:f}",
        "origQty": f"{order.amount:f}",
        "executedQty": f"{order.executed:f}",
        "cummulativeQuoteQty": f"{order.cost:f}",
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.type,
        "side": order.side,
        "stopPrice": f"{order.stop_price:f}",
        "time": order.created_ms,
        "updateTime": order.updated_ms,
        "isWorking": True,
    }


def _cancelled(order: PlacedOrder) -> dict[str, object]:
    row = {**_row(order), "clientOrderId": order.cancel_id, "origClientOrderId": order.client_id}
    del row["time"], row["updateTime"], row["isWorking"]
    return {**row, "transactTime": order.updated_ms}


def _trade(order: PlacedOrder, index: int) -> dict[str, object]:
    fill = order.fills[index]
    return {
        "symbol": order.symbol,
        "id": fill.id,
        "orderId": order.id,
        "price": f"{fill.price:f}",
        "qty": f"{fill.amount:f}",
        "quoteQty": f"{fill.price * fill.amount:f}",
        "commission": f"{fill.fee:f}",
        "commissionAsset": fill.fee_asset,
        "time": fill.time_ms,
        "isBuyer": order.side == "BUY",
        "isMaker": fill.maker,
        "isBestMatch": True,
    }

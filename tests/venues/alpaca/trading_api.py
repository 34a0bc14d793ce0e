"""The trading host: account, assets, orders, positions, activities, clock."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from aiohttp import web

from tests.venues.alpaca.data_api import Refused
from tests.venues.alpaca.ledger import OPEN, Ledger, LedgerOrder
from tests.venues.alpaca.securities import Security, stamp
from tests.venues.time import VenueTime
from tradewright.plugins._alpaca_times import time_ms


class TradingApi:
    """Answers from the ledger."""

    def __init__(self, securities: Mapping[str, Security], ledger: Ledger, time: VenueTime) -> None:
        self._securities = securities
        self.ledger = ledger
        self._time = time

    def add_routes(self, app: web.Application) -> None:
        """Put every call onto the application."""
        app.router.add_get("/v2/account", self._account)
        app.router.add_get("/v2/assets", self._assets)
        app.router.add_get("/v2/clock", self._clock)
        app.router.add_get("/v2/positions", self._positions)
        app.router.add_get("/v2/account/activities/FILL", self._activities)
        app.router.add_get("/v2/orders", self._list)
        app.router.add_post("/v2/orders", self._place)
        app.router.add_delete("/v2/orders", self._cancel_all)
        app.router.add_get("/v2/orders:by_client_order_id", self._by_client_id)
        app.router.add_get("/v2/orders/{id}", self._one)
        app.router.add_delete("/v2/orders/{id}", self._cancel)
        app.router.add_patch("/v2/orders/{id}", self._replace)

    async def _account(self, _request: web.Request) -> web.Response:
        return web.json_response(self.ledger.account())

    async def _clock(self, _request: web.Request) -> web.Response:
        return web.json_response({"timestamp": stamp(self._time.now_ms()), "is_open": True})

    async def _positions(self, _request: web.Request) -> web.Response:
        return web.json_response(self.ledger.positions())

    async def _assets(self, request: web.Request) -> web.Response:
        wanted = request.query.get("asset_class", "us_equity")
        rows = [_asset(one) for one in self._securities.values()]
        return web.json_response([row for row in rows if row["class"] == wanted])

    async def _activities(self, request: web.Request) -> web.Response:
        after = time_ms(request.query.get("after")) or 0
        rows = [fill.row() for fill in self.ledger.fills if fill.at_ms > after]
        if request.query.get("direction", "desc") == "desc":
            rows.reverse()
        token = request.query.get("page_token")
        if token:
            rows = rows[1 + next(i for i, row in enumerate(rows) if row["id"] == token) :]
        return web.json_response(rows[: int(request.query.get("page_size", "100"))])

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        after = time_ms(query.get("after")) or -1
        chosen = [one for one in self.ledger.orders.values() if one.created_ms > after]
        if "symbols" in query:
            chosen = [one for one in chosen if one.symbol in query["symbols"].split(",")]
        status = query.get("status", "open")
        if status != "all":
            chosen = [one for one in chosen if (one.status in OPEN) == (status == "open")]
        chosen.sort(key=lambda one: one.created_ms, reverse=query.get("direction", "desc") == "desc")
        return web.json_response([one.row() for one in chosen[: int(query.get("limit", "50"))]])

    async def _place(self, request: web.Request) -> web.Response:
        return web.json_response(self.ledger.place(await _body(request)).row())

    async def _one(self, request: web.Request) -> web.Response:
        return web.json_response(self.ledger.find(request.match_info["id"]).row())

    async def _by_client_id(self, request: web.Request) -> web.Response:
        wanted = request.query.get("client_order_id")
        found: list[LedgerOrder] = [o for o in self.ledger.orders.values() if o.client_order_id == wanted]
        if not found:
            raise Refused(404, f"order not found for {wanted}", 40410000)
        return web.json_response(found[0].row())

    async def _cancel(self, request: web.Request) -> web.Response:
        self.ledger.cancel(request.match_info["id"])
        return web.Response(status=204)

    async def _cancel_all(self, _request: web.Request) -> web.Response:
        open_ones = [one for one in self.ledger.orders.values() if one.status in OPEN]
        for one in open_ones:
            self.ledger.cancel(one.id)
        rows = [{"id": one.id, "status": 200, "body": one.row()} for one in open_ones]
        return web.json_response(rows, status=207)

    async def _replace(self, request: web.Request) -> web.Response:
        return web.json_response(self.ledger.replace(request.match_info["id"], await _body(request)).row())


async def _body(request: web.Request) -> dict[str, object]:
    try:
        return msgspec.json.decode(await request.read(), type=dict[str, object])
    except msgspec.MsgspecError:
        raise Refused(422, "request body format is invalid", 40010000) from None


def _asset(one: Security) -> dict[str, object]:
    row: dict[str, object] = {
        "id": "904837e3-3b76-47ec-b432-046db621571b",
        "class": "us_equity" if one.stock else "crypto",
        "exchange": "NASDAQ" if one.stock else "CRYPTO",
        "symbol": one.symbol,
        "name": one.name,
        "status": "active",
        "tradable": True,
        "fractionable": True,
    }
    increments = {"min_order_size": "0.0001", "min_trade_increment": "0.000000001", "price_increment": "0.01"}
    return row if one.stock else {**row, **increments}

"""A venue that answers with a redirect: what is meant for it, with its key, reaches no other host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from tests.contract.ccxt_plugin.rig import CREATE, KEYS, SYMBOL, HastyPlugin, order_request, refusal, take
from tests.support.connects import watched_connects
from tests.support.other_host import OtherHost, other_host
from tests.venues.binance import BinanceVenue
from tradewright.domain.errors import MalformedAnswerPluginError, NetworkPluginError
from tradewright.plugins.base import PluginSetup
from tradewright.plugins.ccxt import CCXTPlugin

STATUSES = (301, 302, 303, 307, 308)
NETWORKS = pytest.mark.parametrize("testnet", [False, True], ids=["venue", "testnet"])


class UnhurriedPlugin(HastyPlugin):
    """No answer is awaited in vain here, so a busy machine need not be taken for a slow venue."""

    http_timeout_s: ClassVar[float] = 10.0


@pytest.fixture
async def other() -> AsyncIterator[OtherHost]:
    async with other_host() as host:
        yield host


@asynccontextmanager
async def trader_at(venue: BinanceVenue, other: OtherHost, *, testnet: bool) -> AsyncIterator[CCXTPlugin]:
    """A plugin with a key of the venue; or of its test network, where the other host is the venue itself."""
    options: dict[str, Any] = venue.provider_options()
    if testnet:
        live = {"private": other.address("/api/v3"), "public": other.address("/api/v3")}
        options = {**options, "urls": {"api": live, "test": options["urls"]["api"]}}
    plugin = UnhurriedPlugin(PluginSetup("binance", KEYS, options=options, testnet=testnet))
    try:
        yield plugin
    finally:
        await plugin.close()


@NETWORKS
async def test_no_request_follows_a_redirect(venue: BinanceVenue, other: OtherHost, testnet: bool) -> None:
    async with trader_at(venue, other, testnet=testnet) as trader:
        order = await trader.create_order(order_request())
        sent = venue.trading.requests[CREATE]
        with watched_connects() as reached:
            for status in STATUSES:

                def redirect(path: str, status: int = status) -> Any:
                    headers = {"Location": other.address(path)}
                    return venue.faults.answer(path, status=status, body="{}", headers=headers)

                redirect("/api/v3/ticker")
                with pytest.raises(MalformedAnswerPluginError, match=f"answered {status}"):
                    await trader.fetch_ticker(SYMBOL)
                redirect("/api/v3/account")
                with pytest.raises(MalformedAnswerPluginError, match=f"answered {status}"):
                    await trader.fetch_balances()
                redirect("/api/v3/order")
                with pytest.raises(MalformedAnswerPluginError, match="What became of the request"):
                    await trader.create_order(order_request(f"tw-{status}"))
                redirect("/api/v3/order")
                with pytest.raises(MalformedAnswerPluginError, match="What became of the request"):
                    await trader.cancel_order(SYMBOL, venue_order_id=order.venue_order_id)
        await trader.fetch_balances()
        assert venue.trading.requests[CREATE] == sent, "the venue got each of them once, and redirected it"
    assert venue.faults.injected == 4 * len(STATUSES)
    assert other.asked == []
    assert other.port not in {port for _, port in reached}


async def test_a_redirect_is_no_refusal_whatever_it_says(venue: BinanceVenue, other: OtherHost) -> None:
    async with trader_at(venue, other, testnet=False) as trader:
        await trader.fetch_balances()
        for status, location in ((303, other.address("/api/v3/order")), (307, "/api/v3/order"), (304, "")):
            venue.faults.answer(
                "/api/v3/order",
                status=status,
                body="" if status == 304 else refusal(-2010, "Account has insufficient balance."),
                headers={"Location": location} if location else {},
            )
            with pytest.raises(MalformedAnswerPluginError, match="What became of the request"):
                await trader.create_order(order_request())
    assert other.asked == []
    assert venue.trading.requests[CREATE] == 0, "nor is one to the venue's own address followed"


@NETWORKS
async def test_no_websocket_follows_a_redirect(venue: BinanceVenue, other: OtherHost, testnet: bool) -> None:
    async with trader_at(venue, other, testnet=testnet) as trader:
        await trader.fetch_balances()
        for path, stream in (
            ("/stream", trader.watch_trades(SYMBOL)),
            ("/ws-api", trader.watch_orders()),
        ):
            rule = venue.faults.answer(path, status=307, headers={"Location": other.address(path)})
            with pytest.raises(NetworkPluginError):
                await take(stream, 1)
            assert rule.used == 1, path
    assert other.asked == []

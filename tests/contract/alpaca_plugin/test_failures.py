"""How the plugin fails: errors of the venue, its rate limit, and secrets that show nowhere."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from tests.contract.alpaca_plugin.rig import make_plugin, wait_until
from tests.venues.alpaca import AlpacaVenue
from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import (
    AuthenticationPluginError,
    ConfigError,
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    RateLimitPluginError,
    TimeoutPluginError,
    TradewrightError,
)
from tradewright.plugins.alpaca import AlpacaPlugin
from tradewright.plugins.base import PluginSetup
from tradewright.testing import DrivenClock

SNAPSHOTS = "/v2/stocks/snapshots"


def refusal(code: int, message: str) -> str:
    return json.dumps({"code": code, "message": message})


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, refusal(40010000, "invalid feed"), PluginError),
        (401, refusal(40110000, "request is not authorized"), AuthenticationPluginError),
        (
            403,
            '{"message":"subscription does not permit querying recent SIP data"}',
            AuthenticationPluginError,
        ),
        (403, "<html>forbidden</html>", AuthenticationPluginError),
        (404, refusal(40410000, "not found"), PluginError),
        (408, "", NetworkPluginError),
        (422, refusal(42210000, "unprocessable"), PluginError),
        (302, "", MalformedAnswerPluginError),
        (500, "oops", NetworkPluginError),
        (502, "<html>", NetworkPluginError),
        (503, "", NetworkPluginError),
        (504, "", NetworkPluginError),
    ],
)
async def test_every_refusal_becomes_one_of_our_errors(
    venue: AlpacaVenue, plugin: AlpacaPlugin, status: int, body: str, error: type[PluginError]
) -> None:
    await plugin.fetch_instruments()
    venue.faults.answer(SNAPSHOTS, status=status, body=body)
    with pytest.raises(error) as raised:
        await plugin.fetch_ticker("AAPL")
    assert isinstance(raised.value, error)
    assert (type(raised.value) is PluginError) == (status in (400, 422))
    assert "http" not in raised.value.message
    assert venue.requests[f"GET {SNAPSHOTS}"] == 1  # nothing is asked twice
    assert (await plugin.fetch_ticker("AAPL")).last


async def test_a_venue_that_is_silent_or_breaks_off(venue: AlpacaVenue, plugin: AlpacaPlugin) -> None:
    await plugin.fetch_instruments()
    venue.faults.hang(SNAPSHOTS)
    with pytest.raises(TimeoutPluginError):
        await plugin.fetch_ticker("AAPL")
    venue.faults.cut_body(SNAPSHOTS)
    with pytest.raises(NetworkPluginError):
        await plugin.fetch_ticker("AAPL")
    venue.faults.refuse_connections()
    with pytest.raises(NetworkPluginError):
        await plugin.fetch_ticker("AAPL")
    await venue.faults.heal()
    assert (await plugin.fetch_ticker("AAPL")).last


async def test_streams_end_and_calls_go_on(venue: AlpacaVenue, plugin: AlpacaPlugin) -> None:
    await plugin.fetch_instruments()
    streams = [plugin.watch_trades("AAPL"), plugin.watch_orders()]
    waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
    await wait_until(lambda: len(venue.hub.sockets) == 2)
    await plugin.end_streams()
    for one in waiting:
        with pytest.raises(NetworkPluginError, match="closed"):
            await one
    await wait_until(lambda: not venue.hub.sockets)
    for stream in (plugin.watch_trades("AAPL"), plugin.watch_orders(), plugin.watch_ticker("AAPL")):
        with pytest.raises(NetworkPluginError, match="closed"):
            await anext(stream)
    assert await plugin.fetch_balances()
    assert (await plugin.key_permissions()).permissions == ("read", "trade")


async def test_a_closed_plugin_says_so(plugin: AlpacaPlugin) -> None:
    await plugin.fetch_instruments()
    await plugin.close()
    await plugin.close()
    with pytest.raises(NetworkPluginError, match="closed"):
        await plugin.fetch_ticker("AAPL")
    with pytest.raises(NetworkPluginError, match="closed"):
        await anext(plugin.watch_trades("AAPL"))


async def test_no_request_is_made_inside_the_window_of_a_429(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock
) -> None:
    await plugin.fetch_instruments()
    venue.faults.answer(
        SNAPSHOTS, status=429, headers={"Retry-After": "30"}, body=refusal(42910000, "too many requests.")
    )
    with pytest.raises(RateLimitPluginError) as raised:
        await plugin.fetch_ticker("AAPL")
    assert raised.value.retry_after_s == 30
    for delay_s in (0.0, 10.0, 19.0):
        await clock.advance(delay_s)
        with pytest.raises(RateLimitPluginError) as raised:
            await plugin.fetch_ticker("AAPL")
    assert raised.value.retry_after_s == pytest.approx(1)
    assert venue.requests[f"GET {SNAPSHOTS}"] == 1
    clock.jump_wall(-3_600_000)  # which changes nothing
    await clock.advance(1.1)
    assert (await plugin.fetch_ticker("AAPL")).last


@pytest.mark.parametrize("tells_retry_after", [True, False])
async def test_a_spent_quota_is_waited_for_as_the_headers_say(
    clock: DrivenClock, tells_retry_after: bool
) -> None:
    async with AlpacaVenue(clock=clock, days=3, requests_per_minute=6, live=False) as venue:
        venue.tells_retry_after = tells_retry_after
        plugin = make_plugin(venue, clock)
        await clock.advance(20)
        done = asyncio.create_task(plugin.fetch_instruments())
        for _ in range(200):
            await clock.advance(0.05)
            await asyncio.sleep(0.001)
        assert done.done()
        refused = 0
        for _ in range(10):  # all in the same minute
            call = asyncio.create_task(plugin.fetch_ticker("AAPL"))
            while not call.done():
                await clock.advance(0.05)
                await asyncio.sleep(0.001)
            refused += isinstance(call.exception(), RateLimitPluginError)
        assert sum(venue.requests.values()) <= 6
        assert refused
        await clock.advance(60)
        assert (await plugin.fetch_ticker("AAPL")).last
        await plugin.close()


def canary() -> Credentials:
    return Credentials(
        {"api_key": "CANARY0KEY0ABCDEF123", "secret": "CANARY/SECRET/abcdefghijklmnop0123456789"}
    )


async def test_secrets_show_nowhere(
    venue: AlpacaVenue,
    clock: DrivenClock,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    plugin = make_plugin(venue, clock, key=canary())
    texts = [repr(plugin), str(plugin.setup)]
    echo = "key CANARY0KEY0ABCDEF123, CANARY/SECRET/abcdef0123456789, https://u:CANARY@host/x"
    for status in (200, 400, 401, 403, 404, 422, 429, 500):
        for body in (refusal(40310000, echo), echo, f'"{echo}"'):
            venue.faults.answer("/v2/account", status=status, body=body)
            await clock.advance(11)
            with pytest.raises(TradewrightError) as raised:
                await plugin.fetch_balances()
            texts += [repr(raised.value), str(raised.value), repr(raised.value.__cause__)]
    for stream in (plugin.watch_orders(), plugin.watch_trades("AAPL")):
        with pytest.raises(TradewrightError) as raised:
            await anext(stream)
        texts.append(str(raised.value))
    await plugin.close()
    seen = capsys.readouterr()
    for text in (*texts, caplog.text, seen.out, seen.err):
        assert "CANARY" not in text


def test_the_operators_table_is_checked_in_sentences() -> None:
    def problems(**table: object) -> list[str]:
        return list(AlpacaPlugin.option_problems("alpaca", table))

    assert problems() == []
    assert problems(data_url="http://127.0.0.1:9001", feed="sip", data_stream_url="ws://[::1]:9/x") == []
    assert len(problems(dat_url="http://x", feed="otc")) == 2
    for wrong in ("ftp://x", "http://user:password@x", "http://x?key=1", 7, "", "wss://x"):
        assert len(problems(data_url=wrong)) == 1
        assert not isinstance(wrong, str) or "password" not in problems(data_url=wrong)[0].replace(
            "no name, password", ""
        )
    assert len(problems(trading_stream_url="http://x")) == 1
    with pytest.raises(ConfigError):
        AlpacaPlugin(PluginSetup("alpaca", options={"feed": "all"}))

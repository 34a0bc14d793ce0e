"""The socket in the application: handshake, conversation, slow clients, and the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from quart import Quart
from quart.testing import connections as quart_testing
from quart.testing.connections import WebsocketResponseError

from tests.support.pipes import FramePipe, Pipe
from tests.unit.services.streaming_rig import Rig, stream
from tests.unit.services.streaming_viewer import Viewer
from tradewright.config import DevelopmentConfig
from tradewright.services.authentication import PrivateStreams
from tradewright.services.subscription_registry import SubscriptionLimits
from tradewright.testing.authenticators import MemoryAuthenticator
from tradewright.web.middleware.guards import socket_check
from tradewright.web.ws.connections import HandshakeLimits, WebSocketConnections
from tradewright.web.ws.endpoint import LiveSockets
from tradewright.web.ws.flusher import Flusher
from tradewright.web.ws.outbox import OutboxLimits

SUBSCRIBE = {"type": "subscribe", "market": "crypto", "provider": "scripted", "symbol": "BTC/USDT"}


class Site:
    """The socket's part of the application over a scripted venue."""

    def __init__(
        self,
        rig: Rig,
        *,
        public_url: str | None = None,
        limits: OutboxLimits | None = None,
        handshakes: HandshakeLimits | None = None,
        private: PrivateStreams | None = None,
        login_first: bool = False,
    ) -> None:
        self.rig = rig
        self.authenticator = MemoryAuthenticator(rig.clock)
        self.connections = WebSocketConnections(
            rig.service,
            rig.registry,
            rig.clock,
            outbox_limits=limits,
            handshakes=handshakes or HandshakeLimits(),
            authenticator=self.authenticator,
            private=private,
            # Its pauses are those of the loop's own clock, which would not pass in time that is driven.
            flusher=Flusher(0.0),
            login_first=login_first,
        )
        self.app = Quart("test")
        self.app.asgi_app = LiveSockets(  # type: ignore[method-assign]
            self.app.asgi_app,
            self.connections,
            admits=socket_check(DevelopmentConfig(public_url=public_url)),
        )

    def connect(self, **headers: str) -> Any:
        protocols = headers.pop("protocols", "tradewright.v1").split(",")
        # Quart's client takes subprotocols and forgets them, so they go into the scope.
        scope = {"subprotocols": protocols, "scheme": headers.pop("scheme", "ws")}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.app.test_client().websocket("/api/v1/ws", headers=named, scope_base=scope)


@asynccontextmanager
async def site(**options: Any) -> AsyncIterator[Site]:
    async with Rig() as rig:
        rig.venue.trade(100)
        made = Site(rig, **options)
        yield made
        await made.connections.close()


async def receive(socket: quart_testing.TestWebsocketConnection) -> dict[str, Any]:
    async with asyncio.timeout(5):
        message: dict[str, Any] = json.loads(await socket.receive())
        return message


async def ask(socket: quart_testing.TestWebsocketConnection, **message: object) -> None:
    await socket.send(json.dumps(message))


async def test_a_page_subscribes_sees_the_market_move_and_leaves() -> None:
    async with site() as here:
        rig = here.rig
        async with here.connect() as socket:
            await ask(socket, **SUBSCRIBE, id=1, stream="ohlcv", timeframe="1m", history=10)
            ok, snapshot = await receive(socket), await receive(socket)
            assert ok == {"type": "ok", "id": 1, "topic": stream().topic}
            assert snapshot["type"] == "snapshot"
            assert [tuple(row) for row in snapshot["bars"]] == rig.venue.bars("1m")
            assert snapshot["forming"] is True
            await rig.clock.advance(1)
            rig.venue.trade(123)
            await rig.clock.advance(0.2)
            update = await receive(socket)
            while update["type"] == "feed":
                update = await receive(socket)
            assert update["bars"][0][4] == 123
            assert (update["epoch"], update["seq"]) == (snapshot["epoch"], snapshot["seq"] + 1)
            assert update["final"] is False
            await ask(socket, type="ping", id=2)
            assert await receive(socket) == {"type": "pong", "id": 2}
            await ask(socket, type="unsubscribe", id=3, topic=ok["topic"])
            assert await receive(socket) == {"type": "ok", "id": 3, "topic": ok["topic"]}
            await ask(socket, type="unsubscribe", id=4, topic=ok["topic"])
            assert (await receive(socket))["code"] == "not_found"
            assert not rig.registry.watched
        await rig.clock.settle()
        assert rig.registry.connections == len(here.connections) == 0


@pytest.mark.parametrize("kind", ["trades", "ticker", "order_book"])
async def test_the_other_streams(kind: str) -> None:
    async with site() as here, here.connect() as socket:
        await ask(socket, **SUBSCRIBE, id=1, stream=kind)
        ok, snapshot = await receive(socket), await receive(socket)
        assert ok["topic"] == snapshot["topic"]
        assert snapshot[kind]


async def test_errors_name_the_code_and_leave_the_socket_open() -> None:
    async with site() as here, here.connect() as socket:
        await ask(socket, **(SUBSCRIBE | {"symbol": "NONE/SUCH"}), id=1, stream="trades")
        error = await receive(socket)
        assert (error["type"], error["id"], error["code"]) == ("error", 1, "unknown_symbol")
        await socket.send("nonsense")
        assert (await receive(socket))["id"] is None
        await socket.send(b"\xff")
        assert (await receive(socket))["code"] == "malformed"
        await ask(socket, type="ping", id=2)
        assert (await receive(socket))["type"] == "pong"


async def test_a_topic_asked_for_again_gets_a_fresh_snapshot() -> None:
    async with site() as here, here.connect() as socket:
        for number in (1, 2, 3):
            await ask(socket, **SUBSCRIBE, id=number, stream="trades")
            messages = [await receive(socket)]
            while messages[-1]["type"] != "snapshot":
                messages.append(await receive(socket))
            kinds = [message["type"] for message in messages if message["type"] != "feed"]
            assert kinds == ["ok", "snapshot"]
        assert here.rig.registry.watched == {stream("trades").topic: 1}


async def test_an_end_that_overtakes_its_subscription_comes_after_it() -> None:
    async with site() as here, here.connect() as socket:
        here.rig.history.before = lambda: 1.0
        topic = stream().topic
        await ask(socket, **SUBSCRIBE, id=1, stream="ohlcv", timeframe="1m")
        await ask(socket, type="unsubscribe", id=2, topic=topic)
        await here.rig.clock.advance(2)
        answers = [await receive(socket) for _ in range(2)]
        while answers[-1].get("id") != 2:
            answers.append(await receive(socket))
        assert [a["id"] for a in answers if a["type"] == "ok"] == [1, 2]
        assert not here.rig.registry.watched


async def test_one_topic_is_served_in_the_order_of_the_questions(pipe_class: type[Pipe]) -> None:
    async with site() as here:
        here.rig.history.before = lambda: 1.0
        pipe, topic = pipe_class(), stream().topic
        serving = asyncio.create_task(here.connections.serve(pipe, "wavering"))
        for number in (1, 3, 5):
            pipe.ask(**SUBSCRIBE, id=number, stream="ohlcv", timeframe="1m")
            pipe.ask(type="unsubscribe", id=number + 1, topic=topic)
        pipe.ask(**SUBSCRIBE, id=7, stream="ohlcv", timeframe="1m")
        await here.rig.until(lambda: len(pipe.messages("ok")) == 7)
        await here.rig.until(lambda: json.loads(pipe.sent[-1])["type"] in ("snapshot", "feed"))
        answers = [message for message in map(json.loads, pipe.sent) if message["type"] in ("ok", "snapshot")]
        told = [answer.get("id", answer["type"]) for answer in answers]
        assert told == [1, "snapshot", 2, 3, "snapshot", 4, 5, "snapshot", 6, 7, "snapshot"]
        assert here.rig.registry.watched == {topic: 1}, "the last word counts"
        await end(serving)


async def test_a_provider_that_does_not_answer_delays_no_other(pipe_class: type[Pipe]) -> None:
    async with site() as here:
        here.rig.markets.black_holes = {"nowhere", "void"}
        pipe = pipe_class()
        serving = asyncio.create_task(here.connections.serve(pipe, "patient"))
        for number in range(60):
            lost = SUBSCRIBE | {"provider": ("nowhere", "void")[number % 2], "symbol": f"A{number}/B"}
            pipe.ask(**lost, id=number, stream="ticker")
        pipe.ask(**SUBSCRIBE, id=100, stream="ticker")
        await here.rig.until(lambda: pipe.messages("snapshot"), within_s=1)
        assert [message["id"] for message in pipe.messages("ok")] == [100]
        await here.rig.until(lambda: len(pipe.messages("error")) == 60, within_s=90)
        assert {message["code"] for message in pipe.messages("error")} == {"provider_unavailable"}
        await end(serving)


async def end(serving: asyncio.Task[None]) -> None:
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


ORIGINS = [
    (None, None, True),
    ("http://127.0.0.1:8000", None, True),
    ("http://LOCALHOST:8000", None, False),
    ("http://127.0.0.1:9000", None, False),
    ("http://127.0.0.1", None, False),
    ("http://127.0.0.1:8000.evil.example", None, False),
    ("http://evil.example", None, False),
    ("http://evil.example/http://127.0.0.1:8000", None, False),
    ("null", None, False),
    ("", None, False),
    ("file://127.0.0.1:8000", None, False),
    ("https://trade.example", None, False),
    ("https://trade.example", "https://trade.example", True),
    ("https://trade.example.evil.example", "https://trade.example", False),
    ("http://trade.example", "https://trade.example", False),
    ("https://127.0.0.1:8000", None, False),
    ("https://127.0.0.1:8000", "https://trade.example", False),
    ("http://127.0.0.1:8000", "https://trade.example", True),
    ("ws://127.0.0.1:8000", None, False),
]


@pytest.mark.parametrize(("origin", "public_url", "allowed"), ORIGINS)
async def test_only_our_own_pages_open_a_socket(
    origin: str | None, public_url: str | None, allowed: bool
) -> None:
    async with site(public_url=public_url) as here:
        headers = {"Host": "127.0.0.1:8000"} | ({} if origin is None else {"Origin": origin})
        if allowed:
            async with here.connect(**headers) as socket:
                await ask(socket, type="ping", id=1)
                assert (await receive(socket))["type"] == "pong"
        else:
            with pytest.raises(WebsocketResponseError) as refusal:
                async with here.connect(**headers) as socket:
                    await socket.receive()
            assert refusal.value.response.status_code == 403
            assert not here.rig.registry.connections


@pytest.mark.parametrize(("origin", "allowed"), [("https://127.0.0.1", True), ("http://127.0.0.1", False)])
async def test_over_tls_only_pages_that_came_over_tls_open_a_socket(origin: str, allowed: bool) -> None:
    async with site() as here:
        # As uvicorn gives it for TLS of its own, or by the word of a proxy that it trusts.
        connect = here.connect(scheme="wss", Host="127.0.0.1", Origin=origin)
        if allowed:
            async with connect as socket:
                await ask(socket, type="ping", id=1)
                assert (await receive(socket))["type"] == "pong"
        else:
            with pytest.raises(WebsocketResponseError) as refusal:
                async with connect as socket:
                    await socket.receive()
            assert refusal.value.response.status_code == 403


async def test_a_token_is_refused_without_a_close() -> None:
    async with site() as here, here.connect(protocols="tradewright.v1,bearer.abc") as socket:
        error = await receive(socket)
        assert (error["id"], error["code"]) == (None, "invalid_token")
        await ask(socket, type="ping", id=1)
        assert (await receive(socket))["type"] == "pong"


async def test_a_socket_takes_no_query() -> None:
    async with site() as here:
        with pytest.raises(WebsocketResponseError) as refusal:
            async with here.app.test_client().websocket("/api/v1/ws?token=abc") as socket:
                await socket.receive()
        assert refusal.value.response.status_code == 400
        assert not here.authenticator.asked


async def test_clients_that_come_all_at_once_are_asked_to_come_again() -> None:
    async with site(handshakes=HandshakeLimits(per_s=2, burst=3)) as here:
        for _ in range(3):
            async with here.connect() as socket:
                await ask(socket, type="ping", id=1)
                await receive(socket)
        for _ in range(7):
            with pytest.raises(WebsocketResponseError) as refusal:
                async with here.connect() as socket:
                    await socket.receive()
            assert refusal.value.response.status_code == 503
            assert refusal.value.response.headers["Retry-After"] == "1"
        await here.rig.clock.advance(1)
        for _ in range(2):
            async with here.connect() as socket:
                await ask(socket, type="ping", id=1)
                await receive(socket)


async def test_an_address_has_a_limited_number_of_sockets() -> None:
    async with site() as here:
        here.rig.registry.limits = SubscriptionLimits(connections_per_address=1)
        async with here.connect() as socket:
            await ask(socket, type="ping", id=1)
            await receive(socket)
            with pytest.raises(WebsocketResponseError) as refusal:
                async with here.connect() as other:
                    await other.receive()
            assert refusal.value.response.status_code == 429


@pytest.fixture(params=[Pipe, FramePipe], ids=["asgi", "frames"])
def pipe_class(request: pytest.FixtureRequest) -> type[Pipe]:
    """Both ways in which a client is reached."""
    kind: type[Pipe] = request.param
    return kind


async def test_a_client_that_takes_nothing_is_closed_and_costs_the_others_nothing(
    pipe_class: type[Pipe],
) -> None:
    limits = OutboxLimits(lagging_messages=10)
    async with site(limits=limits) as here:
        rig, pipe = here.rig, pipe_class()
        fast = [await rig.view(stream(kind)) for kind in ("ohlcv", "ticker")]
        serving = asyncio.create_task(here.connections.serve(pipe, "slow"))
        for number, kind in enumerate(("ticker", "ohlcv", "order_book")):
            frame = {"timeframe": "1m"} if kind == "ohlcv" else {}
            pipe.ask(**SUBSCRIBE, **frame, id=number, stream=kind)
        await rig.until(lambda: len(pipe.messages("snapshot")) == 3)
        pipe.reads.clear()
        stopped_at = rig.clock.monotonic()
        while not serving.done():
            rig.venue.trade(100 + rig.clock.monotonic())
            await rig.clock.advance(0.1)
            assert rig.clock.monotonic() - stopped_at <= 10, "it must not be kept"
        assert pipe.closed == (1013, "slow client")
        assert pipe.expelled
        assert all(viewer.resyncs == [] for viewer in fast)
        assert rig.registry.connections == 2


async def test_a_slow_client_lags_and_catches_up_with_honest_numbers(pipe_class: type[Pipe]) -> None:
    async with site(limits=OutboxLimits(lagging_messages=5)) as here:
        rig, pipe, viewer = here.rig, pipe_class(), Viewer()
        serving = asyncio.create_task(here.connections.serve(pipe, "slow"))
        pipe.ask(**SUBSCRIBE, id=1, stream="ohlcv", timeframe="1m")
        await rig.until(lambda: pipe.messages("snapshot"))
        for _ in range(60):
            pipe.reads.clear()
            for _ in range(20):
                rig.venue.trade(100 + rig.clock.monotonic() % 7)
                await rig.clock.advance(0.2)
            pipe.reads.set()
            await rig.clock.advance(0.1)
        await rig.clock.advance(70)
        assert any("conflated" in text for text in pipe.sent)
        for text in pipe.sent:
            if json.loads(text)["type"] in ("snapshot", "update", "feed"):
                viewer.take(text.encode())
        assert viewer.series() == rig.venue.bars("1m")
        assert set(viewer.finals) >= {row[0] for row in rig.venue.bars("1m")[1:]}
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        assert rig.registry.connections == 0


async def test_trades_that_a_slow_client_can_not_take_begin_again(pipe_class: type[Pipe]) -> None:
    limits = OutboxLimits(lagging_messages=5, messages_max=10)
    async with site(limits=limits) as here:
        rig, pipe, viewer = here.rig, pipe_class(), Viewer()
        serving = asyncio.create_task(here.connections.serve(pipe, "slow"))
        pipe.ask(**SUBSCRIBE, id=1, stream="trades")
        await rig.until(lambda: pipe.messages("snapshot"))
        pipe.reads.clear()
        for _ in range(40):
            rig.venue.trade(100)
            await rig.clock.advance(0.1)
        pipe.reads.set()
        await rig.clock.advance(1)
        assert [message["reason"] for message in pipe.messages("resync")] == ["slow_client"]
        for text in pipe.sent:
            message = json.loads(text)
            if message["type"] == "resync":
                viewer.offer_resync("", "trades", "slow_client")
            elif message["type"] in ("snapshot", "update", "feed"):
                viewer.take(text.encode())
        assert viewer.trades == rig.venue.trades
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_draining_tells_the_clients_and_closes_them_with_1012(pipe_class: type[Pipe]) -> None:
    async with site() as here:
        rig, pipe, stuck = here.rig, pipe_class(), pipe_class()
        serving = [asyncio.create_task(here.connections.serve(p, "a")) for p in (pipe, stuck)]
        await rig.clock.settle()
        stuck.reads.clear()
        draining = asyncio.create_task(here.connections.drain(2.0))
        await rig.clock.advance(1)
        assert pipe.messages("draining") == [{"type": "draining", "in_ms": 2000}]
        assert pipe.closed is None
        with pytest.raises(WebsocketResponseError) as refusal:
            async with here.connect() as socket:
                await socket.receive()
        assert refusal.value.response.status_code == 503
        await rig.clock.advance(1.5)
        assert pipe.closed == (1012, "server restart")
        await rig.clock.advance(4)
        await draining
        assert stuck.expelled
        await asyncio.gather(*serving)
        assert len(here.connections) == 0


async def test_a_client_that_floods_without_reading_is_closed(pipe_class: type[Pipe]) -> None:
    async with site() as here:
        pipe = pipe_class()
        serving = asyncio.create_task(here.connections.serve(pipe, "flood"))
        await here.rig.clock.settle()
        pipe.reads.clear()
        for number in range(5_000):
            pipe.ask(type="ping", id=number)
        await here.rig.clock.advance(0.5)
        await here.rig.until(serving.done, within_s=8)
        assert pipe.closed
        assert pipe.closed[0] == 1013


async def test_too_large_a_message_closes_with_1009(pipe_class: type[Pipe]) -> None:
    async with site() as here:
        pipe = pipe_class()
        serving = asyncio.create_task(here.connections.serve(pipe, "large"))
        pipe.incoming.put_nowait("x" * 70_000)
        await here.rig.until(serving.done)
        assert pipe.closed == (1009, "message too large")


async def test_two_hundred_views_and_no_more(pipe_class: type[Pipe]) -> None:
    async with site() as here:
        pipe = pipe_class()
        serving = asyncio.create_task(here.connections.serve(pipe, "many"))
        for number in range(205):
            pipe.ask(**(SUBSCRIBE | {"symbol": f"A{number}/B"}), id=number, stream="trades")
            if number % 20 == 19:
                await here.rig.clock.advance(1)
        await here.rig.until(lambda: len(pipe.messages("ok")) + len(pipe.messages("error")) == 205)
        assert len(pipe.messages("ok")) == 200
        assert {message["code"] for message in pipe.messages("error")} == {"too_many_subscriptions"}
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        assert not here.rig.streaming.references


def test_the_messages_of_the_protocol_are_plain_json() -> None:
    from tradewright.web.protocol import CLIENT_MESSAGES, SERVER_MESSAGES

    schemas, components = msgspec.json.schema_components([*CLIENT_MESSAGES, *SERVER_MESSAGES])
    assert len(schemas) == len(CLIENT_MESSAGES) + len(SERVER_MESSAGES)
    for message in (*CLIENT_MESSAGES, *SERVER_MESSAGES):
        assert "type" in components[message.__name__]["required"]

"""Who is at the socket: tokens taken, renewed, run out, revoked, and never shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.support.pipes import FramePipe, Pipe
from tests.unit.services.streaming_rig import Rig, stream
from tests.unit.web.test_ws_socket import SUBSCRIBE, Site, end, site
from tradewright.domain.errors import NotFound
from tradewright.domain.streams import StreamKey
from tradewright.services.authentication import Identity, PrivateStream
from tradewright.services.subscription_registry import SubscriptionLimits


@dataclass
class Client:
    """One socket at work."""

    pipe: Pipe
    serving: asyncio.Task[None]
    rig: Rig
    number: int = 0

    async def ask(self, **message: object) -> dict[str, object]:
        """Ask, and wait for the answer."""
        self.number += 1
        self.pipe.ask(id=self.number, **message)
        await self.rig.until(lambda: self._answers(), within_s=10)
        return self._answers()[0]

    def _answers(self) -> list[dict[str, object]]:
        messages = [*self.pipe.messages("ok"), *self.pipe.messages("error"), *self.pipe.messages("pong")]
        return [message for message in messages if message.get("id") == self.number]


@pytest.fixture(params=[Pipe, FramePipe], ids=["asgi", "frames"])
def pipe_class(request: pytest.FixtureRequest) -> type[Pipe]:
    """Both ways in which a client is reached."""
    kind: type[Pipe] = request.param
    return kind


@asynccontextmanager
async def client(here: Site, token: str | None = None, kind: type[Pipe] = FramePipe) -> AsyncIterator[Client]:
    pipe = kind()
    serving = asyncio.create_task(here.connections.serve(pipe, "there", token))
    await here.rig.clock.settle()
    yield Client(pipe, serving, here.rig)
    await end(serving)


class OwnStreams:
    """Each user has one account, named after them; its orders are shown as somebody's trades."""

    async def key(self, identity: Identity, stream_name: PrivateStream, subject: str) -> StreamKey:
        if (stream_name, subject) != ("orders", identity.user):
            raise NotFound("There is no such stream.")
        return stream("trades")


async def test_a_token_expires_after_a_warning_unless_it_is_renewed(pipe_class: type[Pipe]) -> None:
    async with site() as here:
        clock, issue = here.rig.clock, here.authenticator.issue
        async with client(here, issue("ann", session="s", lifetime_s=300), pipe_class) as ann:
            await clock.advance(239)
            assert not ann.pipe.messages("token_expiring")
            await clock.advance(2)
            (warning,) = ann.pipe.messages("token_expiring")
            assert 58_000 <= warning["in_ms"] <= 60_000
            answer = await ann.ask(type="authenticate", token=issue("ann", session="s", lifetime_s=300))
            assert answer["type"] == "ok"
            renewed_at = clock.monotonic()
            await clock.advance(100)
            assert ann.pipe.closed is None, "the first token has long run out"
            await clock.advance(150)
            assert len(ann.pipe.messages("token_expiring")) == 2
            while ann.pipe.closed is None:
                await clock.advance(0.1)
            assert 300 <= clock.monotonic() - renewed_at <= 301
            assert ann.pipe.closed == (4401, "token expired")
        assert here.rig.registry.connections == 0


async def test_the_wall_clock_does_not_lengthen_a_token() -> None:
    async with site() as here:
        clock = here.rig.clock
        async with client(here, here.authenticator.issue("ann", session="s", lifetime_s=30)) as ann:
            clock.jump_wall(-3_600_000)
            await clock.advance(31)
            assert ann.pipe.closed == (4401, "token expired")


async def test_a_session_that_is_ended_closes_its_sockets_alone(pipe_class: type[Pipe]) -> None:
    async with site() as here:
        issue = here.authenticator.issue
        async with (
            client(here, issue("ann", session="one"), pipe_class) as one,
            client(here, issue("ann", session="two"), pipe_class) as two,
            client(here, None, pipe_class) as nobody,
        ):
            here.authenticator.end("one")
            await here.rig.clock.advance(0.1)
            assert one.pipe.closed == (4401, "session ended")
            assert two.pipe.closed is nobody.pipe.closed is None


async def test_an_ending_whose_notice_was_lost_is_found_within_half_a_minute() -> None:
    async with site() as here:
        auth, clock = here.authenticator, here.rig.clock
        async with client(here, auth.issue("ann", session="s")) as ann:
            auth.tells = False
            auth.available = False
            await clock.advance(100)
            assert ann.pipe.closed is None, "nobody can tell"
            auth.available = True
            auth.end("s")
            ended_at = clock.monotonic()
            while ann.pipe.closed is None:
                await clock.advance(0.5)
            assert clock.monotonic() - ended_at <= 30
            assert ann.pipe.closed == (4401, "session ended")


async def test_a_session_that_ends_while_its_token_is_looked_up_does_not_begin() -> None:
    async with site() as here:
        token = here.authenticator.issue("ann", session="s")
        here.connections.end_session("s")
        async with client(here, token) as ann:
            await here.rig.until(lambda: ann.pipe.messages("error"))
            assert ann.pipe.messages("error")[0]["code"] == "invalid_token"


async def test_what_is_wrong_with_a_token_leaves_things_as_they_are() -> None:
    async with site() as here:
        issue = here.authenticator.issue
        async with client(here, issue("ann", session="s", lifetime_s=120)) as ann:
            assert (await ann.ask(type="authenticate", token="wrong"))["code"] == "invalid_token"
            other = await ann.ask(type="authenticate", token=issue("bob", session="b"))
            assert other["code"] == "invalid_token", "a socket is one user's"
            old = issue("ann", session="s", lifetime_s=1)
            await here.rig.clock.advance(2)
            assert (await ann.ask(type="authenticate", token=old))["code"] == "invalid_token"
            here.authenticator.available = False
            unknown = await ann.ask(type="authenticate", token=issue("ann", session="s"))
            assert unknown["code"] == "storage_unavailable"
            assert (await ann.ask(type="ping"))["type"] == "pong"
            await here.rig.clock.advance(120)
            assert ann.pipe.closed == (4401, "token expired")


async def test_guessing_is_ended() -> None:
    async with site() as here, client(here, "guess") as guesser:
        for number in range(9):
            assert guesser.pipe.closed is None
            guesser.pipe.ask(type="authenticate", id=number, token=f"guess {number}")
            await here.rig.clock.advance(0.1)
        assert guesser.pipe.closed == (1008, "too many wrong tokens")
        assert here.authenticator.asked == 10


async def test_a_user_has_a_limited_number_of_connections() -> None:
    async with site() as here:
        here.rig.registry.limits = SubscriptionLimits(connections_per_user=1)
        issue = here.authenticator.issue
        async with client(here, issue("ann", session="s")), client(here) as second:
            answer = await second.ask(type="authenticate", token=issue("ann", session="t"))
            assert answer["code"] == "rate_limited"
            private = await second.ask(type="subscribe", stream="orders", account_id="ann")
            assert private["code"] == "unauthorized", "it is still nobody's"
        async with client(here) as third:
            assert (await third.ask(type="authenticate", token=issue("ann", session="u")))["type"] == "ok"


async def test_private_streams_are_their_owners_alone(pipe_class: type[Pipe]) -> None:
    async with site(private=OwnStreams()) as here:
        issue = here.authenticator.issue
        async with (
            client(here, issue("ann", session="a"), pipe_class) as ann,
            client(here, issue("bob", session="b"), pipe_class) as bob,
            client(here, None, pipe_class) as nobody,
        ):
            wanted = {"type": "subscribe", "stream": "orders", "account_id": "ann"}
            assert (await nobody.ask(**wanted))["code"] == "unauthorized"
            assert (await bob.ask(**wanted))["code"] == "not_found"
            answer = await ann.ask(**wanted)
            assert answer["type"] == "ok"
            await here.rig.until(lambda: ann.pipe.messages("snapshot"))
            here.rig.venue.trade(101)
            await here.rig.clock.advance(0.2)
            assert ann.pipe.messages("update")
            assert not bob.pipe.messages("update")
            assert not nobody.pipe.messages("update")
            here.authenticator.end("a")
            await here.rig.clock.advance(0.1)
            seen = len(ann.pipe.sent)
            here.rig.venue.trade(102)
            await here.rig.clock.advance(0.2)
            assert ann.pipe.closed is not None
            assert len(ann.pipe.sent) == seen, "nothing private after the end"


async def test_messages_behind_a_token_are_read_as_its_owners() -> None:
    async with site(private=OwnStreams()) as here, client(here) as ann:
        token = here.authenticator.issue("ann", session="a")
        ann.pipe.ask(type="authenticate", id=1, token=token)
        ann.pipe.ask(type="subscribe", id=2, stream="orders", account_id="ann")
        ann.pipe.ask(**SUBSCRIBE, id=3, stream="ticker")
        await here.rig.until(lambda: len(ann.pipe.messages("ok")) == 3)
        assert sorted(message["id"] for message in ann.pipe.messages("ok")) == [1, 2, 3]


async def test_a_server_that_wants_a_login_shows_nothing_before_it(pipe_class: type[Pipe]) -> None:
    async with site(login_first=True) as here, client(here, kind=pipe_class) as stranger:
        for number in range(3):
            refused = await stranger.ask(**SUBSCRIBE | {"stream": ("ticker", "trades", "ohlcv")[number]})
            assert refused["code"] == "unauthorized"
        token = here.authenticator.issue("ann", session="s")
        assert (await stranger.ask(type="authenticate", token=token))["type"] == "ok"
        assert (await stranger.ask(**SUBSCRIBE | {"stream": "ticker"}))["type"] == "ok"

"""One Redis server, and the connection to it, which is made anew whenever it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from hiredis import ReplyError

from tradewright.runtime.clock import Clock
from tradewright.runtime.retry import Backoff
from tradewright.storage.redis.address import RedisAddress
from tradewright.storage.redis.wire import Reply, Wire, WireClosed, Word

CONNECT_S: Final = 1.0
HEARTBEAT_S: Final = 1.0
BACKOFF: Final = Backoff(first_s=0.1, max_s=2.0)
STEADY_S: Final = 1.0
"""A connection that lasted for so long was a good one: after it, the delays begin anew."""


Sinks: TypeAlias = dict[bytes, list[Callable[[bytes], None]]]


class NodesListener:
    """Who uses nodes, and is told what happens to them. ``sinks`` say where messages go, by channel."""

    def __init__(self) -> None:
        self.sinks: Sinks = {}

    def connected(self, node: Node) -> None:
        """A node answers; ``node.up`` is set when it may be used."""
        node.up = True

    def lost(self, node: Node, wire: Wire | None) -> None:
        """The connection ended, or could not be made: then there was no ``wire``."""

    def remapped(self) -> None:
        """Some names belong to other nodes now."""

    def dropped(self, node: Node, name: bytes) -> None:
        """A node ended a subscription of its own accord."""

    def refused(self, node: Node, error: str) -> None:
        """A node did not take a message that was published."""


class Node:
    """``up`` says that it may be used, ``problem`` why it can't be; neither where that is not known yet."""

    def __init__(
        self,
        address: RedisAddress,
        clock: Clock,
        listener: NodesListener,
        greet: Callable[[Node, Wire, bool], Awaitable[None]],
    ) -> None:
        self.address = address
        self.wire: Wire | None = None
        self.up = False
        self.problem: str | None = None
        self._clock = clock
        self._listener = listener
        self._greet = greet
        self.sinks: Sinks = listener.sinks

    def dropped(self, name: bytes) -> None:
        """The node ended the subscription to a channel."""
        self._listener.dropped(self, name)

    def refused(self, error: str) -> None:
        """The node did not take a message."""
        self._listener.refused(self, error)

    async def keep(self) -> None:
        """Connect, use the connection for as long as it lasts, and again."""
        delays = BACKOFF.delays()
        while True:
            began_s = self._clock.monotonic()
            wire = await self._connect()
            if wire is None:
                self._listener.lost(self, None)
            else:
                await self._use(wire)
            if self._clock.monotonic() - began_s > STEADY_S:
                delays = BACKOFF.delays()
            await self._clock.sleep(next(delays))

    async def _connect(self) -> Wire | None:
        wire, greeted = Wire(self._clock, self), False
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._open(wire)
                cluster = _is_cluster(await wire.call(*self._hello()))
                await self._ping(wire)
                await self._greet(self, wire, cluster)
            greeted = True
        except WireClosed as error:
            self.problem = str(error)
        except TimeoutError:
            self.problem = "Redis did not answer in time."
        except ReplyError as error:
            self.problem = said_by_redis(str(error))
        except (OSError, UnicodeError):  # no host has such a name
            self.problem = "Redis can't be reached."
        finally:
            if not greeted:
                wire.give_up("It was of no use.")
        return wire if greeted else None

    async def _open(self, wire: Wire) -> None:
        loop, address = asyncio.get_running_loop(), self.address
        if address.path:
            await loop.create_unix_connection(lambda: wire, address.path)
        else:
            await loop.create_connection(lambda: wire, address.host, address.port, ssl=address.tls)

    async def _ping(self, wire: Wire) -> None:
        """A Redis that is loading its data greets, but refuses this."""
        pong = await wire.call("PING")
        if isinstance(pong, ReplyError):
            raise pong

    def _hello(self) -> tuple[Word, ...]:
        login = ("AUTH", *self.address.login) if self.address.login else ()
        return ("HELLO", 3, *login, "SETNAME", "tradewright")

    async def _use(self, wire: Wire) -> None:
        self.wire, self.problem = wire, None
        try:
            self._listener.connected(self)
            while not wire.closed.done():
                began_s = self._clock.monotonic()
                await asyncio.wait([wire.closed], timeout=HEARTBEAT_S)
                # Where this process itself stood still, what has arrived meanwhile is read first.
                if self._clock.monotonic() - began_s < 2 * HEARTBEAT_S:
                    wire.check()
            self.problem = wire.closed.result()
        finally:
            wire.give_up("The connection is closed.")
            self.wire, self.up = None, False
            self._listener.lost(self, wire)


def said_by_redis(error: str) -> str:
    """A refusal as a sentence of ours, since that of Redis may hold what nobody else shall read."""
    word = error.split(" ", 1)[0]
    if word in ("WRONGPASS", "NOAUTH") or "AUTH" in error:
        return "Redis did not accept the user or the password."
    if word == "LOADING":
        return "Redis is loading its data."
    if word == "NOPERM":
        return "Redis refused: this user may not do that."
    if word == "OOM":
        return "Redis refused: its memory is full."
    if word == "READONLY":
        return "Redis refused: it may only be read."
    if word == "CLUSTERDOWN":
        return "The cluster of Redis is not whole."
    if word == "NOPROTO" or "unknown command" in error:
        return "Redis is too old: at least version 6 is needed, and 7 in a cluster."
    return "Redis refused: it reports an error."


def _is_cluster(hello: Reply) -> bool:
    if isinstance(hello, ReplyError):
        raise hello
    if not isinstance(hello, dict) or b"mode" not in hello:
        raise WireClosed("What answers at that address is no Redis.")
    return bool(hello[b"mode"] == b"cluster")

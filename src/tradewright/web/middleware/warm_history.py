"""Answers to requests for closed bars, kept as bytes and sent before Quart's machinery begins.

Bars that are closed and covered do not change, but for a correction, which another process may make: so an
answer is kept for a quarter of a second, in which thousands may ask for it, and is then made anew. An answer
with a forming bar, a hole that may be filled, or a problem is never kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from tradewright.runtime.clock import Clock
from tradewright.runtime.ids import new_id
from tradewright.web.peers import network_of

AsgiApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""Scope, receive and send, whose types each server and framework spells in its own way."""

PATH: Final = "/api/v1/market/ohlcv"
LIFETIME_S: Final = 0.25
BYTES_MAX: Final = 64 * 2**20
HOSTS_REMEMBERED: Final = 64


class WarmAnswers:
    """Bodies of answers by the query string that they answer; bounded in bytes, the least used goes first."""

    def __init__(self, clock: Clock, *, bytes_max: int = BYTES_MAX) -> None:
        self._clock = clock
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()

    def get(self, query: bytes) -> bytes | None:
        """The body, where one was kept less than ``LIFETIME_S`` ago."""
        found = self._kept.get(query)
        if found is None:
            return None
        until_s, body = found
        if self._clock.monotonic() >= until_s:
            self._drop(query)
            return None
        self._kept.move_to_end(query)
        return body

    def put(self, query: bytes, body: bytes) -> None:
        """Keep the body of an answer that can't change."""
        self._drop(query)
        self._kept[query] = self._clock.monotonic() + LIFETIME_S, body
        self._bytes += len(query) + len(body)
        while self._bytes > self._bytes_max:
            self._drop(next(iter(self._kept)))

    def _drop(self, query: bytes) -> None:
        found = self._kept.pop(query, None)
        if found is not None:
            self._bytes -= len(query) + len(found[1])


class WarmHistory:
    """An ASGI application in front of another: sends a kept answer itself, hands on everything else.

    ``headers`` are those that every answer of the API has. A host that ``allowed`` does not know, and an
    address whose call ``counts`` does not let through, are left to the application, which refuses them.
    """

    def __init__(
        self,
        app: AsgiApp,
        answers: WarmAnswers,
        *,
        allowed: Callable[[str], bool],
        headers: Mapping[str, str],
        counts: Callable[[str], bool],
    ) -> None:
        self._app = app
        self._answers = answers
        self._allowed = allowed
        self._counts = counts
        fixed = {**headers, "Content-Type": "application/json"}
        self._headers = [(name.lower().encode(), value.encode()) for name, value in fixed.items()]
        self._known_hosts: set[bytes] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "GET":
            body = self._answers.get(scope["query_string"])
            if body is not None and self._host_is_known(scope) and self._counts(network_of(scope)):
                await self._send(body, send)
                return
        await self._app(scope, receive, send)

    async def _send(self, body: bytes, send: Callable[[Any], Awaitable[None]]) -> None:
        headers = [
            *self._headers,
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", new_id().encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _host_is_known(self, scope: Any) -> bool:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1:
            return False
        (host,) = hosts
        if host in self._known_hosts:
            return True
        try:
            known = self._allowed(host.decode("ascii"))
        except ValueError:
            return False
        if known and len(self._known_hosts) < HOSTS_REMEMBERED:
            self._known_hosts.add(host)
        return known

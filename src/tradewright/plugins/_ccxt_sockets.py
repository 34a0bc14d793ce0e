"""The websockets of one exchange: how many are dialled, and how an old one gives way to a new one.

Exchanges end a websocket after a day, and some say a little before that they will. A socket that is about
to be ended is retired: whoever asks for the next message of a stream gets it from a new socket, while the old
one is read for a while longer into the same caches, so that nothing lies between the two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar, Final

from ccxt.base import errors as theirs

from tradewright.domain.errors import RateLimitPluginError
from tradewright.plugins._ccxt_governor import Governor
from tradewright.runtime.clock import Clock
from tradewright.runtime.ids import SYSTEM_RANDOM

RENEW_AFTER_S: Final = 23 * 3600.0
RENEW_EARLIER_BY: Final = 0.05
"""The share of that time by which sockets are renewed earlier, each by another part of it."""
OVERLAP_S: Final = 10.0
"""How long a retired socket is read; who waits for a message on it until then begins anew."""
_SHUTDOWN: Final = '"serverShutdown"'
"""Binance's name for the word that a server is about to end."""


class RenewedSockets:
    """Laid over CCXT's class of an exchange."""

    renew_after_s: ClassVar[float] = RENEW_AFTER_S
    overlap_s: ClassVar[float] = OVERLAP_S
    governor: Governor
    clock: Clock
    clients: dict[str, Any]
    exact: bool

    def client(self, url: str) -> Any:
        """The socket of the address that new messages are to be asked of."""
        known = (self.clients or {}).get(url)
        if known is not None and self.clock.monotonic() >= known.renew_at_s:
            self.retire(known)
        client: Any = super().client(url)  # type: ignore[misc]
        if client is not known:
            self._prepare(client)
        return client

    def retire(self, client: Any) -> None:
        """Let a new socket take this one's place. Those of an account, which are logged in, stay."""
        url: str = client.url
        if self.exact or self.clients.get(url) is not client:
            return
        del self.clients[url]
        retired = self._retired()
        retired[client] = asyncio.create_task(self._end(client), name=f"ccxt/retired {url}")
        retired[client].add_done_callback(lambda _: retired.pop(client, None))

    def on_close(self, client: Any, code: Any) -> None:
        """CCXT forgets the socket of the address, whichever has closed."""
        if self.clients.get(client.url) is client:
            super().on_close(client, code)  # type: ignore[misc]

    async def close_ws_clients(self) -> None:
        """Close the retired ones too."""
        retired = self._retired()
        ending, clients = list(retired.values()), list(retired)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await asyncio.gather(*(client.close() for client in clients))
        await super().close_ws_clients()  # type: ignore[misc]

    def _retired(self) -> dict[Any, asyncio.Task[None]]:
        kept: dict[Any, asyncio.Task[None]] = self.__dict__.setdefault("retired_clients", {})
        return kept

    async def _end(self, client: Any) -> None:
        await self.clock.sleep(self.overlap_s)
        await client.close()

    def _prepare(self, client: Any) -> None:
        early = SYSTEM_RANDOM.random() * RENEW_EARLIER_BY
        client.renew_at_s = self.clock.monotonic() + self.renew_after_s * (1 - early)
        client.open = self._paced(client)
        client.handle_text_or_binary_message = self._heeding(client)

    def _paced(self, client: Any) -> Callable[..., Any]:
        """The client's dialling, at the pace that the exchange allows."""
        dial = client.open

        async def open_in_turn(session: Any, backoff_delay: float = 0) -> None:
            try:
                await self.governor.acquire_dial()
            except RateLimitPluginError as error:
                client.on_error(theirs.NetworkError(error.message))
                return
            if self.clients.get(client.url) is client:  # else it was given up meanwhile
                await dial(session, backoff_delay)

        return open_in_turn

    def _heeding(self, client: Any) -> Callable[[Any], None]:
        """The client's reading of a message, but for the word that the server is about to end."""
        read = client.handle_text_or_binary_message

        def handle_text_or_binary_message(data: Any) -> None:
            if isinstance(data, str) and len(data) < 500 and _SHUTDOWN in data:
                self.retire(client)
            else:
                read(data)

        return handle_text_or_binary_message

"""Connections, a bounded number of them, lent to one call at a time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from tradewright.domain.errors import StorageUnavailable
from tradewright.storage.postgres.address import Address
from tradewright.storage.postgres.errors import DRIVER_ERRORS
from tradewright.storage.postgres.session import Patience, Session

_IDLE_LIFETIME_S: Final = 120.0
_CLOSE_PATIENCE_S: Final = 2.0
_KEEPALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
)


def server_settings(schema: str, step_timeout_s: float) -> dict[str, str]:
    """What a connection asks of its server.

    The server gives up a statement a little before we give up the server, so that a statement which is
    merely slow costs no connection, and one that we left does not run on.
    """
    return {
        "application_name": "tradewright",
        "search_path": f"{schema}, public",
        "statement_timeout": str(int(step_timeout_s * 900)),
        "lock_timeout": str(int(step_timeout_s * 450)),
        "idle_in_transaction_session_timeout": "60000",
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        "jit": "off",  # our statements are short; compiling them takes longer than running them
        # A correction may reach into a compressed chunk. Without TimescaleDB nobody reads this.
        "timescaledb.max_tuples_decompressed_per_dml_transaction": "0",
    }


async def connect(address: Address, schema: str, step_timeout_s: float) -> Any:
    """One connection beside the pools, for work that may take its time."""
    settings = server_settings(schema, step_timeout_s) | {"statement_timeout": "0", "lock_timeout": "0"}
    connection = await asyncpg.connect(address.url, timeout=step_timeout_s, server_settings=settings)
    await keep_alive(connection)
    return connection


async def keep_alive(connection: Any) -> None:
    """Let the kernel notice a peer that is gone without a word."""
    transport = getattr(connection, "_transport", None)  # the driver offers no other way to its socket
    peer = transport.get_extra_info("socket") if transport else None
    if peer is not None and peer.family != socket.AF_UNIX:
        for level, option, value in _KEEPALIVE:
            peer.setsockopt(level, option, value)


async def _nothing_to_reset(_connection: object) -> None:
    """A session leaves nothing behind but a transaction, which is ended here: no round trip is needed."""


class Lender:
    """A pool that lends sessions. At most ``pending_max`` calls hold or await one."""

    def __init__(self, pool: Any, pending_max: int) -> None:
        self._pool = pool
        self._room = pending_max

    @classmethod
    async def of(
        cls, address: Address, schema: str, size: int, step_timeout_s: float, pending_max: int
    ) -> Lender:
        """A pool that connects when it is first asked."""
        pool = asyncpg.create_pool(
            address.url,
            min_size=0,
            max_size=size,
            max_inactive_connection_lifetime=_IDLE_LIFETIME_S,
            timeout=step_timeout_s,
            # Ours ends first; this is for whatever the driver may ask by itself.
            command_timeout=step_timeout_s + 0.5,
            init=keep_alive,
            reset=_nothing_to_reset,
            server_settings=server_settings(schema, step_timeout_s),
        )
        return cls(await pool, pending_max)

    @asynccontextmanager
    async def session(self, patience: Patience) -> AsyncIterator[Session]:
        """A connection for one unit of work. It is given back as it was, or ended: never waited for."""
        if not self._room:
            raise StorageUnavailable("The database has more to do than it can keep up with; try again.")
        self._room -= 1
        try:
            async with patience.step():
                connection = await self._pool.acquire()
            session = Session(connection, patience)
            try:
                yield session
            finally:
                if session.interrupted or not await _outside_transaction(connection, patience):
                    connection.terminate()
                else:
                    await self._pool.release(connection)
        finally:
            self._room += 1

    async def close(self) -> None:
        """Let calls at work finish for a little while, then end every connection."""
        try:
            async with asyncio.timeout(_CLOSE_PATIENCE_S):
                await self._pool.close()
        except DRIVER_ERRORS:  # too late, or a connection whose server was killed can't be closed any more
            self._pool.terminate()


async def _outside_transaction(connection: Any, patience: Patience) -> bool:
    """Undo what was not committed; False where the connection is of no more use."""
    if connection.is_closed():
        return False
    if not connection.is_in_transaction():
        return True
    try:
        async with patience.step():
            await connection.execute("ROLLBACK")
    except (*DRIVER_ERRORS, StorageUnavailable):
        return False
    return True

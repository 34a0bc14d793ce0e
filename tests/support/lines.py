"""A TCP line that can be cut, between a client and a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

CHUNK_BYTES = 65_536


@dataclass(slots=True)
class Line:
    """A TCP line to the server that can be cut and mended."""

    target_port: int
    port: int = 0
    whole: bool = True
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def address(self) -> str:
        """Where a browser reaches the server through this line."""
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break every connection without a word, and refuse new ones."""
        self.whole = False
        for writer in list(self._writers):
            writer.transport.abort()

    def mend(self) -> None:
        """Let connections through again."""
        self.whole = True

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection in both directions until either side ends it."""
        if not self.whole:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except ConnectionError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, far_writer), name="to-server")
                group.create_task(self._carry(far_reader, writer), name="to-browser")
        finally:
            self._writers -= pair
            for side in pair:
                side.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(CHUNK_BYTES):
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def open_line(target_port: int) -> AsyncIterator[Line]:
    """A line to that port of the loopback, on a port of its own."""
    carried = Line(target_port)
    server = await asyncio.start_server(carried.accept, "127.0.0.1", 0)
    carried.port = server.sockets[0].getsockname()[1]
    try:
        yield carried
    finally:
        server.close()
        carried.cut()
        await server.wait_closed()

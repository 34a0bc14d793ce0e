"""Clients' ends of sockets without a network: as ASGI shows one, and as a server that takes frames does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tradewright.web.ws.writing import BUFFERED_BYTES_MAX


class Pipe:
    """A client's end of a socket that takes what it is given only while it likes to."""

    def __init__(self) -> None:
        self.frames: PipeFrames | None = None
        self.incoming: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.sent: list[str] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.closed: tuple[int, str] | None = None
        self.expelled = False

    async def receive(self) -> str | bytes:
        return await self.incoming.get()

    async def send(self, text: str) -> None:
        await self.reads.wait()
        self.sent.append(text)

    async def close(self, code: int, reason: str) -> None:
        await self.reads.wait()
        self.closed = (code, reason)

    def expel(self, code: int, reason: str) -> None:
        self.closed, self.expelled = (code, reason), True

    def ask(self, **message: object) -> None:
        self.incoming.put_nowait(json.dumps(message))

    def messages(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in map(json.loads, self.sent) if message["type"] == kind]


class PipeFrames:
    """The same end as a server's transport shows it: what the client does not take is buffered."""

    descriptor = None

    def __init__(self, pipe: FramePipe) -> None:
        self._pipe = pipe
        self._buffer = b""
        self._on_room: Callable[[], None] = lambda: None

    @property
    def transport(self) -> PipeFrames:
        return self

    def is_closing(self) -> bool:
        return self._pipe.closed is not None

    def get_write_buffer_size(self) -> int:
        return len(self._buffer) * BUFFERED_BYTES_MAX // self._pipe.room_bytes

    def write(self, frames: bytes, /) -> None:
        self._buffer += frames
        if self._pipe.reads.is_set():
            self.drain()

    def watch(self, on_room: Callable[[], None], on_close: Callable[[], None]) -> None:
        self._on_room = on_room

    def drain(self) -> None:
        """The client takes what waits."""
        paused = self.get_write_buffer_size() > BUFFERED_BYTES_MAX
        data, self._buffer = self._buffer, b""
        self._pipe.sent += texts_of(data)
        if paused:
            self._on_room()


def texts_of(frames: bytes) -> list[str]:
    """The texts in a server's frames, all of which have to be whole."""
    texts = []
    while frames:
        assert frames[0] == 0x81
        size, start = frames[1], 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(frames[2:start], "big")
        texts.append(frames[start : start + size].decode())
        assert len(frames) >= start + size
        frames = frames[start + size :]
    return texts


class Reads(asyncio.Event):
    """Drains the frames when the client reads again."""

    def __init__(self, frames: PipeFrames) -> None:
        super().__init__()
        self._frames = frames

    def set(self) -> None:
        super().set()
        self._frames.drain()


class FramePipe(Pipe):
    """A client's end of a socket that takes frames past ASGI."""

    room_bytes = 500
    """So small a buffer is shown as the full one that it stands for."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = PipeFrames(self)
        self.reads = Reads(self.frames)
        self.reads.set()

    async def send(self, text: str) -> None:
        raise AssertionError("nothing goes through ASGI here")

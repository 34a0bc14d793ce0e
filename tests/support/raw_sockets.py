"""A WebSocket client that reads only when it is told to, and takes what it reads apart without mercy."""

from __future__ import annotations

import socket
from typing import Any, Final, Self

import msgspec

HANDSHAKE: Final = (
    "GET /api/v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def masked(payload: bytes) -> bytes:
    """A client's text frame under a mask of zeros."""
    payload = payload.ljust(126)  # from here on the length has two bytes
    return b"\x81\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload


class RawClient:
    """One connection; ``frames`` are the opcodes and payloads so far. Ask for nothing before it has
    ``begun``."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(HANDSHAKE.encode())
        self.socket.setblocking(False)
        self._data = b""
        self.begun = False
        self.ended = False
        self.frames: list[tuple[int, bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send_ping(self, payload: bytes) -> None:
        """Send a ping of at most 125 bytes."""
        self.socket.sendall(bytes((0x89, 0x80 | len(payload))) + bytes(4) + payload)

    @property
    def close_code(self) -> int | None:
        """Why the server closed, where it said so."""
        closes = [payload for opcode, payload in self.frames if opcode == CLOSE]
        return int.from_bytes(closes[0][:2], "big") if closes else None

    @property
    def bid(self) -> float | None:
        """The best bid that it was told last."""
        updates = self.messages("update")
        return float(updates[-1]["order_book"]["bids"][0][0]) if updates else None

    def ask(self, **message: object) -> None:
        """Send a message."""
        self.socket.sendall(masked(msgspec.json.encode(message)))

    def read(self) -> None:
        """Take what there is."""
        try:
            while data := self.socket.recv(1 << 16):
                self._data += data
            self.ended = True
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self.ended = True
        if not self.begun:
            _, begun, rest = self._data.partition(b"\r\n\r\n")
            if not begun:
                return
            self._data, self.begun = rest, True
        while (frame := self._next_frame()) is not None:
            self.frames.append(frame)

    def _next_frame(self) -> tuple[int, bytes] | None:
        data = self._data
        if len(data) < 2:
            return None
        assert data[0] & 0xF0 == 0x80, "whole frames, not compressed"
        size, start = data[1], 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        if len(data) < start + size:
            return None
        self._data = data[start + size :]
        return data[0] & 0x0F, data[start : start + size]

    def messages(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The texts so far."""
        texts = [msgspec.json.decode(payload) for opcode, payload in self.frames if opcode == TEXT]
        return [text for text in texts if kind is None or text["type"] == kind]

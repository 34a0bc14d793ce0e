"""A thousand viewers in one process that only count bytes and look at the clock.

    python -m bench.fanout_client PORT VIEWERS TOPICS_OF_EACH TOPICS

It says `ready` when every view has had its snapshot. A line on standard input makes it say, as JSON, what has
come since the last one.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from typing import Final

import msgspec

from bench.fanout_control import MICROSECONDS_OFFSET, symbol

HANDSHAKE: Final = (
    b"GET /api/v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
START_DEADLINE_S: Final = 120.0
_CHUNK: Final = 1 << 18


class Received(msgspec.Struct, frozen=True):
    """What came: bytes, whole updates where all have one length, and how old they were, in ms."""

    size: int
    updates: int
    p50_ms: float
    p99_ms: float
    cpu_s: float


def masked(payload: bytes) -> bytes:
    """A client's text frame under a mask of zeros."""
    payload = payload.ljust(126)  # from here on the length has two bytes
    return b"\x81\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload


def subscription(number: int, message_id: int) -> bytes:
    """The message that asks for the topic of that number."""
    request = {"type": "subscribe", "id": message_id, "stream": "ticker", "market": "crypto"}
    return masked(msgspec.json.encode(request | {"provider": "bench", "symbol": symbol(number)}))


def connect(port: int, viewer: int, views: int, topics: int) -> socket.socket:
    """Open one viewer's socket and wait until all of its views have begun."""
    client = socket.create_connection(("127.0.0.1", port), timeout=START_DEADLINE_S)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(HANDSHAKE)
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(client)
    received = received.partition(b"\r\n\r\n")[2]
    for index in range(views):
        client.sendall(subscription((viewer * views + index) % topics, index + 1))
    while received.count(b'"snapshot"') < views:
        received += _more(client)
    client.setblocking(False)
    return client


def _more(client: socket.socket) -> bytes:
    data = client.recv(_CHUNK)
    if not data:
        raise SystemExit("the server closed a connection")
    return data


class Counter:
    """Counts what all sockets get. ``size`` is an update's length on the wire, once one has come alone."""

    def __init__(self, clients: list[socket.socket]) -> None:
        self._by_fd = {client.fileno(): client for client in clients}
        self._size = 0
        self._bytes = 0
        self._ages_us: list[int] = []
        self._cpu_s = time.process_time()

    def read(self, fd: int) -> None:
        """Take what one socket has."""
        data = self._by_fd[fd].recv(_CHUNK)
        if not data:
            raise SystemExit("the server closed a connection")
        if not self._size:
            self._size = 4 + int.from_bytes(data[2:4], "big")
        self._bytes += len(data)
        at = data.find(b'"t":')  # the oldest update in it
        if at >= 0 and at + 21 <= len(data):
            at += 5 if data[at + 4 : at + 5] == b" " else 4
            now_us = MICROSECONDS_OFFSET + time.monotonic_ns() // 1000
            self._ages_us.append(now_us - int(data[at : at + 16]))

    def report(self) -> Received:
        """What came since the last time."""
        ages = sorted(self._ages_us) or [0]
        size, self._bytes, self._ages_us = self._bytes, 0, []
        if self._size and size % self._size:
            raise SystemExit(f"{size} bytes are no whole number of updates of {self._size}")
        cpu_s, self._cpu_s = time.process_time() - self._cpu_s, time.process_time()
        p50, p99 = (ages[min(len(ages) - 1, int(len(ages) * share))] / 1000 for share in (0.5, 0.99))
        return Received(size, size // (self._size or 1), p50, p99, cpu_s)


def main(port: int, viewers: int, views: int, topics: int) -> None:
    """Count until standard input ends."""
    clients = [connect(port, viewer, views, topics) for viewer in range(viewers)]
    counter = Counter(clients)
    poll = select.epoll()
    for client in clients:
        poll.register(client.fileno(), select.EPOLLIN)
    poll.register(sys.stdin.fileno(), select.EPOLLIN)
    print("ready", flush=True)
    while True:
        for fd, _ in poll.poll():
            if fd != sys.stdin.fileno():
                counter.read(fd)
            elif not sys.stdin.readline():
                return
            else:
                print(msgspec.json.encode(counter.report()).decode(), flush=True)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))

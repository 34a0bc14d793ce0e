"""The venue's websocket: combined (`/stream`) and raw (`/ws`) sockets, SUBSCRIBE and UNSUBSCRIBE."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

import msgspec
from aiohttp import WSMessage, WSMsgType, web

from tests.venues.faults import Faults
from tests.venues.time import VenueTime

OUTBOX_MAX: Final = 200_000
STREAMS_MAX: Final = 1_024


class Command(msgspec.Struct):
    """What a client sends."""

    method: str
    id: int | str | None = None
    params: list[str | bool] = []


class Socket:
    """One client connection with its outbox."""

    def __init__(self, response: web.WebSocketResponse, *, combined: bool, faults: Faults) -> None:
        self.response = response
        self.combined = combined
        self.streams: dict[str, None] = {}
        self.silent = False
        self._faults = faults
        self._outbox: deque[tuple[float, str]] = deque()
        self._filled = asyncio.Event()
        self.overflowed = False

    def put(self, text: str, due_ms: float) -> None:
        """Queue a text; a socket that does not read is closed, not waited for."""
        if len(self._outbox) >= OUTBOX_MAX:
            self.overflowed = True
        else:
            self._outbox.append((due_ms, text))
        self._filled.set()

    async def drain(self, time: VenueTime) -> None:
        """Send what is queued, until cancelled or overflowed."""
        while not self.overflowed:
            if not self._outbox:
                self._filled.clear()
                await self._filled.wait()
                continue
            due_ms, text = self._outbox.popleft()
            if due_ms > time.exact_ms():
                await time.sleep_until(due_ms)
            if not (self.silent or self._faults.silent):
                await self.response.send_str(text)
        await self.response.close(code=1008, message=b"slow client")


class Hub:
    """All sockets and what they are subscribed to."""

    def __init__(self, time: VenueTime) -> None:
        self._time = time
        self.faults: Faults
        self.sockets: set[Socket] = set()
        self.opened = 0
        self.subscribe_requests: Counter[str] = Counter()
        self._by_stream: dict[str, set[Socket]] = {}

    def wanted(self, stream: str) -> bool:
        """Whether anybody is subscribed."""
        return stream in self._by_stream

    @property
    def subscriptions(self) -> dict[str, int]:
        """How many sockets are subscribed to each stream now."""
        return {stream: len(sockets) for stream, sockets in sorted(self._by_stream.items())}

    def publish(self, stream: str, event: object) -> None:
        """Send an event to the subscribed sockets."""
        sockets = self._by_stream.get(stream)
        if not sockets:
            return
        raw = msgspec.json.encode(event).decode()
        texts: Sequence[str] = (raw,)
        if self.faults.message_filter:
            texts = self.faults.message_filter(stream, raw)
        due_ms = self._time.exact_ms() + self.faults.stream_delay_s * 1000
        for text in texts:
            wrapped = f'{{"stream":"{stream}","data":{text}}}'
            for socket in sockets:
                socket.put(wrapped if socket.combined else text, due_ms)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one websocket for as long as it lives."""
        response = web.WebSocketResponse(autoping=False, max_msg_size=65_536)
        await response.prepare(request)
        combined = request.path.startswith("/stream")
        socket = Socket(response, combined=combined, faults=self.faults)
        self.sockets.add(socket)
        self.opened += 1
        asked = request.query.get("streams", "") if combined else request.match_info.get("rest", "")
        self._subscribe(socket, [name for name in asked.split("/") if "@" in name])
        sender = asyncio.create_task(socket.drain(self._time), name="venue/socket")
        try:
            async for message in response:
                await self._receive(socket, message)
        except ConnectionError:
            pass
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            self._forget(socket)
        return response

    async def _receive(self, socket: Socket, message: WSMessage) -> None:
        if socket.silent or self.faults.silent:
            return
        if message.type is WSMsgType.PING:
            await socket.response.pong(message.data)
        elif message.type is WSMsgType.TEXT:
            socket.put(self._command(socket, message.data), self._time.exact_ms())

    def _command(self, socket: Socket, text: str) -> str:
        try:
            command = msgspec.json.decode(text, type=Command)
        except msgspec.MsgspecError as error:
            return _error(2, f"Invalid request: {error}", None)
        names = [name for name in command.params if isinstance(name, str)]
        match command.method:
            case "SUBSCRIBE":
                if len(socket.streams) + len(names) > STREAMS_MAX:
                    return _error(2, "Invalid request: too many subscriptions", command.id)
                self._subscribe(socket, names)
                return _result(None, command.id)
            case "UNSUBSCRIBE":
                for name in names:
                    self._unsubscribe(socket, name)
                return _result(None, command.id)
            case "LIST_SUBSCRIPTIONS":
                return _result(list(socket.streams), command.id)
            case _:
                return _error(2, f"Invalid request: unknown variant `{command.method}`", command.id)

    def _subscribe(self, socket: Socket, names: Sequence[str]) -> None:
        for name in names:
            socket.streams[name] = None
            self._by_stream.setdefault(name, set()).add(socket)
            self.subscribe_requests[name] += 1

    def _unsubscribe(self, socket: Socket, name: str) -> None:
        socket.streams.pop(name, None)
        remaining = self._by_stream.get(name, set())
        remaining.discard(socket)
        if not remaining:
            self._by_stream.pop(name, None)

    def _forget(self, socket: Socket) -> None:
        for name in list(socket.streams):
            self._unsubscribe(socket, name)
        self.sockets.discard(socket)


def _result(result: object, command_id: int | str | None) -> str:
    return msgspec.json.encode({"result": result, "id": command_id}).decode()


def _error(code: int, text: str, command_id: int | str | None) -> str:
    return msgspec.json.encode({"error": {"code": code, "msg": text}, "id": command_id}).decode()

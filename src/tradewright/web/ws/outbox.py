"""What one client has still to get, in bounded space.

Nothing is left out for a client that keeps up. For one that lags, tickers and order books keep the
latest state and bars the last state of every bar; the message says how many updates it stands for.
Trades are never left out silently: the topic is marked lost, and begins again once there is room. So are
backfills, of which updates of one job are joined.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import UNSET

from tradewright.domain.bars import BarRow
from tradewright.domain.streams import StreamKind, Update
from tradewright.services.subscription_service import ResyncReason, TopicMessage
from tradewright.web.protocol import Resync

_encoder: Final = msgspec.json.Encoder()
_BAR_BYTES: Final = 110
_HEAD_BYTES: Final = 200


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """Beyond ``lagging_*`` the policies of the kinds apply; beyond ``messages_max`` or ``bytes_max``
    topics of trades are lost; beyond ``bytes_total_max``, or too many answers, the client is too slow."""

    lagging_messages: int = 128
    lagging_bytes: int = 256 * 1024
    messages_max: int = 1_000
    bytes_max: int = 1024 * 1024
    bytes_total_max: int = 4 * 1024 * 1024


class _Entry:
    __slots__ = ("message", "size", "text", "topic", "update")

    def __init__(self, topic: str | None, message: TopicMessage | None, text: str, size: int) -> None:
        self.topic = topic
        self.message = message
        self.text = text
        self.size = size
        self.update: Update | None = None
        """Set where the entry stands for several updates, which are encoded when their turn comes."""

    def encoded(self) -> str:
        if self.update is not None:
            return _encoder.encode(self.update).decode()
        return self.message.text if self.message is not None else self.text


class Outbox:
    """A queue of messages for one client; ``offer`` fills it, ``take`` empties it."""

    def __init__(self, *, on_room: Callable[[str], None], limits: OutboxLimits = OutboxLimits()) -> None:
        self._limits = limits
        self._on_room = on_room
        self._entries: deque[_Entry] = deque()
        self._last: dict[str, _Entry] = {}
        self._messages = 0
        self._bytes = 0
        self._lost: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    # Filling

    def reply(self, data: bytes) -> None:
        """Queue an answer or a notice; it is never left out."""
        self._append(_Entry(None, None, data.decode(), len(data)))

    def offer(self, message: TopicMessage) -> None:
        """Queue a topic's message, or join it with one that waits already."""
        if message.topic in self._lost:
            return
        if message.update is not None:
            if self.lagging and message.kind != "trades" and self._join(message):
                return
            if message.kind in ("trades", "backfills") and self._full:
                self._lose(message.topic)
                return
        entry = _Entry(message.topic, message, "", len(message.data))
        self._append(entry)
        if message.update is not None:
            self._last[message.topic] = entry
        else:
            self._last.pop(message.topic, None)

    def offer_resync(self, topic: str, kind: StreamKind, reason: ResyncReason) -> None:
        """Drop what waits of the topic, and say that it begins again."""
        self._drop(topic)
        self._lost.pop(topic, None)
        self.reply(_encoder.encode(Resync(topic=topic, reason=reason)))

    def forget(self, topic: str) -> None:
        """Drop what waits of a topic that is watched no more."""
        self._drop(topic)
        self._lost.pop(topic, None)

    @property
    def lagging(self) -> bool:
        """Whether so much waits that the policies apply."""
        return self._messages >= self._limits.lagging_messages or self._bytes >= self._limits.lagging_bytes

    @property
    def overwhelmed(self) -> bool:
        """Whether what must not be left out is already too much."""
        return self._messages > 2 * self._limits.messages_max or self._bytes > self._limits.bytes_total_max

    @property
    def waiting(self) -> tuple[int, int]:
        """How many messages and bytes wait."""
        return self._messages, self._bytes

    @property
    def _full(self) -> bool:
        return self._messages >= self._limits.messages_max or self._bytes >= self._limits.bytes_max

    def _append(self, entry: _Entry) -> None:
        self._entries.append(entry)
        self._messages += 1
        self._bytes += entry.size
        if self.lagging:
            self._room.clear()
        self._changed.set()

    def _join(self, message: TopicMessage) -> bool:
        """Merge into the topic's last waiting update, where that is the last of its messages."""
        entry = self._last.get(message.topic)
        if entry is None or message.update is None:
            return False
        waiting = entry.update or (entry.message.update if entry.message else None)
        if waiting is None or waiting.epoch != message.update.epoch or _of_two_jobs(waiting, message.update):
            return False
        entry.update = joined(waiting, message.update)
        size = _size(entry.update, len(message.data))
        self._bytes += size - entry.size
        entry.size = size
        return True

    def _lose(self, topic: str) -> None:
        self._drop(topic)
        self._lost[topic] = None

    def _drop(self, topic: str) -> None:
        kept = deque(entry for entry in self._entries if entry.topic != topic)
        self._entries = kept
        self._messages = len(kept)
        self._bytes = sum(entry.size for entry in kept)
        self._last.pop(topic, None)
        self._note_room()

    # Emptying

    async def wait(self) -> None:
        """Return when there is something to take. Who waits here has sent everything before, so there
        is room again for topics that were lost."""
        while not self._entries:
            lost, self._lost = self._lost, {}
            for topic in lost:
                self._on_room(topic)
            if not self._entries:
                self._changed.clear()
                await self._changed.wait()

    async def wait_for_room(self) -> None:
        """Return when the client does not lag."""
        await self._room.wait()

    def take(self, bytes_max: int = 64 * 1024) -> list[str]:
        """The next messages in order, up to about so many bytes; at least one where any waits."""
        taken: list[str] = []
        size = 0
        while self._entries and (not taken or size < bytes_max):
            entry = self._entries.popleft()
            if entry.topic is not None and self._last.get(entry.topic) is entry:
                del self._last[entry.topic]
            self._messages -= 1
            self._bytes -= entry.size
            size += entry.size
            taken.append(entry.encoded())
        self._note_room()
        return taken

    def _note_room(self) -> None:
        if not self.lagging:
            self._room.set()


def joined(waiting: Update, newer: Update) -> Update:
    """One update that stands for both; ``conflated`` counts the ones it stands for besides the last."""
    left_out = (0 if waiting.conflated is UNSET else waiting.conflated) + 1
    left_out += 0 if newer.conflated is UNSET else newer.conflated
    if newer.bars is UNSET or waiting.bars is UNSET:
        return msgspec.structs.replace(newer, conflated=left_out)
    rows: dict[int, BarRow] = {row[0]: row for row in waiting.bars}
    rows.update({row[0]: row for row in newer.bars})
    # A correction speaks of an earlier bar than the one at work, which stays what it was.
    last = newer if newer.bars[-1][0] >= waiting.bars[-1][0] else waiting
    bars = tuple(rows[time] for time in sorted(rows))
    return msgspec.structs.replace(newer, bars=bars, final=last.final, conflated=left_out)


def _of_two_jobs(waiting: Update, newer: Update) -> bool:
    one, other = waiting.backfill, newer.backfill
    return one is not UNSET and other is not UNSET and one.id != other.id


def _size(update: Update, newest_bytes: int) -> int:
    return newest_bytes if update.bars is UNSET else _HEAD_BYTES + _BAR_BYTES * len(update.bars)

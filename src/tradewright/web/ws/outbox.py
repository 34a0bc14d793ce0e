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
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET

from tradewright.domain.bars import BarRow
from tradewright.domain.streams import StreamKind, Update
from tradewright.services.subscription_service import ResyncReason, TopicMessage
from tradewright.web.protocol import Resync
from tradewright.web.ws.frames import frame_of, text_frame

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


class _Place:
    """A place in the queue whose update may come to stand for later ones, too."""

    __slots__ = ("message", "size", "topic", "update")

    def __init__(self, message: TopicMessage) -> None:
        self.topic = message.topic
        self.message = message
        self.size = len(message.data)
        self.update: Update | None = None
        """Set where the place stands for several updates, which are encoded when their turn comes."""

    @property
    def waiting(self) -> Update | None:
        """What another update could be joined with."""
        return self.update or self.message.update


_Entry: TypeAlias = TopicMessage | bytes | _Place
"""What all share, an answer for this client, or a place that is this client's own."""


class Outbox:
    """A queue of messages for one client; ``offer`` fills it, ``take`` empties it.

    For a client that keeps up it is no more than a queue of what all share; only while much waits is it
    kept account of what may be joined. ``on_room`` is called with each topic
    that was lost, once there is room.
    """

    __slots__ = (
        "_bytes",
        "_careful",
        "_lagging_bytes",
        "_lagging_messages",
        "_last",
        "_limits",
        "_on_room",
        "_room",
        "entries",
        "lost",
        "told",
    )

    def __init__(self, *, on_room: Callable[[str], None], limits: OutboxLimits = OutboxLimits()) -> None:
        self._limits = limits
        self._lagging_messages = limits.lagging_messages
        self._lagging_bytes = limits.lagging_bytes
        self._on_room = on_room
        self.entries: deque[_Entry] = deque()
        """What waits; always the same object, for those who look often whether anything does."""
        self._bytes = 0
        self._careful = False
        """Whether every message is looked at: the client lags, or has lost a topic."""
        self._last: dict[str, _Place] = {}
        self.lost: dict[str, None] = {}
        """Topics that were lost and have not begun again; always the same object, too."""
        self.told = False
        """Whether somebody knows that something waits, and will see to it."""
        self._room: asyncio.Event | None = None
        """For those who wait until the client does not lag; made by the first of them."""

    # Filling

    def reply(self, data: bytes) -> None:
        """Queue an answer or a notice; it is never left out."""
        self._append(data, len(data))

    def offer(self, message: TopicMessage) -> None:
        """Queue a topic's message, or join it with one that waits already."""
        if self._careful:
            self._offer_carefully(message)
            return
        # This runs for every message and viewer.
        entries = self.entries
        entries.append(message)
        self._bytes += len(message.data)
        if not self.told:
            self.told = True
            self._wake()
        if len(entries) >= self._lagging_messages or self._bytes >= self._lagging_bytes:
            self._be_careful()

    def offer_resync(self, topic: str, kind: StreamKind, reason: ResyncReason) -> None:
        """Drop what waits of the topic, and say that it begins again."""
        self.forget(topic)
        self.reply(_encoder.encode(Resync(topic=topic, reason=reason)))

    def forget(self, topic: str) -> None:
        """Drop what waits of a topic that is watched no more."""
        self.lost.pop(topic, None)
        self._drop(topic)

    @property
    def lagging(self) -> bool:
        """Whether so much waits that the policies apply."""
        return len(self.entries) >= self._limits.lagging_messages or self._bytes >= self._limits.lagging_bytes

    @property
    def overwhelmed(self) -> bool:
        """Whether what must not be left out is already too much."""
        limits = self._limits
        return len(self.entries) > 2 * limits.messages_max or self._bytes > limits.bytes_total_max

    @property
    def waiting(self) -> tuple[int, int]:
        """How many messages and bytes wait."""
        return len(self.entries), self._bytes

    @property
    def _full(self) -> bool:
        return len(self.entries) >= self._limits.messages_max or self._bytes >= self._limits.bytes_max

    def _append(self, entry: _Entry, size: int) -> None:
        self.entries.append(entry)
        self._bytes += size
        if not self.told:
            self.told = True
            self._wake()
        if self.lagging:
            self._be_careful()

    def _be_careful(self) -> None:
        """Much waits. Where the client would take it, it is not lagging; else the policies begin."""
        if self._careful:
            return
        self._crowded()
        if not self.lagging:
            return
        self._careful = True
        for index, entry in enumerate(self.entries):
            place = _Place(entry) if isinstance(entry, TopicMessage) else entry
            self.entries[index] = place
            if isinstance(place, _Place):
                self._note_last(place)

    def _offer_carefully(self, message: TopicMessage) -> None:
        if message.topic in self.lost:
            return
        if message.update is not None:
            if self.lagging and message.kind != "trades" and self._join(message):
                return
            if message.kind in ("trades", "backfills") and self._full:
                self._lose(message.topic)
                return
        place = _Place(message)
        self._append(place, place.size)
        self._note_last(place)

    def _note_last(self, place: _Place) -> None:
        if place.waiting is None:
            self._last.pop(place.topic, None)
        else:
            self._last[place.topic] = place

    def _join(self, message: TopicMessage) -> bool:
        """Merge into the topic's last waiting update, where that is the last of its messages."""
        place = self._last.get(message.topic)
        if place is None or message.update is None:
            return False
        waiting = place.waiting
        if waiting is None or waiting.epoch != message.update.epoch or _of_two_jobs(waiting, message.update):
            return False
        place.update = joined(waiting, message.update)
        size = _size(place.update, len(message.data))
        self._bytes += size - place.size
        place.size = size
        return True

    def _lose(self, topic: str) -> None:
        self.lost[topic] = None
        self._drop(topic)

    def _drop(self, topic: str) -> None:
        kept = [entry for entry in self.entries if isinstance(entry, bytes) or entry.topic != topic]
        self.entries.clear()
        self.entries.extend(kept)
        self._bytes = sum(_size_of(entry) for entry in kept)
        self._last.pop(topic, None)
        self._note_room()

    def _crowded(self) -> None:
        """So much waits that the client would count as lagging: the place to empty the outbox, if one can."""

    # Emptying

    def _wake(self) -> None:
        """Something waits where nothing did."""

    def begin_again(self) -> None:
        """All is sent and the client has room: topics that were lost begin again."""
        if self.lost:
            lost = tuple(self.lost)
            self.lost.clear()
            self._note_room()
            for topic in lost:
                self._on_room(topic)

    async def wait_for_room(self) -> None:
        """Return when the client does not lag."""
        while self.lagging:
            if self._room is None:
                self._room = asyncio.Event()
            await self._room.wait()

    def take(self, bytes_max: int = 64 * 1024) -> list[str]:
        """The next messages in order, up to about so many bytes; at least one where any waits."""
        return [_text_of(entry) for entry in self._take(bytes_max)]

    def take_frames(self, bytes_max: int = 64 * 1024) -> bytes:
        """The same as frames, one after the other."""
        return b"".join([_frame_of(entry) for entry in self._take(bytes_max)])

    def all_frames(self, bytes_max: int = 64 * 1024) -> bytes | None:
        """The frames of everything that waits, which waits on until ``clear``; None where nothing does,
        or it is too much for one write, or has to be looked at one by one."""
        if self._careful or self._bytes > bytes_max or not self.entries:
            return None
        if len(self.entries) == 1:
            return _frame_of(self.entries[0])
        return b"".join([_frame_of(entry) for entry in self.entries])

    def clear(self) -> None:
        """What ``all_frames`` gave is on its way."""
        self.entries.clear()
        self._bytes = 0
        self.told = False

    def _take(self, bytes_max: int) -> list[_Entry]:
        taken: list[_Entry] = []
        size = 0
        while self.entries and (not taken or size < bytes_max):
            entry = self.entries.popleft()
            if isinstance(entry, _Place) and self._last.get(entry.topic) is entry:
                del self._last[entry.topic]
            size += _size_of(entry)
            taken.append(entry)
        self._bytes -= size
        self._note_room()
        return taken

    def _note_room(self) -> None:
        if not self.lagging:
            if self._room is not None:
                self._room.set()
                self._room = None
            if self._careful and not self.lost:
                self._careful = False
                self._last.clear()


def _size_of(entry: _Entry) -> int:
    if isinstance(entry, _Place):
        return entry.size
    return len(entry) if isinstance(entry, bytes) else len(entry.data)


def _text_of(entry: _Entry) -> str:
    if isinstance(entry, TopicMessage):
        return entry.text
    if isinstance(entry, bytes):
        return entry.decode()
    return entry.message.text if entry.update is None else _encoder.encode(entry.update).decode()


def _frame_of(entry: _Entry) -> bytes:
    if isinstance(entry, TopicMessage):
        return entry.frame or frame_of(entry)
    if isinstance(entry, bytes):
        return text_frame(entry)
    return frame_of(entry.message) if entry.update is None else text_frame(_encoder.encode(entry.update))


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

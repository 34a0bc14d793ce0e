"""``TopicHub``: the one listener of a process on one topic, which feeds all of its views."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple, Protocol

import msgspec
from msgspec import UNSET

from tradewright.domain.ports import BusGap, MessageBus
from tradewright.domain.streams import (
    FeedMessage,
    FeedStatus,
    Gap,
    Heartbeat,
    Problem,
    Snapshot,
    StreamKey,
    StreamKind,
    Update,
)
from tradewright.domain.timeframes import MINUTE_MS, Timeframe
from tradewright.runtime.clock import Clock
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.feeds.past import LIFETIME_S, Lack, PastReader
from tradewright.services.feeds.ports import History, HistoryAnswer
from tradewright.services.feeds.replica import FAR_MS, Replica, TradesAhead, merged_bars, remaining_gaps
from tradewright.services.feeds.timing import within
from tradewright.services.feeds.topic import TopicState

_log = logging.getLogger(__name__)

RING_MESSAGES: Final = 1_000
RING_S: Final = 60.0
FIRST_STATE_S: Final = 5.0
SILENT_S: Final = 6.0
"""So long without a word, not even that there is nothing new, and the views are told."""
MENDED_EACH_S: Final = 10.0
"""At least so often history is read again for views whose snapshot it failed to be part of."""
RETRIED_EACH_S: Final = 900.0
"""The same where it failed as good as for good: a symbol may be listed again, a key set."""
_SETTLED_MS: Final = 3 * MINUTE_MS
"""What ended so long ago every venue's history has, as it is."""
_SILENT: Final = "Nothing is heard of this stream; another server may be taking it over."
_decoder: Final = msgspec.json.Decoder(FeedMessage)
_encoder: Final = msgspec.json.Encoder()

ResyncReason = Literal["slow_client", "epoch_changed"]


class TopicMessage:
    """Something for a view, encoded once for all of them. Only what has an ``update`` may be left out or
    joined by a client's outbox, and then under the rules of its ``kind``."""

    __slots__ = ("_text", "data", "frame", "kind", "topic", "update")

    def __init__(self, topic: str, kind: StreamKind, data: bytes, update: Update | None = None) -> None:
        self.topic = topic
        self.kind = kind
        self.data = data
        self.update = update
        self.frame: bytes | None = None
        """The bytes on the wire, kept here by who sends them, so that they too are made once for all."""
        self._text: str | None = None

    @property
    def text(self) -> str:
        """The message as text, decoded once for all who need it so."""
        if self._text is None:
            self._text = self.data.decode()
        return self._text


class ViewSink(Protocol):
    """Where a view's messages go; called on the event loop, never waits."""

    def offer(self, message: TopicMessage) -> None:
        """Take the message or a place for it."""
        ...

    def offer_resync(self, topic: str, kind: StreamKind, reason: ResyncReason) -> None:
        """Say that what the client has is no longer whole; forget what it was still to get of the topic."""
        ...


class Streams(Protocol):
    """Who runs the feeds."""

    def acquire(self, key: StreamKey) -> None: ...

    def release(self, key: StreamKey) -> None: ...

    def note_epoch(self, key: StreamKey, epoch: str) -> None:
        """Views follow this epoch, though a lower one is published."""
        ...

    async def state(self, key: StreamKey) -> TopicState:
        """``KeyError`` where nobody wants the stream, ``TimeoutError`` where nobody answers."""
        ...


class ResumeFrom(NamedTuple):
    """The last update that a client has."""

    epoch: str
    seq: int


class View:
    """One client's look at one topic."""

    __slots__ = ("closed", "history", "hub", "opening", "sink")

    def __init__(self, hub: TopicHub, sink: ViewSink, history: int) -> None:
        self.hub = hub
        self.sink = sink
        self.history = history
        self.closed = False
        self.opening = 0


class _Ring(NamedTuple):
    seq: int
    at_s: float
    message: TopicMessage


class TopicHub:
    """Listens to one topic, remembers its newest state and last messages, and serves its views.

    The live messages are heard before any history is read, so that no bar falls between the two.
    """

    def __init__(
        self,
        key: StreamKey,
        bus: MessageBus,
        streams: Streams,
        history: History,
        clock: Clock,
        *,
        silent_s: float | None = None,
    ) -> None:
        """``silent_s`` is the time without a word after which the feed is called stale, where its keeper
        says something all the time."""
        self.key = key
        self.topic = key.topic
        self.views: set[View] = set()
        self._live: dict[View, ViewSink] = {}
        """Those whose snapshot is on the way, so that updates follow it."""
        self.unwanted_since_s: float | None = None
        self._bus = bus
        self._streams = streams
        self._history = history
        self._clock = clock
        self._tasks = TaskSupervisor(f"hub {self.topic}")
        self._epoch = ""
        self._seq = 0
        self._ring: deque[_Ring] = deque(maxlen=RING_MESSAGES)
        self._replica = Replica()
        self._ahead = TradesAhead()
        self._status: FeedStatus | None = None
        self._heard_at_s = clock.monotonic()
        self._silent_s = silent_s
        self._word_at_s = clock.monotonic()
        self._silent = False
        self._acquired_at_s = float("-inf")
        self._listening = asyncio.Event()
        self._answered = asyncio.Event()
        self._past = PastReader(key, history, clock)
        self._snapshots: dict[int, tuple[tuple[str, int, float], bytes]] = {}
        self._lacking: dict[View, Lack] = {}
        """Those whose snapshot lacks history that may be read later, or says that no trade is known yet."""
        self._lacked_until_s = float("-inf")
        """When the last of them left, who may come back and resume."""
        self._mending: dict[Lack, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Begin to listen."""
        self._tasks.start("listen", self._listen())
        if self._silent_s is not None:
            self._tasks.start("watch over silence", self._watch_over_silence(self._silent_s))

    async def close(self) -> None:
        """Listen no more."""
        await self._tasks.close()
        await self._past.close()

    # Views

    def add_view(self, sink: ViewSink, history: int) -> View:
        """A new view, which gets nothing before ``open_view``. The first one wakes the feed."""
        view = View(self, sink, history)
        if not self.views:
            self._streams.acquire(self.key)
            self._acquired_at_s = self._clock.monotonic()
            self.unwanted_since_s = None
            if self._listening.is_set():
                self._tasks.start("look after a pause", self._adopt())
        self.views.add(view)
        return view

    def remove_view(self, view: View) -> None:
        """The view gets nothing any more. The last one lets the feed go."""
        if view.closed:
            return
        view.closed = True
        self._live.pop(view, None)
        self.views.discard(view)
        if self._lacking.pop(view, None) is not None:
            self._lacked_until_s = self._clock.monotonic()
        if not self.views:
            self._streams.release(self.key)
            self.unwanted_since_s = self._clock.monotonic()

    async def open_view(self, view: View, resume: ResumeFrom | None = None) -> None:
        """Send what was missed where that is still known, else a snapshot; then all that follows.

        A view that was opened before has missed nothing: it gets a fresh snapshot, whatever ``resume``
        says.
        """
        await self._listening.wait()
        opened = view in self._live or view.opening > 0
        if resume is not None and not opened and self._replay(view, resume):
            return
        await self._send_snapshot(view)

    def resync(self, view: View, reason: ResyncReason) -> None:
        """Tell the view that it lacks something, and give it a fresh snapshot."""
        self._live.pop(view, None)
        view.sink.offer_resync(self.topic, self.key.kind, reason)
        self._tasks.start("resync", self._send_snapshot(view))

    def _replay(self, view: View, resume: ResumeFrom) -> bool:
        if resume.epoch != self._epoch or resume.seq > self._seq:
            return False
        if self._clock.monotonic() - self._lacked_until_s < RING_S:
            return False  # it may be one whose snapshot was not whole
        self._forget_old()
        missed = [entry for entry in self._ring if entry.seq > resume.seq]
        if len(missed) != self._seq - resume.seq:
            return False
        self._live[view] = view.sink
        for entry in missed:
            view.sink.offer(entry.message)
        self._send_status(view)
        return True

    # Snapshots

    async def _send_snapshot(self, view: View) -> None:
        self._live.pop(view, None)
        view.opening += 1
        opening = view.opening
        lack: Lack | None
        if self.key.kind == "ohlcv":
            data, lack = await self._bars_snapshot(view.history)
        else:
            await self._wait_for_state()
            data = _encoder.encode(self._plain_snapshot())
            lack = None if self._seq > 0 or self.key.kind != "trades" else "passing"
        # From here on nothing waits: what the snapshot holds and what follows it meet without a seam.
        if view.closed or view.opening != opening:
            return
        self._live[view] = view.sink
        view.sink.offer(TopicMessage(self.topic, self.key.kind, data))
        self._send_status(view)
        self._lacking.pop(view, None)
        if lack is not None:
            self._lacking[view] = lack
            mending = self._mending.get(lack)
            if self.key.kind == "ohlcv" and (mending is None or mending.done()):
                self._mending[lack] = self._tasks.start(f"mend {lack} lacks", self._mend(lack))

    async def _mend(self, lack: Lack) -> None:
        """Give those who lack history so a fresh snapshot once it is otherwise: nobody else would tell."""
        passing = lack == "passing"
        delay_s, each_s = (LIFETIME_S, MENDED_EACH_S) if passing else (RETRIED_EACH_S, RETRIED_EACH_S)
        while lack in self._lacking.values():
            await self._clock.sleep(delay_s)
            delay_s = min(2 * delay_s, each_s)
            for count in {view.history for view in self._lacking_so(lack)}:
                if (await self._past.read(count, self._acquired_at_s)).lack != lack:
                    self._begin_again(view for view in self._lacking_so(lack) if view.history == count)

    def _lacking_so(self, lack: Lack) -> list[View]:
        return [view for view, theirs in self._lacking.items() if theirs == lack]

    def _begin_again(self, views: Iterable[View]) -> None:
        """Send fresh snapshots to those of the views who are not waiting for one already."""
        for view in tuple(views):
            self._lacking.pop(view, None)
            if view in self._live:
                self.resync(view, "epoch_changed")

    async def _bars_snapshot(self, count: int) -> tuple[bytes, Lack | None]:
        """The snapshot, and why it lacks history."""
        past = await self._past.read(count, self._acquired_at_s)
        as_of = (self._epoch, self._seq, past.asked_at_s)
        made = self._snapshots.get(count)
        if made is not None and made[0] == as_of:
            return made[1], past.lack
        data = _encoder.encode(self._merged(past.answer, count, past.problems))
        self._snapshots[count] = (as_of, data)
        while len(self._snapshots) > 8:
            del self._snapshots[next(iter(self._snapshots))]
        return data, past.lack

    def _merged(self, answer: HistoryAnswer | None, count: int, problems: tuple[Problem, ...]) -> Snapshot:
        live = self._replica.bars.values()
        if answer is None:
            newest = sorted(live, key=lambda bar: bar.row[0])[-count:]
            rows, forming = tuple(bar.row for bar in newest), bool(newest) and not newest[-1].final
            gaps: tuple[Gap, ...] = ()
        else:
            timeframe = Timeframe.parse(self.key.timeframe or "")
            settled_ms = timeframe.floor(self._clock.now_ms() - _SETTLED_MS)
            rows, forming = merged_bars(answer, live, count, settled_ms)
            since_ms = rows[0][0] if rows and len(answer.bars) > count else FAR_MS
            gaps = remaining_gaps(answer.gaps, rows, timeframe, since_ms)
        return Snapshot(
            topic=self.topic,
            epoch=self._epoch,
            seq=self._seq,
            bars=rows,
            forming=forming,
            gaps=gaps,
            problems=problems,
        )

    def _plain_snapshot(self) -> Snapshot:
        problems: tuple[Problem, ...] = ()
        if self._seq == 0:
            detail = (self._status and self._status.detail) or "The provider has not answered yet."
            code = "storage_unavailable" if self.key.kind == "backfills" else "provider_unavailable"
            problems = (Problem("feed", code, detail),)
        kind, replica = self.key.kind, self._replica
        return Snapshot(
            topic=self.topic,
            epoch=self._epoch,
            seq=self._seq,
            problems=problems,
            trades=tuple(replica.trades) if kind == "trades" else UNSET,
            ticker=replica.ticker if kind == "ticker" else UNSET,
            order_book=replica.order_book if kind == "order_book" else UNSET,
            backfills=replica.backfills if kind == "backfills" else UNSET,
        )

    async def _wait_for_state(self) -> None:
        """Give a feed that has just been started the time to tell its first state, and one that is behind
        what was told the time to come so far."""
        if not self._answered.is_set():
            try:
                await within(self._clock, FIRST_STATE_S, self._answered.wait())
            except TimeoutError:
                if self._ahead:
                    self._answered.set()  # it goes no further for now: who comes next need not wait as well

    def _send_status(self, view: View) -> None:
        if self._silent:
            silent_ms = round((self._clock.monotonic() - self._word_at_s) * 1000)
            status = FeedStatus(topic=self.topic, state="stale", age_ms=silent_ms, detail=_SILENT)
            view.sink.offer(TopicMessage(self.topic, self.key.kind, _encoder.encode(status)))
        elif self._status is not None:
            elapsed_ms = round((self._clock.monotonic() - self._heard_at_s) * 1000)
            age_ms = None if self._status.age_ms is None else self._status.age_ms + elapsed_ms
            if self._status.state == "live":
                age_ms = elapsed_ms
            status = msgspec.structs.replace(self._status, age_ms=age_ms)
            view.sink.offer(TopicMessage(self.topic, self.key.kind, _encoder.encode(status)))

    # Listening

    async def _listen(self) -> None:
        async with self._bus.subscribe(self.topic) as subscription:
            await self._adopt(first=True)
            self._listening.set()
            messages = aiter(subscription)
            while True:
                try:
                    data = await anext(messages)
                except BusGap:
                    await self._adopt(resync=True)
                    continue
                await self._receive(data)

    async def _receive(self, data: bytes) -> None:
        try:
            message = _decoder.decode(data)
        except msgspec.DecodeError as error:
            _log.warning("a message on %s could not be read: %s", self.topic, error)
            await self._adopt(resync=True)
            return
        self._word_at_s = self._clock.monotonic()
        if self._silent:
            self._end_silence()
        if isinstance(message, Heartbeat):
            if (message.epoch, message.seq) > (self._epoch, self._seq):
                await self._adopt(resync=True)
            elif message.epoch < self._epoch:
                self._streams.note_epoch(self.key, self._epoch)
            return
        self._heard_at_s = self._word_at_s
        if isinstance(message, FeedStatus):
            self._status = message
            if message.state == "down":
                self._answered.set()
            self._send_to_views(TopicMessage(self.topic, self.key.kind, data))
            return
        if message.epoch < self._epoch:
            self._streams.note_epoch(self.key, self._epoch)
            return
        if message.epoch == self._epoch and message.seq <= self._seq:
            return
        if message.epoch != self._epoch or message.seq != self._seq + 1:
            await self._adopt(resync=True)
            return
        self._seq = message.seq
        self._replica.apply(message)
        told = message.trades is not UNSET and self._ahead.pass_by(message.trades)
        if self.key.kind == "trades" and (told or self._lacking):
            # Views may have these trades from before the feed began anew: what is told is told once.
            self._begin_again(self._live if told else self._lacking)
        if self._ahead:
            self._answered.clear()
        else:
            self._answered.set()
        frame = TopicMessage(self.topic, self.key.kind, data, message)
        if told:
            self._ring.clear()  # nor is any of it told again to who comes back
        else:
            self._ring.append(_Ring(message.seq, self._heard_at_s, frame))
            self._forget_old()
        self._send_to_views(frame)

    async def _adopt(self, *, first: bool = False, resync: bool = False) -> None:
        """Take the owner's word for the state; all views begin again where their updates don't go on."""
        try:
            state = await self._streams.state(self.key)
        except KeyError:
            return  # nobody wants the stream any more, and its feed has ended
        except TimeoutError:
            return  # nobody keeps it now; who does next says so, and is asked again
        if state.epoch < self._epoch:
            return
        if not first and not resync and (state.epoch, state.seq) == (self._epoch, self._seq):
            return
        if state.epoch == self._epoch and state.seq <= self._seq:
            return
        self._epoch, self._seq = state.epoch, state.seq
        self._status = state.status or self._status
        self._ring.clear()
        self._ahead.follow(self._replica.trades, state.trades)
        self._replica.adopt(state)
        if state.seq and not self._ahead:
            self._answered.set()
        else:
            self._answered.clear()
        if not first:
            for view in tuple(self._live):
                self.resync(view, "epoch_changed")

    # Silence

    async def _watch_over_silence(self, silent_s: float) -> None:
        """Say so when nothing is heard, though a keeper would say something all the time."""
        while True:
            left_s = self._word_at_s + silent_s - self._clock.monotonic()
            if left_s > 0:
                await self._clock.sleep(left_s)
                continue
            if self.views and not self._silent:
                self._silent = True
                for view in tuple(self._live):
                    self._send_status(view)
            await self._clock.sleep(silent_s)

    def _end_silence(self) -> None:
        self._silent = False
        for view in tuple(self._live):
            self._send_status(view)

    def _send_to_views(self, message: TopicMessage) -> None:
        # Not over the views, each of which would have to be looked at: it runs for every message and viewer.
        for sink in tuple(self._live.values()):
            sink.offer(message)

    def _forget_old(self) -> None:
        horizon = self._clock.monotonic() - RING_S
        while self._ring and self._ring[0].at_s < horizon:
            self._ring.popleft()

"""``SharedFeed``: one feed as this process takes part in it, as its keeper or as a listener."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from tradewright.domain.ports import BusGap, BusSubscription, LeasesUnavailable, MessageBus
from tradewright.domain.streams import StreamKey
from tradewright.runtime.clock import Clock
from tradewright.runtime.ids import new_id
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.feeds.control import (
    ControlMessage,
    FeedKey,
    Here,
    Leaving,
    Question,
    Rank,
    Want,
    control_message,
    encode,
    topic_state,
)
from tradewright.services.feeds.feed import Feed
from tradewright.services.feeds.kept import FeedMaker, KeptFeed
from tradewright.services.feeds.rights import Right, Rights, Term
from tradewright.services.feeds.settings import SharingSettings, StreamSettings
from tradewright.services.feeds.timing import Wakeup, until_first
from tradewright.services.feeds.topic import TopicState
from tradewright.services.feeds.wants import Wants

_IDLE_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Company:
    """What all shared feeds of one process have in common."""

    process: str
    bus: MessageBus
    rights: Rights
    clock: Clock
    make: FeedMaker
    settings: StreamSettings
    sharing: SharingSettings
    tasks: TaskSupervisor
    epochs: Iterator[int]


@dataclass(frozen=True, slots=True)
class _Heard:
    """The keeper in another process."""

    rank: Rank
    righted: bool
    at_s: float


class SharedFeed:
    """Tries for the lease of the feed while anybody here wants it. Who has it runs the feed for all
    processes; the others tell it what they want, and ask it how things stand."""

    def __init__(self, key: FeedKey, company: Company, last_rank: Rank) -> None:
        self.key = key
        self._company = company
        self._clock = company.clock
        self._sharing = company.sharing
        self._wants = Wants(key, company.clock, company.settings.grace_s)
        self._seen = last_rank
        self._heard: _Heard | None = None
        self._term: Term | None = None
        self._kept: KeptFeed | None = None
        self._ending: asyncio.Task[None] | None = None
        self._wakeup = Wakeup(self._clock)
        self._turn = asyncio.Event()
        self._decided = False
        self._beat_due = True
        self._all_due = False
        self._try_at_s = float("-inf")
        self._stopping = False

    # What is wanted here

    def want(self, key: StreamKey) -> None:
        """Want the stream once more."""
        if self._wants.add(key):
            self._beat_due = True
            self._wakeup.set()
        if self._kept is not None:
            self._kept.begin(key)

    def unwant(self, key: StreamKey) -> None:
        """Want it once less."""
        if self._wants.remove(key):
            self._wakeup.set()

    def beat(self, *, all_topics: bool = False) -> None:
        """A beat has passed: say what is to be said each beat; with ``all_topics`` of each of them how far
        it has come."""
        self._beat_due = True
        self._all_due = self._all_due or all_topics
        self._wakeup.set()

    def stop(self) -> None:
        """End, letting the lease go."""
        self._stopping = True
        self._wakeup.set()

    @property
    def references(self) -> dict[StreamKey, int]:
        """What is wanted here, and how often."""
        return dict(self._wants.here)

    @property
    def needed(self) -> bool:
        """Whether anybody here wants any of it."""
        return bool(self._wants.here) and not self._stopping

    @property
    def present(self) -> bool:
        """Whether this process wants the feed, or keeps it for whoever does or just did."""
        return self.needed or self.kept

    @property
    def feed(self) -> Feed | None:
        """The upstream feed, while this process runs it."""
        return None if self._kept is None else self._kept.feed

    @property
    def kept(self) -> bool:
        """Whether this process runs the feed."""
        return self._kept is not None and bool(self._kept.topics)

    @property
    def last_rank(self) -> Rank:
        """The highest rank that was heard of."""
        return self._seen

    def _note_want(self, key: StreamKey) -> None:
        if self._wants.note(key) and self._kept is not None:
            self._kept.begin(key)

    def note_epoch(self, epoch: str) -> None:
        """An epoch that viewers here follow. Its keeper may have been heard by nobody who keeps the feed now,
        and what is published below it they would drop: all are told, so that the feed goes on above it."""
        rank = Rank.of_epoch(epoch)
        if rank > self._seen:
            self._seen = rank
            self.beat()

    # The state of a topic

    async def state(self, key: StreamKey) -> TopicState:
        """What the keeper has published; ``KeyError`` where it is not wanted here, ``TimeoutError`` where
        no keeper answers."""
        end_s = self._clock.monotonic() + self._sharing.answer_s
        while True:
            if self._kept is not None and key in self._kept.topics:
                return self._kept.topics[key].state()
            if key not in self._wants.here:
                raise KeyError(key)
            left_s = end_s - self._clock.monotonic()
            if left_s <= 0:
                raise TimeoutError
            state = await self._ask(key, min(left_s, self._sharing.ask_again_s))
            if state is not None:
                return state

    async def _ask(self, key: StreamKey, timeout_s: float) -> TopicState | None:
        """The answer of a keeper elsewhere; None where there is none, or where the keeper changes."""
        turn, bus = self._turn, self._company.bus
        if not self._decided:
            await until_first(self._clock, timeout_s, turn.wait())
            return None
        reply_to = f"feed-state:{new_id()}"
        received: list[bytes] = []
        async with bus.subscribe(reply_to) as answers:
            await bus.publish(self.key.name, encode(Question(key, reply_to)))
            await until_first(self._clock, timeout_s, turn.wait(), _take_one(answers, received))
        return topic_state(reply_to, received[0]) if received else None

    def _change_turn(self) -> None:
        """Tell those who wait for a state that who keeps the feed has changed."""
        self._decided = True
        self._turn.set()
        self._turn = asyncio.Event()

    # Taking part

    async def run(self) -> None:
        """Take part as long as it is needed."""
        async with self._company.bus.subscribe(self.key.name) as control, asyncio.TaskGroup() as group:
            hearing = group.create_task(self._hear(control), name=f"{self.key.name} control")
            while self.needed:
                term = await self._contend()
                if term is not None:
                    await self._keep(term)
            hearing.cancel()

    async def _contend(self) -> Term | None:
        """Listen until the feed is this process's to keep; None where it is not needed any more."""
        unavailable_since_s: float | None = None
        while self.needed:
            await self._announce()
            now = self._clock.monotonic()
            if now >= max(self._try_at_s, self._quiet_at_s()):
                try:
                    right = await self._company.rights.acquire(self.key.name)
                except LeasesUnavailable:
                    unavailable_since_s = now if unavailable_since_s is None else unavailable_since_s
                    if self._may_go_alone(unavailable_since_s):
                        return self._new_term(None)
                else:
                    unavailable_since_s = None
                    if right is not None:
                        return self._new_term(right)
                self._try_at_s = self._clock.monotonic() + self._patience_s()
                self._change_turn()
                continue
            await self._wakeup.wait(max(self._try_at_s, self._quiet_at_s()) - now)
        await self._announce()
        return None

    def _quiet_at_s(self) -> float:
        """When the keeper that was heard may be gone; one without a lease keeps nobody from trying."""
        if self._heard is None or not self._heard.righted:
            return float("-inf")
        return self._heard.at_s + self._sharing.quiet_s

    def _patience_s(self) -> float:
        """Who runs the feed without a lease is left the time to get it first: nothing changes then."""
        return self._sharing.lease_s if self._heard_lately else self._sharing.try_s

    @property
    def _heard_lately(self) -> bool:
        return self._heard is not None and self._clock.monotonic() < self._heard.at_s + self._sharing.quiet_s

    def _may_go_alone(self, unavailable_since_s: float) -> bool:
        since_s = unavailable_since_s + self._sharing.alone_after_s
        return not self._heard_lately and self._clock.monotonic() >= since_s

    async def _announce(self) -> None:
        if not (self._beat_due or self._wants.news):
            return
        self._beat_due = False
        streams = self._wants.to_announce()
        if streams:
            await self._say(Want(streams, self._seen))

    async def _say(self, message: ControlMessage) -> None:
        await self._company.bus.publish(self.key.name, encode(message))

    # Keeping

    def _new_term(self, right: Right | None) -> Term:
        return Term(self._new_rank(right), right, self._company.bus, self._wakeup.set)

    def _new_rank(self, right: Right | None) -> Rank:
        """Above all that were heard of; the leases' tokens see to that, but for who ran it alone."""
        process, seen = self._company.process, self._seen
        rank = Rank(right.lease.token, 0, process) if right else Rank(seen.token, 1, process)
        if rank <= seen and not (right is None and seen.process == process):
            rank = Rank(seen.token + 1, rank.alone, process)
        self._seen = max(self._seen, rank)
        return rank

    async def _keep(self, term: Term) -> None:
        """Run the feed for all processes until it is not wanted any more, or another's."""
        company = self._company
        kept = KeptFeed(
            self.key,
            company.make,
            term,
            self._clock,
            company.settings,
            company.sharing,
            lambda: term.rank.epoch(next(company.epochs)),
            lambda: term.may_act,
            lambda: term.may_speak,
            company.tasks,
        )
        self._term, self._kept = term, kept
        for key in self._wants.of_anybody():
            kept.begin(key)
        kept.start(self._ending)
        self._change_turn()
        self._beat_due = True
        try:
            while await self._go_on(term, kept):
                try_s = _IDLE_S if term.righted else self._try_at_s - self._clock.monotonic()
                await self._wakeup.wait(min(try_s, self._wants.next_end_s(_IDLE_S)))
        finally:
            self._term = self._kept = None
            self._change_turn()
            term.over = True
            self._ending = await kept.close()
            if term.right is not None and not term.right.lost:
                await company.rights.release(term.right)
            await self._say(Leaving(company.process))

    async def _go_on(self, term: Term, kept: KeptFeed) -> bool:
        """Do what is due; False where the term is over."""
        for key in kept.topics.keys() - self._wants.of_anybody():
            kept.end(key)
        if self._stopping or not kept.topics or self._outranked(term):
            return False
        if not await self._keep_right(term, kept):
            return False
        if self._beat_due:
            self._beat_due = False
            self._wants.to_announce()  # the keeper itself knows them
            await self._say(Here(term.rank, term.righted))
            all_topics, self._all_due = self._all_due, False
            await kept.beat(all_topics=all_topics)
        return True

    async def _keep_right(self, term: Term, kept: KeptFeed) -> bool:
        """Whether the term goes on; where its lease had to be had anew, or numbers are missing, it goes on
        in new epochs."""
        lost = term.right is not None and term.right.lost
        outgrown = term.righted and self._seen > term.rank
        alone = not term.righted and self._clock.monotonic() >= self._try_at_s
        if lost or outgrown or alone:
            try:
                right = await self._company.rights.acquire(self.key.name)
            except LeasesUnavailable:
                self._try_at_s = self._clock.monotonic() + self._sharing.try_s
                return not lost and term.may_speak
            if right is None:
                return False
            term.right = right
            term.rank = self._new_rank(right)
            term.broken = True
        if not term.may_speak:
            return False
        if term.broken:
            term.broken = False
            await self._say(Here(term.rank, term.righted))
            await kept.renumber()
        return True

    def _outranked(self, term: Term) -> bool:
        """Whether another keeper was heard that goes before this one."""
        heard = self._heard if self._heard_lately else None
        return heard is not None and (heard.righted, heard.rank) > (term.righted, term.rank)

    # Hearing

    async def _hear(self, control: BusSubscription) -> None:
        messages = aiter(control)
        while True:
            try:
                data = await anext(messages)
            except BusGap:
                self.beat()
                continue
            match control_message(self.key.name, data):
                case Here() as here:
                    self._hear_keeper(here)
                case Want() as want:
                    self._hear_want(want)
                case Question() as question:
                    await self._hear_question(question)
                case Leaving() as leaving:
                    self._hear_leaving(leaving)
                case None:
                    pass

    def _hear_keeper(self, here: Here) -> None:
        if here.rank.process == self._company.process:
            return
        before = self._heard if self._heard_lately else None
        known = before is not None and before.rank.process == here.rank.process
        if before and not known and (here.righted, here.rank) < (before.righted, before.rank):
            return
        self._seen = max(self._seen, here.rank)
        self._heard = _Heard(here.rank, here.righted, self._clock.monotonic())
        if before is None or before.rank != here.rank or self._term is not None:
            self.beat()  # a new keeper has to hear what is wanted, and another one of this one

    def _hear_want(self, want: Want) -> None:
        for key in want.streams:
            self._note_want(key)
        self._seen = max(self._seen, want.seen)
        if self._term is not None:
            # Who does not know yet that the feed is kept would try for the lease.
            self._beat_due = self._beat_due or want.seen < self._term.rank
            self._wakeup.set()

    async def _hear_question(self, question: Question) -> None:
        self._note_want(question.stream)
        topic = self._kept.topics.get(question.stream) if self._kept is not None else None
        if topic is not None and self._term is not None and self._term.may_speak:
            await self._company.bus.publish(question.reply_to, encode(topic.state()))

    def _hear_leaving(self, leaving: Leaving) -> None:
        if self._heard is None or self._heard.rank.process == leaving.process:
            self._heard = None
            self._try_at_s = float("-inf")
            self._wakeup.set()


async def _take_one(subscription: BusSubscription, into: list[bytes]) -> None:
    try:
        into.append(await anext(aiter(subscription)))
    except BusGap:
        return

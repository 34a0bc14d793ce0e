"""What differs between the kinds of feeds: how they are watched, asked, brought up to date, published."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable
from typing import ClassVar, Generic, TypeVar

from tradewright.domain.capabilities import Capability
from tradewright.domain.errors import TradewrightError
from tradewright.domain.streams import StreamKey
from tradewright.plugins.base import MarketPlugin
from tradewright.runtime.calendars import AlwaysOpenCalendar, TradingCalendar
from tradewright.services.feeds.topic import Topic

Item = TypeVar("Item")


class SpoiledStream(TradewrightError):
    """What the stream delivers can't be right, and does not get right by itself."""

    code = "provider_malformed_answer"


class FeedLogic(ABC, Generic[Item]):
    """Used by one feed, from one task. Failing venues raise out of the methods that talk to them."""

    watch_capability: ClassVar[Capability]
    ask_capability: ClassVar[Capability]

    def __init__(self, symbol: str, new_epoch: Callable[[], str], wake: Callable[[], None]) -> None:
        self.symbol = symbol
        self.topics: dict[StreamKey, Topic] = {}
        self.calendar: TradingCalendar = AlwaysOpenCalendar()
        """When the instrument trades; the feed sets it before anything is asked or watched."""
        self.on_resync: Callable[[], None] = lambda: None
        """Told of each topic whose viewers have to begin anew."""
        self._new_epoch = new_epoch
        self._wake = wake

    def add_topic(self, topic: Topic) -> None:
        """Publish on this topic too."""
        self.topics[topic.key] = topic

    def remove_topic(self, key: StreamKey) -> None:
        """Publish on it no more."""
        del self.topics[key]

    @abstractmethod
    def watch(self, plugin: MarketPlugin) -> AsyncIterator[Item]:
        """The venue's stream."""

    @abstractmethod
    def put(self, item: Item, connection: int) -> None:
        """Keep what the stream delivered until ``drain``, in bounded space."""

    @property
    @abstractmethod
    def waiting(self) -> bool:
        """Whether ``drain`` has something to do."""

    @abstractmethod
    async def drain(self) -> bool:
        """Publish what was delivered; False where ``synchronise`` is needed before it can go on.
        ``SpoiledStream`` where the stream has to be begun anew."""

    @abstractmethod
    async def synchronise(self, plugin: MarketPlugin) -> None:
        """Ask for what may have been missed, and publish it."""

    @abstractmethod
    async def give_up(self) -> None:
        """What was missed can't be had: begin a new epoch, and go on with what is delivered."""

    @property
    def owes(self) -> bool:
        """Whether something was given up that may still be had once calls succeed again."""
        return False

    async def make_up(self) -> None:
        """Tell what was given up; raises why that can't be had yet."""

    @abstractmethod
    async def ask(self, plugin: MarketPlugin) -> bool:
        """Ask the venue how things are and publish it; whether it was news."""

    def delay_s(self) -> float | None:
        """In how many seconds ``tick`` wants to run."""
        return min((d for d in map(self._flush_delay, self.topics.values()) if d is not None), default=None)

    async def tick(self) -> None:
        """Publish what has waited for its time."""
        for topic in self.topics.values():
            await topic.flush()

    def question_due_s(self) -> float | None:
        """In how many seconds the venue should be asked, whatever its stream does."""
        return None

    async def close(self) -> None:
        """End what runs on its own."""

    def _flush_delay(self, topic: Topic) -> float | None:
        return None if topic.due_at_s is None else topic.due_at_s - topic.clock.monotonic()

    async def _begin_again(self, topics: Iterable[Topic]) -> None:
        for topic in topics:
            self.on_resync()
            topic.begin_again(self._new_epoch())
            if topic.status is not None:
                await topic.publish_status(topic.status)

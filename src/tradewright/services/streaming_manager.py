"""``StreamingManager``: one upstream feed per stream, however many views look at it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tradewright.domain.capabilities import Capability
from tradewright.domain.errors import PluginFeatureNotSupportedError
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.ports import MessageBus
from tradewright.domain.streams import StreamKey, StreamKind
from tradewright.domain.timeframes import ONE_MINUTE, Timeframe
from tradewright.runtime.clock import Clock
from tradewright.runtime.feed_metrics import FeedFigures, FeedMetrics
from tradewright.runtime.ids import new_id
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.feeds.feed import Feed
from tradewright.services.feeds.keeping import BarSink
from tradewright.services.feeds.logic import FeedLogic
from tradewright.services.feeds.ohlcv import OhlcvLogic
from tradewright.services.feeds.ports import History, MarketAccess
from tradewright.services.feeds.settings import StreamSettings
from tradewright.services.feeds.ticks import OrderBookLogic, TickerLogic, TradesLogic
from tradewright.services.feeds.timing import Wakeup
from tradewright.services.feeds.topic import Topic, TopicState
from tradewright.services.imported_data import ImportedDataPlugin

__all__ = ["StreamSettings", "StreamingManager", "TopicState"]

_log = logging.getLogger(__name__)

RESTART_AFTER_S: Final = 5.0
_IDLE_S: Final = 3_600.0
_NEEDED: Final[dict[StreamKind, tuple[Capability, Capability]]] = {
    "ohlcv": (Capability.WATCH_OHLCV, Capability.OHLCV),
    "trades": (Capability.WATCH_TRADES, Capability.TRADES),
    "ticker": (Capability.WATCH_TICKER, Capability.TICKER),
    "order_book": (Capability.WATCH_ORDER_BOOK, Capability.ORDER_BOOK),
}
_WORDS: Final[dict[StreamKind, str]] = {
    "ohlcv": "bars",
    "trades": "trades",
    "ticker": "ticker",
    "order_book": "order book",
}


class FeedKey(NamedTuple):
    """Names one upstream feed: all timeframes of a symbol share one."""

    kind: StreamKind
    instrument: InstrumentKey


@dataclass(slots=True)
class _Running:
    feed: Feed
    task: asyncio.Task[None]


class StreamingManager:
    """Counts who wants which stream, runs the feeds, and publishes them on the bus under their topics.

    A topic and its feed start with the first ``acquire`` and end a grace period after the last ``release``.
    What feeds of bars close is handed to ``sink``, where there is one.
    """

    def __init__(
        self,
        markets: MarketAccess,
        history: History,
        bus: MessageBus,
        clock: Clock,
        settings: StreamSettings = StreamSettings(),  # noqa: B008  frozen
        *,
        rng: random.Random | None = None,
        sink: BarSink | None = None,
        metrics: FeedMetrics | None = None,
    ) -> None:
        self._markets = markets
        self._history = history
        self._bus = bus
        self._clock = clock
        self._settings = settings
        self._rng = rng
        self._sink = sink
        self._metrics = metrics or FeedMetrics()
        self._metrics.watch(self.figures)
        self._topics: dict[StreamKey, Topic] = {}
        self._feeds: dict[FeedKey, _Running] = {}
        self._ending: dict[FeedKey, asyncio.Task[None]] = {}
        self._tasks = TaskSupervisor("streaming")
        self._reaper: asyncio.Task[None] | None = None
        self._reaper_wakeup = Wakeup(clock)
        self._token = 0
        self._epochs = itertools.count()
        self._closed = False

    async def close(self) -> None:
        """End every feed at once."""
        self._closed = True
        await self._tasks.close()
        self._feeds.clear()
        self._topics.clear()

    async def validate(self, key: StreamKey) -> None:
        """Raise what is wrong with watching this stream: ``UnknownMarket``, ``UnknownProvider``,
        ``UnknownSymbol``, ``UnknownTimeframe``, ``PluginFeatureNotSupportedError``, or the venue's own
        error where nothing is known of the symbol and it can't be asked."""
        if key.kind == "ohlcv":
            Timeframe.parse(key.timeframe or "")
        await self._markets.instrument(key.instrument)
        async with self._markets.plugin(key.market, key.provider) as plugin:
            offered = any(plugin.supports(capability) for capability in _NEEDED[key.kind])
            if key.kind == "ohlcv":
                offered = offered and ONE_MINUTE in plugin.timeframes
                offered = offered or isinstance(plugin, ImportedDataPlugin)
        if not offered:
            raise PluginFeatureNotSupportedError(f"{key.provider} has no live {_WORDS[key.kind]}.")

    def acquire(self, key: StreamKey) -> None:
        """Want the stream once more; every call is matched by one ``release``."""
        if self._reaper is None:
            self._reaper = self._tasks.start("end unwanted streams", self._reap())
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = Topic(
                key, self._new_epoch(), self._bus, self._clock, self._settings.coalesce_s
            )
            feed_key = FeedKey(key.kind, key.instrument)
            if feed_key in self._feeds:
                self._feeds[feed_key].feed.add_topic(topic)
            else:
                self._start_feed(feed_key, [topic])
        topic.references += 1
        topic.unwanted_since_s = None

    def release(self, key: StreamKey) -> None:
        """Want it once less."""
        topic = self._topics.get(key)
        if topic is None:
            assert self._closed, "every release follows an acquire"
            return
        assert topic.references > 0, "every release follows an acquire"
        topic.references -= 1
        if topic.references == 0:
            topic.unwanted_since_s = self._clock.monotonic()
            self._reaper_wakeup.set()

    async def state(self, key: StreamKey) -> TopicState:
        """What has been published of an acquired stream; everything later has a higher number."""
        return self._topics[key].state()

    @property
    def references(self) -> dict[StreamKey, int]:
        """The streams that are wanted, and how often."""
        return {key: topic.references for key, topic in self._topics.items() if topic.references}

    @property
    def feeds(self) -> frozenset[FeedKey]:
        """The upstream feeds that run."""
        return frozenset(self._feeds)

    def figures(self) -> list[FeedFigures]:
        """How each feed is now."""
        return [
            FeedFigures(key.instrument.provider, key.kind, one.feed.state or "starting", one.feed.age_s)
            for key, one in self._feeds.items()
        ]

    # Feeds

    def _start_feed(self, key: FeedKey, topics: list[Topic]) -> None:
        self._token = max(self._token + 1, self._clock.now_ms())
        wakeup = Wakeup(self._clock)
        feed = Feed(
            key.instrument,
            self._logic(key, wakeup),
            self._markets,
            self._clock,
            self._settings,
            wakeup,
            self._rng,
            self._metrics.of(key.instrument.provider, key.kind),
        )
        for topic in topics:
            feed.add_topic(topic)
        name = f"feed {key.kind} {key.instrument.provider} {key.instrument.symbol}"
        task = self._tasks.start(name, self._run(feed, self._ending.get(key)))
        self._feeds[key] = _Running(feed, task)
        task.add_done_callback(lambda _: self._ended(key, feed))

    def _logic(self, key: FeedKey, wakeup: Wakeup) -> FeedLogic[Any]:
        match key.kind:
            case "ohlcv":
                return OhlcvLogic(
                    key.instrument,
                    self._history,
                    self._clock,
                    self._settings,
                    self._new_epoch,
                    wakeup.set,
                    self._rng,
                    self._sink,
                )
            case "trades":
                return TradesLogic(key.instrument.symbol, self._new_epoch, wakeup.set)
            case "ticker":
                return TickerLogic(key.instrument.symbol, self._new_epoch, wakeup.set, self._clock)
            case "order_book":
                return OrderBookLogic(key.instrument.symbol, self._new_epoch, wakeup.set, self._clock)
            case "backfills":
                raise ValueError("backfills are no feed of a venue")

    async def _run(self, feed: Feed, predecessor: asyncio.Task[None] | None) -> None:
        if predecessor is not None:
            await asyncio.wait({predecessor})  # never two upstream at once
        await feed.run()

    def _ended(self, key: FeedKey, feed: Feed) -> None:
        """A feed runs until it is told to end: one that ended by itself has a fault, and is begun again."""
        running = self._feeds.get(key)
        if running is None or running.feed is not feed or self._closed:
            return
        self._tasks.start(f"restart feed {key.kind} {key.instrument.symbol}", self._restart(key, feed))

    async def _restart(self, key: FeedKey, feed: Feed) -> None:
        await feed.say("down", "The feed failed and is being restarted.")
        await self._clock.sleep(RESTART_AFTER_S)
        running = self._feeds.get(key)
        if running is not None and running.feed is feed:
            topics = list(feed.logic.topics.values())
            for topic in topics:
                topic.begin_again(self._new_epoch())
            self._start_feed(key, topics)

    def _new_epoch(self) -> str:
        """Sorts after every earlier one: the owner's token, a count, and something no other owner has."""
        self._token = max(self._token, self._clock.now_ms())
        return f"{self._token:016d}.{next(self._epochs):08d}.{new_id(6)}"

    # Ending

    async def _reap(self) -> None:
        while True:
            now = self._clock.monotonic()
            for topic in list(self._topics.values()):
                since_s = topic.unwanted_since_s
                if since_s is not None and now - since_s >= self._settings.grace_s:
                    self._end_topic(topic)
            waiting = [t.unwanted_since_s for t in self._topics.values() if t.unwanted_since_s is not None]
            next_s = min(waiting, default=now + _IDLE_S) + self._settings.grace_s
            await self._reaper_wakeup.wait(next_s - now)

    def _end_topic(self, topic: Topic) -> None:
        del self._topics[topic.key]
        key = FeedKey(topic.key.kind, topic.key.instrument)
        running = self._feeds[key]
        running.feed.remove_topic(topic)
        if not running.feed.logic.topics:
            del self._feeds[key]
            self._ending[key] = running.task
            running.task.add_done_callback(lambda task: self._forget_ending(key, task))
            running.task.cancel()

    def _forget_ending(self, key: FeedKey, task: asyncio.Task[None]) -> None:
        if self._ending.get(key) is task:
            del self._ending[key]

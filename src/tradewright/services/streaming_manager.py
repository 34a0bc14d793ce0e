"""``StreamingManager``: one upstream feed per stream, however many views look at it."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine, Set
from contextlib import suppress
from typing import Any, Final

from tradewright.domain.capabilities import Capability
from tradewright.domain.errors import PluginFeatureNotSupportedError
from tradewright.domain.ports import Leases, MessageBus
from tradewright.domain.streams import StreamKey, StreamKind
from tradewright.domain.timeframes import ONE_MINUTE, Timeframe
from tradewright.runtime.clock import Clock
from tradewright.runtime.feed_metrics import FeedFigures, FeedMetrics
from tradewright.runtime.ids import new_id
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.feeds.control import FeedKey, Rank
from tradewright.services.feeds.feed import Feed
from tradewright.services.feeds.keeping import LiveBarStore, TermSink
from tradewright.services.feeds.kept import RESTART_AFTER_S
from tradewright.services.feeds.logic import FeedLogic
from tradewright.services.feeds.ohlcv import OhlcvLogic
from tradewright.services.feeds.ports import History, MarketAccess
from tradewright.services.feeds.rights import Rights
from tradewright.services.feeds.settings import SharingSettings, StreamSettings
from tradewright.services.feeds.shared import Company, SharedFeed
from tradewright.services.feeds.ticks import OrderBookLogic, TickerLogic, TradesLogic
from tradewright.services.feeds.timing import Wakeup, within
from tradewright.services.feeds.topic import TopicState
from tradewright.services.imported_data import ImportedDataPlugin

__all__ = ["FeedKey", "SharingSettings", "StreamSettings", "StreamingManager", "TopicState"]

PROCESS_ID_BYTES: Final = 9
CLOSING_S: Final = 4.0
RANKS_KEPT: Final = 10_000
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


class StreamingManager:
    """Counts who wants which stream. Of all processes that share a bus and leases one runs the feed, and
    publishes it on the bus under its topics.

    A topic and its feed start with the first ``acquire`` and end a grace period after the last ``release``,
    in whatever process.
    What feeds of bars close is handed to ``sink``, where there is one.
    """

    def __init__(
        self,
        markets: MarketAccess,
        history: History,
        bus: MessageBus,
        leases: Leases,
        clock: Clock,
        settings: StreamSettings = StreamSettings(),  # noqa: B008  frozen
        *,
        sharing: SharingSettings = SharingSettings(),  # noqa: B008  frozen
        rng: random.Random | None = None,
        sink: LiveBarStore | None = None,
        process: str | None = None,
        metrics: FeedMetrics | None = None,
    ) -> None:
        """``process`` is an id that no other process has; one is made where none is given."""
        self._markets = markets
        self._history = history
        self._clock = clock
        self._settings = settings
        self._sharing = sharing
        self._rng = rng
        self._sink = sink
        self._metrics = metrics or FeedMetrics()
        self._metrics.watch(self.figures)
        self._tasks = TaskSupervisor("streaming")
        process = process or new_id(PROCESS_ID_BYTES)
        self._rights = Rights(leases, process, clock, sharing)
        self._company = Company(
            process,
            bus,
            self._rights,
            clock,
            self._make_feed,
            settings,
            sharing,
            self._tasks,
            itertools.count(),
        )
        self._shared: dict[FeedKey, SharedFeed] = {}
        self._taking_part: set[asyncio.Task[None]] = set()
        self._last_ranks: dict[FeedKey, Rank] = {}
        self._beating: asyncio.Task[None] | None = None
        self._closed = False

    async def close(self) -> None:
        """Let every feed go, at once."""
        self._closed = True
        for shared in self._shared.values():
            shared.stop()
        with suppress(TimeoutError):  # then they are cancelled, and their leases run out
            await within(self._clock, CLOSING_S, _end_of(self._taking_part))
        await self._tasks.close()
        self._shared.clear()

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
        feed_key = FeedKey(key.kind, key.instrument)
        shared = self._shared.get(feed_key)
        if shared is None:
            shared = SharedFeed(feed_key, self._company, self._last_ranks.get(feed_key, Rank()))
            self._shared[feed_key] = shared
            self._take_part(shared, self._share(shared))
        if self._beating is None or self._beating.done():
            self._beating = self._tasks.keep("beat", self._beat, self._clock)
        shared.want(key)

    def release(self, key: StreamKey) -> None:
        """Want it once less."""
        shared = self._shared.get(FeedKey(key.kind, key.instrument))
        if shared is None:
            assert self._closed, "every release follows an acquire"
            return
        shared.unwant(key)

    def note_epoch(self, key: StreamKey, epoch: str) -> None:
        """Viewers here follow this epoch, though a lower one is published: who keeps the feed is told."""
        shared = self._shared.get(FeedKey(key.kind, key.instrument))
        if shared is not None:
            shared.note_epoch(epoch)

    async def state(self, key: StreamKey) -> TopicState:
        """What has been published of an acquired stream, wherever its feed runs; everything later has a
        higher number. ``KeyError`` where it is not wanted here, ``TimeoutError`` where nobody answers."""
        return await self._shared[FeedKey(key.kind, key.instrument)].state(key)

    @property
    def references(self) -> dict[StreamKey, int]:
        """The streams that are wanted in this process, and how often."""
        return {key: n for shared in self._shared.values() for key, n in shared.references.items()}

    @property
    def feeds(self) -> frozenset[FeedKey]:
        """The upstream feeds that this process wants or runs."""
        return frozenset(key for key, shared in self._shared.items() if shared.present)

    @property
    def kept_feeds(self) -> frozenset[FeedKey]:
        """The upstream feeds that this process runs, for all processes."""
        return frozenset(key for key, shared in self._shared.items() if shared.kept)

    def tell_all(self) -> None:
        """Say of every topic how far it has come: messages may not have reached the other processes."""
        for shared in self._shared.values():
            shared.beat(all_topics=True)

    # Sharing

    def _take_part(self, shared: SharedFeed, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.start(f"share {shared.key.name}", work)
        self._taking_part.add(task)
        task.add_done_callback(self._taking_part.discard)

    async def _share(self, shared: SharedFeed) -> None:
        try:
            while shared.needed:
                await shared.run()
        finally:
            # What follows the last question of whether it is needed must not wait.
            self._last_ranks.pop(shared.key, None)
            self._last_ranks[shared.key] = shared.last_rank
            if len(self._last_ranks) > RANKS_KEPT:
                del self._last_ranks[next(iter(self._last_ranks))]
            if not shared.needed:
                del self._shared[shared.key]
            elif not self._closed:
                self._take_part(shared, self._share_again(shared))

    async def _share_again(self, shared: SharedFeed) -> None:
        """It failed, which is a fault of the program and in the log."""
        await self._clock.sleep(RESTART_AFTER_S)
        await self._share(shared)

    async def _beat(self) -> None:
        while self._shared:
            began_s = self._clock.monotonic()
            await self._rights.renew()
            for shared in list(self._shared.values()):
                shared.beat()
            passed_s = self._clock.monotonic() - began_s
            await self._clock.sleep(max(0.0, self._sharing.beat_s - passed_s))

    def figures(self) -> list[FeedFigures]:
        """How each feed is now that this process runs."""
        return [
            FeedFigures(key.instrument.provider, key.kind, feed.state or "starting", feed.age_s)
            for key, shared in self._shared.items()
            if (feed := shared.feed) is not None
        ]

    # Feeds

    def _make_feed(
        self,
        key: FeedKey,
        new_epoch: Callable[[], str],
        may_act: Callable[[], bool],
        may_speak: Callable[[], bool],
    ) -> Feed:
        wakeup = Wakeup(self._clock)
        return Feed(
            key.instrument,
            self._logic(key, new_epoch, wakeup, may_speak),
            self._markets,
            self._clock,
            self._settings,
            wakeup,
            self._rng,
            self._metrics.of(key.instrument.provider, key.kind),
            may_act,
        )

    def _logic(
        self, key: FeedKey, new_epoch: Callable[[], str], wakeup: Wakeup, may_speak: Callable[[], bool]
    ) -> FeedLogic[Any]:
        symbol = key.instrument.symbol
        match key.kind:
            case "ohlcv":
                return OhlcvLogic(
                    key.instrument,
                    self._history,
                    self._clock,
                    self._settings,
                    new_epoch,
                    wakeup.set,
                    self._rng,
                    TermSink(self._sink, may_speak) if self._sink is not None else None,
                )
            case "trades":
                return TradesLogic(symbol, new_epoch, wakeup.set)
            case "ticker":
                return TickerLogic(symbol, new_epoch, wakeup.set, self._clock)
            case "order_book":
                return OrderBookLogic(symbol, new_epoch, wakeup.set, self._clock)
            case "backfills":
                raise ValueError("backfills are no feed of a venue")


async def _end_of(tasks: Set[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(set(tasks))

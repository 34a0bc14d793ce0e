"""The feed of bars: one stream of minutes from the venue, every watched timeframe made from it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from typing import Final, cast

from tradewright.domain.bars import BarRow, unknown_in
from tradewright.domain.capabilities import Capability
from tradewright.domain.errors import NetworkPluginError, TradewrightError
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.intervals import NO_INTERVALS, Interval, IntervalSet
from tradewright.domain.streams import StreamKey
from tradewright.domain.ticks import Trade
from tradewright.domain.timeframes import MINUTE_MS, ONE_MINUTE, Timeframe
from tradewright.plugins.base import BarUpdate, MarketPlugin
from tradewright.runtime.calendars import follows_sessions
from tradewright.runtime.clock import Clock
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.feeds.derivation import BarState, ClosedPart, Deriver, fold
from tradewright.services.feeds.fresh_minutes import FreshMinutes
from tradewright.services.feeds.keeping import BarSink, Keeper
from tradewright.services.feeds.logic import FeedLogic
from tradewright.services.feeds.minutes import LiveMinute, MinuteEvent, MinuteTracker
from tradewright.services.feeds.ports import History
from tradewright.services.feeds.seeding import read_closed_part
from tradewright.services.feeds.settings import StreamSettings
from tradewright.services.feeds.topic import Topic

_log = logging.getLogger(__name__)

HOLE_MINUTES_MAX: Final = 500
"""A longer hole is not told bar by bar: viewers get a fresh snapshot."""
MADE_UP_MINUTES_MAX: Final = 5_000
"""Of a longer time in which calls failed, the newest part is waited for before viewers read it anew."""
PAGE_MINUTES: Final = 20
"""Up to so many minutes the venue is asked in one call; more come from history, by its pages."""
WAITING_MINUTES_MAX: Final = 1_500
_MARGIN_MS: Final = 250
_SHORTEST_WAIT_S: Final = 1e-6
_SNAPSHOT_AGE_MS: Final = 1_000
"""Views that come together share one read of history, which may be this old."""


class OhlcvLogic(FeedLogic[BarUpdate]):
    """Follows the minutes of one symbol and publishes every watched timeframe.

    For each bar of each of them there is one final update, before any update of a later bar.
    """

    watch_capability = Capability.WATCH_OHLCV
    ask_capability = Capability.OHLCV

    def __init__(
        self,
        instrument: InstrumentKey,
        history: History,
        clock: Clock,
        settings: StreamSettings,
        new_epoch: Callable[[], str],
        wake: Callable[[], None],
        rng: random.Random | None,
        sink: BarSink | None = None,
    ) -> None:
        super().__init__(instrument.symbol, new_epoch, wake)
        self._instrument = instrument
        self._history = history
        self._rng = rng
        self._clock = clock
        self._settings = settings
        self._sink = sink
        self._keeper: Keeper | None = None
        self._tracker: MinuteTracker | None = None
        self._derivers: dict[StreamKey, Deriver] = {}
        self._queue: dict[int, LiveMinute] = {}
        self._parts: list[tuple[Topic, Deriver, ClosedPart]] = []
        self._fresh = FreshMinutes()
        self._unconfirmed: int | None = None
        self._unknown = NO_INTERVALS
        self._owed: Interval | None = None
        """What was given up because calls failed, and viewers lack."""
        self._wanted_since_ms = clock.now_ms()
        self._venue_offset_ms = 0
        self._settling_ms = MarketPlugin.settling_ms
        self._asked_at_s = float("-inf")
        self._news = False
        self._told_from_ms = 0
        """The first minute whose forming bar the stream tells."""
        self._tasks = TaskSupervisor(f"ohlcv {instrument.provider} {instrument.symbol}")

    # Topics

    def add_topic(self, topic: Topic) -> None:
        super().add_topic(topic)
        if self._tracker is not None:
            self._begin_derivation(topic)

    def remove_topic(self, key: StreamKey) -> None:
        super().remove_topic(key)
        self._derivers.pop(key, None)

    def _begin_derivation(self, topic: Topic) -> None:
        tracker, timeframe = self._tracker, Timeframe.parse(topic.key.timeframe or "")
        if tracker is None or timeframe is ONE_MINUTE:
            return
        deriver = self._derivers[topic.key] = Deriver(timeframe, tracker.closed_through)
        if tracker.forming is not None and self._part_of(timeframe, tracker.forming[0]):
            deriver.apply(MinuteEvent("forming", tracker.forming[0], tracker.forming))
        if not deriver.seeded:
            self._tasks.start(f"read the open {timeframe}", self._seed(topic, deriver))

    async def _seed(self, topic: Topic, deriver: Deriver) -> None:
        """Read the closed part of the open bar until that succeeds or the bar is no longer wanted."""
        for delay_s in self._settings.repeat.delays(self._rng):
            part = await read_closed_part(
                self._history,
                self._instrument,
                deriver.timeframe,
                deriver.open_ms,
                deriver.begun_ms,
                self.calendar,
            )
            if self._derivers.get(topic.key) is not deriver or self._tracker is None:
                return
            if part is not None:
                # Installed by the feed's own task, so that nothing it publishes can come in between.
                self._parts.append((topic, deriver, part))
                self._wake()
                return
            await self._clock.sleep(delay_s)

    # The venue's stream

    async def watch(self, plugin: MarketPlugin) -> AsyncIterator[BarUpdate]:
        trades: asyncio.Task[None] | None = None
        if plugin.late_bars and plugin.supports(Capability.WATCH_TRADES):
            trades = self._tasks.start("follow trades", self._follow_trades(plugin))
        if plugin.bars_from_next_minute:
            self._told_from_ms = ONE_MINUTE.end(ONE_MINUTE.floor(self._venue_now_ms()))
        stream = cast(AsyncGenerator[BarUpdate, None], plugin.watch_ohlcv(self.symbol, ONE_MINUTE))
        try:
            async with aclosing(stream):
                async for item in stream:
                    yield item
        finally:
            if trades is not None:
                trades.cancel()
                await asyncio.gather(trades, return_exceptions=True)

    async def _follow_trades(self, plugin: MarketPlugin) -> None:
        """Show trades in the minute at work at once; without them bars come as late as the venue's."""
        for delay_s in self._settings.repeat.delays(self._rng):
            self._fresh.begin(self._venue_now_ms())
            stream = cast(AsyncGenerator[Sequence[Trade], None], plugin.watch_trades(self.symbol))
            try:
                async with aclosing(stream):
                    async for trades in stream:
                        for trade in trades:
                            self._fresh.trade(trade)
                        self._wake()
            except TradewrightError as error:
                _log.info("%s: bars go without trades for now: %s", self.symbol, error.message)
            await self._clock.sleep(delay_s)

    def put(self, item: BarUpdate, connection: int) -> None:
        rows = item.bars.rows()
        if rows:
            self._fresh.told(rows[-1][0])
        for index, row in enumerate(rows):
            closed = True if index + 1 < len(rows) else item.final
            sure = row[0] in item.told or (closed is True and index + 1 == len(rows))
            known = self._queue.get(row[0])
            if known is None or not known.closed or (closed and (sure or not known.sure)):
                self._queue[row[0]] = LiveMinute(row, closed, connection, sure)
        while len(self._queue) > WAITING_MINUTES_MAX:
            del self._queue[min(self._queue)]

    @property
    def waiting(self) -> bool:
        return bool(self._queue) or self._fresh.changed

    async def drain(self) -> bool:
        if not await self._drain_bars():
            return False
        await self._tell_fresh()
        return True

    async def _tell_fresh(self) -> None:
        """Show what trades say of the minute at work."""
        tracker, self._fresh.changed = self._tracker, False
        assert tracker is not None
        row = self._fresh.forming(tracker.forming, tracker.closed_through)
        if row is not None:
            await self._emit([MinuteEvent("forming", row[0], row)])

    async def _drain_bars(self) -> bool:
        assert self._tracker is not None, "synchronise comes first"
        while self._queue:
            minute = self._queue.pop(min(self._queue))
            events = self._tracker.offer(minute, self._venue_now_ms())
            if events is None:
                self._queue.setdefault(minute.row[0], minute)
                self._unconfirmed = minute.connection
                return False
            self._keep(events)
            await self._emit(events)
        return True

    # Asking

    async def synchronise(self, plugin: MarketPlugin) -> None:
        now = await self._read_venue_clock(plugin)
        if self._tracker is None:
            self._start(self._settled_through(min(now, self._wanted_since_ms + self._venue_offset_ms)))
        assert self._tracker is not None
        start = self._tracker.closed_through
        if now - start > HOLE_MINUTES_MAX * MINUTE_MS:
            goes_on = self._settled_through(now)
            rows = await self._page(plugin, goes_on, now)  # nothing is given up before somebody answers
            self._owed = Interval(self._owed.start if self._owed else start, goes_on)
            self._go_on_from(goes_on)
        else:
            rows = await self._page(plugin, min(start, self._unkept_from(plugin, now)), now)
        known = self._tracker.forming
        events = self._tracker.offer_page(rows, now, now - self._settling_ms)
        self._news = any(
            event.row is not None and event.row != known
            for event in events
            if event.kind != "forming" or event.time_ms >= self._told_from_ms
        )
        self._confirm()
        if self._keeper is not None:
            self._keeper.take_page(rows, now - self._settling_ms, self._unknown)
        self._keep(event for event in events if event.kind == "corrected")
        await self._emit(events)
        if self.owes:
            with suppress(TradewrightError):  # then it is tried again later
                await self.make_up()

    def _unkept_from(self, plugin: MarketPlugin, now: int) -> int:
        """From where on minutes are wanted that are told, but not stored yet. Data of a testnet never are."""
        assert self._tracker is not None
        if self._sink is None or plugin.setup.testnet:
            self._keeper = None
            return now
        if self._keeper is None:
            key = self._instrument.series(ONE_MINUTE)
            self._keeper = Keeper(key, self._sink, self._tracker.closed_through)
        if now - self._keeper.ask_from_ms >= PAGE_MINUTES * MINUTE_MS:
            self._keeper.go_on_from(self._tracker.closed_through)
        return self._keeper.ask_from_ms

    async def give_up(self) -> None:
        now = self._venue_now_ms()
        if self._tracker is None:
            followed, goes_on = self._settled_through(self._wanted_since_ms), ONE_MINUTE.floor(now)
            self._start(goes_on)
        else:
            followed = self._tracker.closed_through
            goes_on = min(self._queue, default=ONE_MINUTE.floor(now))
            self._go_on_from(goes_on)
            await self._begin_again(self.topics.values())
        self._owed = Interval(self._owed.start if self._owed else followed, goes_on)
        self._confirm()

    @property
    def owes(self) -> bool:
        return self._owed is not None

    async def make_up(self) -> None:
        owed = self._owed
        assert owed is not None
        start = max(owed.start, owed.end - MADE_UP_MINUTES_MAX * MINUTE_MS)
        rows = {ONE_MINUTE: await self._whole(ONE_MINUTE, start, owed.end)}
        for timeframe in {deriver.timeframe for deriver in self._derivers.values()}:
            # At least one bar, since it is by a numbered message that viewers notice.
            last = timeframe.floor(owed.end)
            first = min(timeframe.floor(start), timeframe.shift(last, -1))
            rows[timeframe] = await self._whole(timeframe, first, last)
        self._owed = None
        # Not only told the bars: who came meanwhile may have got no history at all, and reads it now.
        await self._begin_again(self.topics.values())
        for topic in self.topics.values():
            timeframe = Timeframe.parse(topic.key.timeframe or "")
            if missed := rows.get(timeframe, [])[-HOLE_MINUTES_MAX:]:
                await topic.publish_closed(missed)
            elif timeframe is ONE_MINUTE and self._tracker is not None and self._tracker.forming is not None:
                await topic.offer(BarState(self._tracker.forming, final=False))

    async def _whole(self, timeframe: Timeframe, start: int, end: int) -> list[BarRow]:
        """All bars of a stretch; ``NetworkPluginError`` where the venue has yet to be asked for some."""
        series = self._instrument.series(timeframe)
        answer = await self._history.get_bars(
            series, start_ms=start, end_ms=end, limit=timeframe.count(start, end)
        )
        if answer.problems:
            raise NetworkPluginError(answer.problems[0].detail)
        if any(gap.reason == "not_fetched" for gap in answer.gaps):
            raise NetworkPluginError("Bars are missing that could not be fetched yet.")
        return answer.bars.rows()

    def _confirm(self) -> None:
        if self._tracker is not None and self._unconfirmed is not None:
            self._tracker.confirm(self._unconfirmed)
        self._unconfirmed = None

    async def ask(self, plugin: MarketPlugin) -> bool:
        await self.synchronise(plugin)
        return self._news

    def question_due_s(self) -> float | None:
        """A minute that has ended and settled, and that nobody closed, is asked for; from time to time
        those, too, that were closed by no word of the venue's own, and can't be stored before."""
        now, since_asked_s = self._venue_now_ms(), self._clock.monotonic() - self._asked_at_s
        waits = []
        if (end := self._unfinished_end_ms()) is not None:
            due_s = (end + self._settling_ms + _MARGIN_MS - now) / 1000
            waits.append(max(due_s, self._settings.poll_interval_s - since_asked_s))
        if self._keeper is not None and self._tracker is not None:
            unkept = self._keeper.through_ms
            if unkept < self._tracker.closed_through:
                due_s = (unkept + MINUTE_MS - now) / 1000 + self._settings.keep_within_s
                waits.append(max(due_s, self._settings.keep_within_s - since_asked_s))
        if not waits:
            return None
        # Less than a clock can tell is now: who waited for it would come too early, again and again.
        due_s = min(waits)
        return 0.0 if due_s < _SHORTEST_WAIT_S else due_s

    async def _page(self, plugin: MarketPlugin, start: int, now: int) -> list[BarRow]:
        """Every minute from ``start`` to ``now``, the venue's time before it is asked, but for those that it
        leaves ``_unknown``."""
        self._asked_at_s = self._clock.monotonic()
        if now - start < PAGE_MINUTES * MINUTE_MS and plugin.supports(Capability.OHLCV):
            bars = await plugin.fetch_ohlcv(
                self.symbol, ONE_MINUTE, start_ms=start, end_ms=ONE_MINUTE.floor(now) + 2 * MINUTE_MS
            )
            self._unknown = unknown_in(bars)
            return bars.rows()
        answer = await self._history.get_bars(
            self._instrument.series(ONE_MINUTE),
            start_ms=start,
            end_ms=now + MINUTE_MS,
            limit=2 * HOLE_MINUTES_MAX,
        )
        if answer.problems:
            raise NetworkPluginError(answer.problems[0].detail)
        self._unknown = IntervalSet.of(
            (gap.start, gap.end) for gap in answer.gaps if gap.reason == "not_fetched"
        )
        return answer.bars.rows()

    async def _read_venue_clock(self, plugin: MarketPlugin) -> int:
        now = await plugin.venue_time_ms()
        self._venue_offset_ms = now - self._clock.now_ms()
        self._settling_ms = plugin.settling_ms
        return now

    def _settled_through(self, read_ms: int) -> int:
        """Where to begin, if snapshots were read at that time of the venue or later: they hold the minutes
        that no longer change, which are not told again; how the others ended may be news."""
        return ONE_MINUTE.floor(read_ms - self._settling_ms - _SNAPSHOT_AGE_MS)

    def _venue_now_ms(self) -> int:
        return self._clock.now_ms() + self._venue_offset_ms

    def _unfinished_end_ms(self) -> int | None:
        ends = [deriver.unfinished_end_ms for deriver in self._derivers.values()]
        if self._tracker is not None and self._tracker.forming is not None:
            ends.append(self._tracker.forming[0] + MINUTE_MS)
        return min((end for end in ends if end is not None), default=None)

    def _keep(self, events: Iterable[MinuteEvent]) -> None:
        """Let the store have what is sure."""
        for event in events:
            if self._keeper is not None and event.sure and event.row is not None:
                self._keeper.take_bar(event.row)

    # Publishing

    def _start(self, closed_through_ms: int) -> None:
        self._tracker = MinuteTracker(closed_through_ms)
        for topic in self.topics.values():
            self._begin_derivation(topic)

    def _go_on_from(self, closed_through_ms: int) -> None:
        """Leave what lies before that; who watches has to begin anew."""
        assert self._tracker is not None
        self._tracker.restart(closed_through_ms)
        if self._keeper is not None:
            self._keeper.go_on_from(closed_through_ms)
        for topic in self.topics.values():
            self._begin_derivation(topic)

    async def _emit(self, events: Iterable[MinuteEvent]) -> None:
        for event in events:
            for key, topic in list(self.topics.items()):
                for state in self._states(key, event):
                    await topic.offer(state)

    def _states(self, key: StreamKey, event: MinuteEvent) -> list[BarState]:
        deriver = self._derivers.get(key)
        if deriver is not None:
            if event.row is not None and not self._part_of(deriver.timeframe, event.time_ms):
                return []
            if event.kind == "corrected" and event.time_ms < deriver.open_ms:
                return self._corrected(deriver.timeframe, event)
            return deriver.apply(event)
        if event.row is None or (event.kind == "corrected" and not event.sure):
            return []
        return [BarState(event.row, final=event.kind != "forming")]

    def _corrected(self, timeframe: Timeframe, event: MinuteEvent) -> list[BarState]:
        """The closed bar that a corrected minute belongs to, where all of it is remembered."""
        assert self._tracker is not None
        open_ms, recent = timeframe.floor(event.time_ms), self._tracker.recent
        end_ms = timeframe.end(open_ms)
        if not event.sure or min(recent, default=end_ms) > open_ms:
            return []
        inside = (time for time in sorted(recent) if open_ms <= time < end_ms)
        row = fold(open_ms, [recent[time] for time in inside if self._part_of(timeframe, time)])
        return [] if row is None else [BarState(row, final=True)]

    def _part_of(self, timeframe: Timeframe, minute_ms: int) -> bool:
        """Whether the minute belongs to a bar of the timeframe; a day of stocks is its session."""
        if not follows_sessions(self.calendar, timeframe):
            return True
        return bool(self.calendar.open_intervals(minute_ms, minute_ms + MINUTE_MS))

    async def tick(self) -> None:
        parts, self._parts = self._parts, []
        for topic, deriver, part in parts:
            if self._tracker is not None and self._derivers.get(topic.key) is deriver:
                recent = {
                    time: row
                    for time, row in self._tracker.recent.items()
                    if self._part_of(deriver.timeframe, time)
                }
                for state in deriver.install(part, recent):
                    await topic.offer(state)
        for key, deriver in list(self._derivers.items()):
            if deriver.overdue:
                await self._begin_again([self.topics[key]])
                self._begin_derivation(self.topics[key])
        await super().tick()

    async def close(self) -> None:
        self._tracker = None
        await self._tasks.close()

"""One upstream feed: keeps the venue's stream open, asks where there is none, and says how it is."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, cast

from tradewright.domain.errors import PluginFeatureNotSupportedError, TradewrightError
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.streams import FeedState, FeedStatus
from tradewright.plugins.base import MarketPlugin
from tradewright.runtime.calendars import TradingCalendar
from tradewright.runtime.clock import Clock
from tradewright.runtime.feed_metrics import FeedCounters
from tradewright.services.feeds.logic import FeedLogic, SpoiledStream
from tradewright.services.feeds.ports import MarketAccess
from tradewright.services.feeds.settings import StreamSettings
from tradewright.services.feeds.timing import Wakeup, within
from tradewright.services.feeds.topic import Topic
from tradewright.services.imported_data import ImportedDataPlugin

_log = logging.getLogger(__name__)

_IMPORTED = "This is imported history: no venue is behind it that could send more."


class StreamEnded(TradewrightError):
    """The venue's stream ended without a word."""

    code = "provider_unavailable"


class Feed:
    """Runs one logic against one venue, in one task, until it is cancelled. Connections end, and none
    begins, while ``may_act`` says no: another process may be at it then."""

    def __init__(
        self,
        instrument: InstrumentKey,
        logic: FeedLogic[Any],
        markets: MarketAccess,
        clock: Clock,
        settings: StreamSettings,
        wakeup: Wakeup,
        rng: random.Random | None,
        counters: FeedCounters,
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        self.instrument = instrument
        self.logic = logic
        self._markets = markets
        self.clock = clock
        self.settings = settings
        self.wakeup = wakeup
        self.rng = rng
        self.counters = counters
        logic.on_resync = counters.resync
        self.may_act = may_act
        self.streams_opened = 0
        """By these numbers the logic tells one stream from the next, whichever instance opened them."""
        self._state: FeedState | None = None
        self._detail: str | None = None
        self._heard_at_s: float | None = None
        self._calendar: TradingCalendar | None = None
        self._imported = False

    def add_topic(self, topic: Topic) -> None:
        """Publish on this topic too; what it should know of the feed's state is noted in it."""
        self.logic.add_topic(topic)
        if self._state is not None:
            topic.status = self._status(topic)
        self.wakeup.set()

    def remove_topic(self, topic: Topic) -> None:
        """Publish on it no more."""
        self.logic.remove_topic(topic.key)

    async def run(self) -> None:
        """Keep the feed going; problems of the venue are told, never raised."""
        delays = self.settings.repeat.delays(self.rng)
        try:
            while True:
                try:
                    instrument = await self._markets.instrument(self.instrument)
                    self._calendar = self.logic.calendar = await self._markets.calendar(instrument)
                    async with self._markets.plugin(instrument.market, self.instrument.provider) as plugin:
                        self._imported = isinstance(plugin, ImportedDataPlugin)
                        if self._imported:
                            await self.say("closed")
                        else:
                            await _Connection(self, plugin).run()
                            delays = self.settings.repeat.delays(self.rng)  # not a failure
                except TradewrightError as error:
                    await self.say("down", error.message)
                await self.clock.sleep(next(delays))
        finally:
            await self.logic.close()

    async def say(self, state: FeedState, detail: str | None = None) -> None:
        """Publish the state where it or its reason changed; a failure and its end are logged once each."""
        bad = state in ("down", "stale", "polling") and detail is not None
        if state == self._state and (not bad or detail == self._detail):
            return
        if bad and self._detail is None:
            _log.warning("%s is %s: %s", self.name, state, detail)
        elif state == "live" and self._detail is not None:
            _log.info("%s is live again", self.name)
        self._detail = detail if bad else (None if state == "live" else self._detail)
        self._state = state
        for topic in list(self.logic.topics.values()):
            await topic.publish_status(self._status(topic))

    def heard(self) -> None:
        """Note that the venue spoke."""
        self._heard_at_s = self.clock.monotonic()

    @property
    def state(self) -> FeedState | None:
        """What it said of itself last; None where it has not begun."""
        return self._state

    @property
    def age_s(self) -> float | None:
        """The time since the venue last spoke; None where it never did."""
        return None if self._heard_at_s is None else self.clock.monotonic() - self._heard_at_s

    @property
    def heard_at_s(self) -> float | None:
        """When the venue last spoke, in monotonic seconds."""
        return self._heard_at_s

    def opens_at_ms(self) -> int | None:
        """When the market opens, if it is closed now."""
        return self._calendar.next_open_ms(self.clock.now_ms()) if self._calendar else None

    @property
    def name(self) -> str:
        """How the feed is called in the log."""
        return f"{self.instrument.provider} {self.instrument.symbol} {self.logic.ask_capability.value}"

    def _status(self, topic: Topic) -> FeedStatus:
        age_ms = None if self.age_s is None else round(self.age_s * 1000)
        opens_at_ms = self.opens_at_ms()
        opens_at = None
        if self._state == "closed" and self._imported:
            return FeedStatus(topic=topic.key.topic, state="closed", detail=_IMPORTED)
        if self._state == "closed" and opens_at_ms is not None:
            opens_at = datetime.fromtimestamp(opens_at_ms / 1000, UTC).isoformat().replace("+00:00", "Z")
        return FeedStatus(
            topic=topic.key.topic,
            state=cast(FeedState, self._state),
            age_ms=age_ms,
            opens_at=opens_at,
            detail=None if self._state in ("live", "closed") else self._detail,
        )


class _Connection:
    """A feed at work with one plugin instance: native stream, polling, watchdog, all from one loop."""

    def __init__(self, feed: Feed, plugin: MarketPlugin) -> None:
        self._feed = feed
        self._logic = feed.logic
        self._plugin = plugin
        self._clock = feed.clock
        self._settings = feed.settings
        self._wakeup = feed.wakeup
        self._native = plugin.supports(self._logic.watch_capability)
        self._can_ask = plugin.supports(self._logic.ask_capability)
        self._pump: asyncio.Task[None] | None = None
        self._number = self._joined = 0
        self._delivered = False
        self._started_at_s = 0.0
        self._reconnect_at_s = float("-inf")
        self._failures = 0
        self._reconnects = self._settings.reconnect.delays(feed.rng)
        self._repeats: Iterator[float] | None = None
        self._native_ok = False
        self._behind = True
        self._sync_failures = 0
        self._polling = not self._native
        self._poll_ok: bool | None = None
        self._ask_at_s = float("-inf")
        self._checked_at_s = float("-inf")
        self._problem: str | None = None
        """What is wrong with the stream; what is wrong with the calls beside it is told apart."""
        self._call_problem: str | None = None
        self._news_while_silent = False

    async def run(self) -> None:
        try:
            while self._feed.may_act():
                self._reconnect_if_due()
                await self._note_end_of_stream()
                await self._catch_up()
                await self._take_deliveries()
                await self._ask_if_due()
                await self._make_up_if_due()
                await self._watch_over_silence()
                await self._logic.tick()
                await self._say_state()
                await self._wakeup.wait(self._delay_s())
        finally:
            await self._hang_up()

    # The venue's stream

    def _reconnect_if_due(self) -> None:
        if self._native and self._pump is None and self._clock.monotonic() >= self._reconnect_at_s:
            self._feed.streams_opened += 1
            if self._number:
                self._feed.counters.reconnect()
            self._number = self._feed.streams_opened
            self._started_at_s = self._clock.monotonic()
            self._delivered = self._news_while_silent = False
            self._behind = True
            if self._poll_ok is not False:
                self._ask_at_s = self._started_at_s  # what was missed is wanted now
            self._pump = asyncio.create_task(
                self._deliver(self._number), name=f"feed {self._feed.name} stream {self._number}"
            )

    async def _deliver(self, number: int) -> None:
        try:
            # Closing the generator ends the subscription at the venue.
            generator = cast(AsyncGenerator[Any, None], self._logic.watch(self._plugin))
            async with aclosing(generator) as stream:
                async for item in stream:
                    self._logic.put(item, number)
                    self._delivered = True
                    self._feed.heard()
                    self._feed.counters.message()
                    self._wakeup.set()
        finally:
            self._wakeup.set()

    async def _note_end_of_stream(self) -> None:
        if self._pump is None or not self._pump.done():
            return
        pump, self._pump = self._pump, None
        try:
            await pump
            raise StreamEnded(f"{self._feed.instrument.provider} ended the stream.")
        except PluginFeatureNotSupportedError:
            self._native, self._polling, self._native_ok = False, True, False
        except TradewrightError as error:
            self._note_failure(error)

    def _note_failure(self, error: TradewrightError) -> None:
        now = self._clock.monotonic()
        if self._delivered and now - self._started_at_s >= self._settings.stable_s:
            self._failures = 0
        if self._failures == 0:
            self._reconnects = self._settings.reconnect.delays(self._feed.rng)
        self._failures += 1
        self._native_ok = False
        self._problem = error.message
        asked_to_wait_s = getattr(error, "retry_after_s", None) or 0.0
        self._reconnect_at_s = now + max(next(self._reconnects), asked_to_wait_s)
        if self._failures >= self._settings.failures_until_polling and self._can_ask:
            self._polling = True

    async def _hang_up(self) -> None:
        if self._pump is not None:
            pump, self._pump = self._pump, None
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    # Catching up and delivering

    async def _catch_up(self) -> None:
        """After each connection ask for what was missed, before anything newer is told."""
        if not self._behind or self._clock.monotonic() < self._ask_at_s:
            return
        if not self._can_ask:
            await self._logic.give_up()
            self._behind, self._native_ok = False, self._pump is not None and not self._pump.done()
        elif await self._attempt(self._logic.synchronise(self._plugin)):
            self._behind, self._sync_failures = False, 0
            self._native_ok = self._pump is not None and not self._pump.done() and not self._polling
        else:
            self._sync_failures += 1
            if self._sync_failures >= self._settings.synchronise_attempts and self._logic.waiting:
                await self._logic.give_up()
                self._behind, self._sync_failures = False, 0

    async def _take_deliveries(self) -> None:
        if self._behind or not self._logic.waiting:
            return
        try:
            drained = await self._logic.drain()
        except SpoiledStream as error:
            await self._renew(error.message)
            return
        if not drained:
            self._feed.counters.gap()
            self._behind = True
            if self._joined != self._number:  # its beginning is asked for at once, but only once
                self._joined, self._ask_at_s = self._number, self._clock.monotonic()
            self._wakeup.set()
            return
        if self._pump is not None and not self._pump.done() and self._delivered:
            self._native_ok, self._polling, self._poll_ok = True, False, None
            self._problem = self._call_problem = None

    # Asking

    async def _attempt(self, work: Any) -> bool:
        """Whether the call succeeded within its deadline."""
        doubt = asyncio.create_task(self._say_doubt(), name=f"feed {self._feed.name} doubt")
        try:
            await within(self._clock, self._settings.call_deadline_s, work)
        except (TradewrightError, TimeoutError) as error:
            self._note_failed_call(error)
            return False
        finally:
            doubt.cancel()
            await asyncio.gather(doubt, return_exceptions=True)
        self._feed.heard()
        self._checked_at_s = self._clock.monotonic()
        self._repeats = None
        self._poll_ok = True
        self._call_problem = None
        self._ask_at_s = self._checked_at_s + self._poll_interval_s()
        return True

    def _note_failed_call(self, error: TradewrightError | TimeoutError) -> None:
        provider = self._feed.instrument.provider
        self._call_problem = getattr(error, "message", f"{provider} did not answer in time.")
        self._repeats = self._repeats or self._settings.repeat.delays(self._feed.rng)
        pause_s = next(self._repeats)
        if self._owes:
            pause_s = min(pause_s, self._settings.owed_repeat_s)
        wait_s = max(pause_s, getattr(error, "retry_after_s", None) or 0.0)
        self._ask_at_s = self._clock.monotonic() + wait_s
        self._poll_ok = False

    async def _ask(self) -> None:
        self._news_while_silent |= await self._logic.ask(self._plugin)

    def _poll_interval_s(self) -> float:
        opens_at_ms = self._feed.opens_at_ms()
        if opens_at_ms is None:
            return self._settings.poll_interval_s
        return min(self._settings.closed_poll_interval_s, (opens_at_ms - self._clock.now_ms()) / 1000)

    async def _ask_if_due(self) -> None:
        if self._behind or not self._can_ask or self._clock.monotonic() < self._ask_at_s:
            return
        question_s = self._logic.question_due_s()
        if self._polling or (question_s is not None and question_s <= 0):
            await self._attempt(self._ask())

    async def _make_up_if_due(self) -> None:
        """What was given up while calls failed is told once they succeed again."""
        if self._owes and not self._behind and self._clock.monotonic() >= self._ask_at_s:
            await self._attempt(self._logic.make_up())

    @property
    def _owes(self) -> bool:
        return self._can_ask and self._logic.owes

    async def _watch_over_silence(self) -> None:
        """A stream that says nothing is checked by one call; where that fails, or knows more than the
        stream told, the stream is renewed."""
        if self._pump is None or self._behind or self._feed.opens_at_ms() is not None:
            return
        if self._silent_until_s() > self._clock.monotonic():
            return
        if self._polling:
            if self._news_while_silent:
                await self._renew("The stream says nothing while the market moves.")
            else:
                self._native_ok, self._polling = True, False
            return
        self._news_while_silent = False
        if not self._can_ask:
            await self._renew("The stream says nothing.")
        elif not await self._attempt(self._ask()):
            await self._renew(self._call_problem or "The stream says nothing.")
        elif self._news_while_silent:
            await self._renew("The stream missed something.")

    def _silent_until_s(self) -> float:
        """When silence becomes suspicious."""
        if self._polling:
            return self._started_at_s + self._settings.watchdog_s
        allowed_s = self._settings.watchdog_s if self._can_ask else self._settings.unchecked_silence_s
        return max(self._feed.heard_at_s or 0.0, self._started_at_s, self._checked_at_s) + allowed_s

    def _doubtful_at_s(self) -> float:
        """When a silent stream may be called live no longer, however long the call takes that checks it."""
        if self._pump is None or self._polling or not self._can_ask or self._feed.opens_at_ms() is not None:
            return float("inf")
        return self._silent_until_s() + self._settings.doubt_s

    @property
    def _in_doubt(self) -> bool:
        return self._clock.monotonic() >= self._doubtful_at_s()

    async def _say_doubt(self) -> None:
        """While a call is under way, say so as soon as the silence has become too long."""
        while (left_s := self._doubtful_at_s() - self._clock.monotonic()) > 0:
            if left_s > self._settings.call_deadline_s:
                return  # the call ends before
            await self._clock.sleep(left_s)
        if self._native_ok:
            await self._feed.say("stale", "The stream says nothing, and the provider does not answer.")

    async def _renew(self, reason: str) -> None:
        await self._hang_up()
        self._note_failure(StreamEnded(reason))

    # Saying how it is

    async def _say_state(self) -> None:
        if self._feed.opens_at_ms() is not None:
            await self._feed.say("closed")
        elif self._native_ok and not self._in_doubt:
            await self._feed.say("live")
        elif self._polling and self._poll_ok:
            await self._feed.say("polling", self._problem)
        elif self._poll_ok is False and (self._polling or not self._native):
            await self._feed.say("down", self._call_problem or self._problem)
        elif self._failures or self._poll_ok is False:
            await self._feed.say("stale", self._problem or self._call_problem)

    def _delay_s(self) -> float:
        """How long there is nothing to do, unless something arrives."""
        if self._logic.waiting and not self._behind:
            return 0.0
        now = self._clock.monotonic()
        delays = [self._settings.closed_poll_interval_s]
        if self._native and self._pump is None:
            delays.append(self._reconnect_at_s - now)
        if self._behind or self._owes or (self._polling and self._can_ask):
            delays.append(self._ask_at_s - now)
        opens_at_ms = self._feed.opens_at_ms()
        if opens_at_ms is not None:
            delays.append((opens_at_ms - self._clock.now_ms()) / 1000)
        elif self._pump is not None and not self._behind:
            delays.append(self._silent_until_s() - now)
        if not self._in_doubt:
            delays.append(self._doubtful_at_s() - now)
        question_s = self._logic.question_due_s()
        if question_s is not None and self._can_ask and not self._behind:
            delays.append(max(question_s, self._ask_at_s - now))
        flush_s = self._logic.delay_s()
        if flush_s is not None:
            delays.append(flush_s)
        return max(0.0, min(delays))

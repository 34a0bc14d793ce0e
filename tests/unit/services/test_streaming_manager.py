"""One upstream feed per stream, from the first who wants it to a grace period after the last."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.scripted_market import MARKET_DATA
from tests.unit.services.streaming_rig import Rig, stream
from tests.unit.services.streaming_viewer import Viewer
from tradewright.domain.capabilities import Capability
from tradewright.domain.errors import (
    LimitExceeded,
    PluginFeatureNotSupportedError,
    TooManySubscriptions,
    UnknownSymbol,
    UnknownTimeframe,
)
from tradewright.domain.streams import StreamKey
from tradewright.plugins.base import MarketPlugin
from tradewright.services.streaming_manager import FeedKey, StreamSettings

T = TypeVar("T")
GRACE_S = StreamSettings().grace_s
KEYS = [
    stream(),
    stream(timeframe="5m"),
    stream(timeframe="1h"),
    stream("trades"),
    stream("ticker", symbol="ETH/USDT"),
]


async def test_two_hundred_views_of_every_timeframe_have_one_upstream() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        names = ("1m", "3m", "5m", "15m", "1h", "4h", "1d", "1M")
        viewers = [await rig.view(stream(timeframe=names[n % len(names)])) for n in range(200)]
        rig.venue.trade(101)
        await rig.clock.advance(1)
        assert rig.venue.opened == rig.venue.most_open == 1
        assert all(viewer.updates for viewer in viewers)


async def test_all_views_get_the_very_same_bytes() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewers = [await rig.view(stream()) for _ in range(5)]
        marks = [len(viewer.raw) for viewer in viewers]
        rig.venue.trade(101)
        await rig.clock.advance(1)
        new = [viewer.raw[mark:] for viewer, mark in zip(viewers, marks, strict=True)]
        assert new[0]
        assert all(one is other for others in new[1:] for one, other in zip(new[0], others, strict=True))


async def test_a_feed_ends_a_grace_period_after_the_last_and_not_before() -> None:
    async with Rig() as rig:
        key = stream()
        rig.streaming.acquire(key)
        rig.streaming.acquire(key)
        await rig.clock.advance(1)
        rig.streaming.release(key)
        await rig.clock.advance(2 * GRACE_S)
        assert rig.venue.open_now == 1
        rig.streaming.release(key)
        await rig.clock.advance(GRACE_S - 1)
        assert rig.venue.open_now == 1
        await rig.clock.advance(1.5)
        assert rig.venue.open_now == 0
        assert not rig.streaming.feeds


async def test_who_comes_back_in_the_grace_period_finds_the_same_feed() -> None:
    async with Rig() as rig:
        key = stream()
        rig.streaming.acquire(key)
        await rig.clock.advance(1)
        before = await rig.streaming.state(key)
        rig.streaming.release(key)
        await rig.clock.advance(GRACE_S - 5)
        rig.streaming.acquire(key)
        await rig.clock.advance(2 * GRACE_S)
        assert rig.venue.opened == 1
        assert (await rig.streaming.state(key)).epoch == before.epoch


async def test_a_stream_that_begins_again_has_a_later_epoch() -> None:
    async with Rig() as rig:
        key = stream()
        epochs = []
        for _ in range(3):
            rig.streaming.acquire(key)
            await rig.clock.advance(1)
            epochs.append((await rig.streaming.state(key)).epoch)
            rig.streaming.release(key)
            await rig.clock.advance(GRACE_S + 1)
        assert epochs == sorted(set(epochs))
        assert rig.venue.most_open == 1


async def test_a_feed_that_begins_while_its_predecessor_ends_does_not_overlap_it() -> None:
    async with Rig() as rig:
        for _ in range(20):
            rig.streaming.acquire(stream())
            await rig.clock.advance(1)
            rig.streaming.release(stream())
            await rig.clock.advance(GRACE_S - 0.001)
            rig.clock.jump_wall(0)
            advance = asyncio.create_task(rig.clock.advance(0.002))
            while rig.streaming.feeds:  # noqa: ASYNC110  step by step, to hit the very moment
                await asyncio.sleep(0)
            rig.streaming.acquire(stream())
            await advance
            await rig.clock.advance(1)
            rig.streaming.release(stream())
            await rig.clock.advance(2 * GRACE_S)
        assert rig.venue.most_open == 1
        assert rig.venue.open_now == 0


async def test_a_feed_with_a_fault_is_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream("trades"))
        rig.venue.send("trades", [object()])  # a plugin that breaks its promise
        await rig.clock.advance(1)
        assert viewer.states[-1] == "down"
        assert "failed" in caplog.text
        await rig.clock.advance(10)
        rig.venue.trade(101)
        await rig.clock.advance(1)
        assert viewer.states[-1] == "live"
        assert viewer.trades == rig.venue.trades
        assert viewer.resyncs == ["epoch_changed"]


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (stream(symbol="NONE/SUCH"), UnknownSymbol),
        (stream(timeframe="7m"), UnknownTimeframe),
        (stream("trades"), PluginFeatureNotSupportedError),
    ],
)
async def test_what_can_not_be_watched_is_refused(key: StreamKey, error: type[Exception]) -> None:
    async with Rig() as rig:
        rig.venue.capabilities = MARKET_DATA - {Capability.TRADES, Capability.WATCH_TRADES}
        with pytest.raises(error):
            await rig.view(key)
        assert not rig.streaming.feeds
        assert not rig.registry.watched


async def test_the_settling_time_of_the_venue_is_waited_for() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream())
        await rig.clock.advance(59.9)
        assert viewer.finals == []
        await rig.clock.advance(MarketPlugin.settling_ms / 1000 - 1)
        assert viewer.finals == []
        await rig.clock.advance(2.5)
        assert len(viewer.finals) == 1


class SubscriptionStorm(RuleBasedStateMachine):
    """Clients come, subscribe, leave and vanish in any order; registry and feeds equal the model."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.model: dict[str, set[StreamKey]] = {}
        self.wanted_at: dict[StreamKey, float] = {}

    @initialize()
    def open(self) -> None:
        async def make() -> Rig:
            return Rig()

        self.rig = self.loop.run_until_complete(make())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def _note(self) -> None:
        for keys in self.model.values():
            for key in keys:
                self.wanted_at[key] = self.rig.clock.monotonic()

    @rule()
    def connect(self) -> None:
        async def connect() -> str:
            return self.rig.service.connect(Viewer(), "storm")

        if len(self.model) < 8:
            self.model[self.run(connect())] = set()

    @rule(data=st.data(), key=st.sampled_from(KEYS))
    def subscribe(self, data: st.DataObject, key: StreamKey) -> None:
        if self.model:
            connection = data.draw(st.sampled_from(sorted(self.model)))
            self.run(self.rig.service.subscribe(connection, key))
            self.model[connection].add(key)
            self._note()

    @rule(data=st.data(), key=st.sampled_from(KEYS))
    def unsubscribe(self, data: st.DataObject, key: StreamKey) -> None:
        async def unsubscribe(connection: str) -> None:
            self.rig.service.unsubscribe(connection, key.topic)

        for connection in data.draw(st.permutations(sorted(self.model)))[:1]:
            self._note()
            if key in self.model[connection]:
                self.run(unsubscribe(connection))
                self.model[connection].discard(key)

    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        async def disconnect(connection: str) -> None:
            self.rig.service.disconnect(connection)
            self.rig.service.disconnect(connection)

        if self.model:
            self._note()
            connection = data.draw(st.sampled_from(sorted(self.model)))
            self.run(disconnect(connection))
            del self.model[connection]

    @rule(seconds=st.sampled_from([0.1, 5.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self._note()
        self.run(self.rig.clock.advance(seconds))

    @invariant()
    def counts_equal_the_model(self) -> None:
        watched: dict[str, int] = {}
        for keys in self.model.values():
            for key in keys:
                watched[key.topic] = watched.get(key.topic, 0) + 1
        assert self.rig.registry.watched == watched
        assert {key.topic: 1 for key in self.rig.streaming.references} == dict.fromkeys(watched, 1)
        assert set(self.rig.streaming.references.values()) <= {1}, "a process wants each stream once"

    @invariant()
    def feeds_equal_the_model(self) -> None:
        now = self.rig.clock.monotonic()
        wanted = {key for keys in self.model.values() for key in keys}
        lingering = {key for key, at in self.wanted_at.items() if now - at < GRACE_S}
        feeds = self.rig.streaming.feeds
        assert {FeedKey(key.kind, key.instrument) for key in wanted} <= feeds
        assert feeds <= {FeedKey(key.kind, key.instrument) for key in wanted | lingering}
        assert self.rig.venue.open_now <= len(feeds)

    def teardown(self) -> None:
        async def end() -> None:
            for connection in self.model:
                self.rig.service.disconnect(connection)
            await self.rig.clock.advance(2 * GRACE_S + 1)
            assert not self.rig.streaming.feeds
            assert not self.rig.service.hubs
            assert not self.rig.bus.channels
            assert self.rig.venue.open_now == 0
            assert self.rig.registry.connections == 0
            await self.rig.__aexit__()
            assert len(asyncio.all_tasks()) == 1, "only this one is left"

        self.run(end())
        self.loop.close()


TestSubscriptionStorm = SubscriptionStorm.TestCase
TestSubscriptionStorm.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


async def test_limits_of_a_connection_an_address_and_a_user() -> None:
    async with Rig() as rig:
        connection = rig.service.connect(Viewer(), "here")
        for number in range(200):
            await rig.service.subscribe(connection, stream(symbol=f"A{number}/B"))
        with pytest.raises(TooManySubscriptions):
            await rig.service.subscribe(connection, stream(symbol="ONE/MORE"))
        await rig.service.subscribe(connection, stream(symbol="A1/B"))  # again is not more
        assert len(rig.streaming.references) == 200
        for _ in range(99):
            rig.service.connect(Viewer(), "here")
        with pytest.raises(LimitExceeded):
            rig.service.connect(Viewer(), "here")
        rig.service.connect(Viewer(), "elsewhere")
        rig.service.disconnect(connection)
        connections = [rig.service.connect(Viewer(), f"{n}") for n in range(6)]
        for one in connections[:5]:
            rig.registry.identify(one, "anna")
        with pytest.raises(LimitExceeded):
            rig.registry.identify(connections[5], "anna")
        rig.service.disconnect(connections[0])
        rig.registry.identify(connections[5], "anna")

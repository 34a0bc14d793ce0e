"""Processes that share feeds while everything that can happen to them happens, watched by viewers who
believe nothing."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tests.support.shared_feeds import Hall, Process, TapeViewer
from tests.unit.services.streaming_rig import stream
from tradewright.domain.streams import StreamKey, StreamKind
from tradewright.services.streaming_manager import FeedKey, StreamSettings

SETTLED_S: Final = 9.0
"""So long after the last fault there is one keeper: a lease, a try for it, and a margin."""
FOLLOWED_S: Final = 5.0
GRACE_S: Final = StreamSettings().grace_s
KEYS: Final = (stream(), stream(timeframe="5m"), stream(timeframe="1h"), stream("trades"))
KINDS: Final[tuple[StreamKind, ...]] = ("ohlcv", "trades", "ticker", "order_book")
FAULTS: Final = (
    "pause",
    "isolate",
    "cut leases",
    "hang leases",
    "deaf leases",
    "cut bus",
    "slow bus",
    "lose a message",
    "forget leases",
    "kill",
    "close",
    "all cut",
    "cut venue",
)


@dataclass
class FeedStorm:
    """One seed's storm over up to four processes."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    viewers: int = 0
    resyncs: int = 0
    most_upstreams: int = 0
    steps: int = 0
    checked_alone: int = 0
    """How often it was calm, and seen that just one connection was open."""

    async def run(self, steps: int) -> None:
        """So many steps; ``AssertionError`` where a promise is broken."""
        self._chance = chance = random.Random(self.seed)
        async with Hall(3, seed=self.seed, flags=chance.random() < 0.7) as hall:
            self._hall = hall
            self._calm_since_s = 0.0
            hall.venue.trade(100)
            for process in hall.processes:
                await self._view(process)
            for _ in range(steps):
                self.steps += 1
                await self._step()
            await self._end()

    async def _step(self) -> None:
        hall, chance = self._hall, self._chance
        seconds = chance.choice([0.03, 0.2, 0.7, 1.3, 3.1, 7.0])
        while seconds > 0:
            step_s = min(seconds, chance.uniform(0.05, 1.5))
            await hall.clock.advance(step_s)
            seconds -= step_s
            hall.venue.trade(round(chance.uniform(90, 110), 2), round(chance.uniform(0.1, 3), 3))
        match chance.randrange(10):
            case 0 | 1 | 2:
                await self._fault(chance.choice(FAULTS))
            case 3 | 4:
                disturbed = [process for process in hall.living if process.disturbed]
                if disturbed:
                    chance.choice(disturbed).heal()
                    self._calm_since_s = hall.clock.monotonic()
            case 5:
                await self._view(chance.choice(hall.living))
            case 6:
                self._leave(chance.choice(hall.living))
            case _:
                pass
        self._check()

    async def _view(self, process: Process) -> None:
        # What waits for the bus of a paused process would make this storm wait as well.
        if len(process.viewers) < 6 and not process.gate.paused:
            await process.view(self._chance.choice(KEYS))
            self.viewers += 1

    def _leave(self, process: Process) -> None:
        if len(process.viewers) > 1:
            viewer = process.leave(self._chance.choice(sorted(process.viewers)))
            assert viewer.violations == [], (self.seed, viewer.violations)

    async def _fault(self, fault: str) -> None:
        hall, process = self._hall, self._chance.choice(self._hall.living)
        self.faults[fault] += 1
        match fault:
            case "pause":
                process.gate.pause()
            case "isolate":
                process.isolate()
            case "cut leases":
                process.leases.cut = True
            case "hang leases":
                process.leases.hang = True
            case "deaf leases":
                process.leases.deaf = True
            case "cut bus":
                process.bus.cut = True
            case "slow bus":
                process.bus.delay_s = self._chance.choice([0.1, 0.6, 3.0])
            case "lose a message":
                process.bus.lose_next = self._chance.randrange(1, 4)
            case "forget leases":
                hall.leases.forget()
            case "kill" | "close":
                await self._replace(process, kill=fault == "kill")
            case "all cut":
                for each in hall.living:
                    each.isolate()
            case "cut venue":
                hall.venue.cut()
        self._calm_since_s = hall.clock.monotonic()

    async def _replace(self, process: Process, *, kill: bool) -> None:
        if process.gate.paused and not kill:
            return
        for _, viewer in process.viewers.values():
            assert viewer.violations == [], (self.seed, viewer.violations)
        await (process.kill() if kill else process.close())
        await self._view(self._hall.begin())

    def _check(self) -> None:
        hall = self._hall
        assert not [v for p in hall.living for _, one in p.viewers.values() for v in one.violations], (
            self.seed
        )
        upstreams = max(hall.upstreams("ohlcv"), hall.upstreams("trades"))
        self.most_upstreams = max(self.most_upstreams, upstreams)
        if any(process.disturbed for process in hall.living):
            self._calm_since_s = hall.clock.monotonic()
        elif hall.clock.monotonic() >= self._calm_since_s + SETTLED_S:
            assert upstreams <= 1, f"seed {self.seed}: {upstreams} connections though all is well"
            self.checked_alone += 1

    async def _end(self) -> None:
        hall = self._hall
        for process in hall.living:
            process.heal()
        for _ in range(80):
            await hall.clock.advance(1)
            hall.venue.trade(round(self._chance.uniform(90, 110), 2))
        await hall.clock.advance(1)
        for kind in ("ohlcv", "trades"):
            wanted = any(key.kind == kind for key in hall.wanted())
            assert hall.upstreams(kind) == len(hall.keepers(kind)) == int(wanted), (self.seed, kind)
        epochs: dict[StreamKey, set[str]] = {}
        for process in hall.living:
            for key, viewer in process.viewers.values():
                self._check_viewer(key, viewer)
                epochs.setdefault(key, set()).add(viewer.epoch)
        assert all(len(each) == 1 for each in epochs.values()), f"seed {self.seed}: one keeper for all"
        await self._leave_all()

    def _check_viewer(self, key: StreamKey, viewer: TapeViewer) -> None:
        where = (self.seed, key.topic)
        self.resyncs += viewer.resynced
        assert viewer.violations == [], (where, viewer.violations)
        assert viewer.states[-1] == "live", where
        if key.kind == "trades":
            assert viewer.trades == self._hall.venue.trades[-len(viewer.trades) :], where
            first = min(int(trade_id) for trade_id in viewer.tape)
            missed = [t for t in self._hall.venue.trades if t.id not in viewer.tape and int(t.id) > first]
            assert not missed, (where, viewer.resynced, len(missed))
        else:
            expected = self._hall.venue.bars(key.timeframe or "")
            got = viewer.series()
            assert [row[:5] for row in got] == [row[:5] for row in expected], (where, got, expected)

    async def _leave_all(self) -> None:
        hall = self._hall
        for process in hall.living:
            for connection in list(process.viewers):
                process.leave(connection)
        await hall.clock.advance(2 * GRACE_S + 5)
        assert [hall.upstreams(kind) for kind in KINDS] == [0, 0, 0, 0], self.seed
        for process in hall.living:
            assert not process.streaming.feeds, self.seed
            assert not process.bus.channels, self.seed


@dataclass
class CountedWants:
    """Wants that come and go by the thousand in three processes that die now and then; what is connected
    upstream must equal what the model says."""

    seed: int
    operations: int = 0
    crashes: int = 0
    compared: int = 0

    async def run(self, operations: int) -> None:
        """So many; ``AssertionError`` where a connection is missing, doubled or left over."""
        chance = random.Random(self.seed)
        keys = (*KEYS, stream("ticker"), stream("order_book"))
        async with Hall(3, seed=self.seed) as hall:
            hall.venue.trade(100)
            model: dict[Process, Counter[StreamKey]] = {process: Counter() for process in hall.processes}
            wanted_at_s: dict[FeedKey, float] = {}
            wanted_since_s: dict[FeedKey, float] = {}
            unsettled_at_s = 0.0
            for _ in range(operations):
                self.operations += 1
                process = chance.choice(hall.living)
                held = model[process]
                if held.total() and chance.random() < 0.52:
                    key = chance.choice(sorted(held.elements(), key=lambda key: key.topic))
                    process.streaming.release(key)
                    held[key] -= 1
                else:
                    key = chance.choice(keys)
                    process.streaming.acquire(key)
                    held[key] += 1
                if chance.random() < 0.004:
                    self.crashes += 1
                    del model[process]
                    await (process.kill() if chance.random() < 0.7 else process.close())
                    model[hall.begin()] = Counter()
                    unsettled_at_s = hall.clock.monotonic()
                now = hall.clock.monotonic()
                wanted = {
                    FeedKey(key.kind, key.instrument)
                    for counts in model.values()
                    for key, count in counts.items()
                    if count
                }
                wanted_at_s.update(dict.fromkeys(wanted, now))
                wanted_since_s = {key: wanted_since_s.get(key, now) for key in wanted}
                await hall.clock.advance(chance.choice([0, 0, 0, 0.01, 0.1, 1.1]))
                if hall.clock.monotonic() > unsettled_at_s + SETTLED_S:
                    self._compare(hall, wanted_since_s, wanted_at_s)
            for process, counts in model.items():
                for key in counts.elements():
                    process.streaming.release(key)
            await hall.clock.advance(GRACE_S + SETTLED_S)
            assert [hall.upstreams(kind) for kind in KINDS] == [0, 0, 0, 0], "nothing is left"
            assert not [process for process in hall.living if process.streaming.feeds]
            assert not [process for process in hall.living if process.bus.channels]

    def _compare(
        self, hall: Hall, wanted_since_s: dict[FeedKey, float], wanted_at_s: dict[FeedKey, float]
    ) -> None:
        now = hall.clock.monotonic()
        for kind in KINDS:
            count = hall.upstreams(kind)
            assert count <= 1, (self.seed, kind, count)
            key = next((key for key in wanted_at_s if key.kind == kind), None)
            if key in wanted_since_s and now > wanted_since_s[key] + SETTLED_S:
                self.compared += 1
                assert count == 1, (self.seed, kind, "though it is wanted")
            if key is not None and key not in wanted_since_s and now > wanted_at_s[key] + GRACE_S + 2:
                self.compared += 1
                assert count == 0, (self.seed, kind, "though nobody wants it")


@dataclass
class KilledKeepers:
    """Keepers that are killed at any moment, or leave in order: how long until another has taken over and
    the viewers elsewhere move again, in seconds of the clock."""

    seed: int
    killed_s: list[float] = field(default_factory=list)
    left_s: list[float] = field(default_factory=list)
    moving_s: list[float] = field(default_factory=list)

    async def run(self, times: int) -> None:
        """So often."""
        chance = random.Random(self.seed)
        async with Hall(3, seed=self.seed) as hall:
            hall.venue.trade(100)
            viewers = {process: await process.view(stream()) for process in hall.processes}
            for _ in range(times):
                await hall.clock.advance(chance.uniform(8, 30))
                hall.venue.trade(chance.uniform(90, 110))
                await hall.until(lambda: len(hall.keepers()) == hall.upstreams() == 1)
                keeper = hall.keepers()[0]
                kill = chance.random() < 0.7
                del viewers[keeper]
                before = {process: viewer.epoch for process, viewer in viewers.items()}
                await (keeper.kill() if kill else keeper.close())
                took_s = await hall.until(lambda: hall.upstreams() == 1)
                (self.killed_s if kill else self.left_s).append(took_s)
                self.moving_s.append(took_s + await hall.until(partial(_moved, viewers, before)))
                newcomer = hall.begin()
                viewers[newcomer] = await newcomer.view(stream())
            await hall.clock.advance(70)
            hall.venue.trade(100)
            await hall.clock.advance(1)
            for viewer in viewers.values():
                assert [row[:5] for row in viewer.series()] == [r[:5] for r in hall.venue.bars("1m")]


def _moved(viewers: dict[Process, TapeViewer], before: dict[Process, str]) -> bool:
    return all(viewers[process].epoch > epoch for process, epoch in before.items())

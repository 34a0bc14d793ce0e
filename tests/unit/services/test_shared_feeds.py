"""One keeper for each feed, whatever happens to the processes that share it."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.feed_storms import FOLLOWED_S, CountedWants, FeedStorm, KilledKeepers
from tests.support.shared_feeds import Hall, Process, TapeViewer
from tests.unit.services.streaming_rig import stream
from tradewright.domain.streams import Update
from tradewright.services.streaming_manager import StreamSettings

GRACE_S = StreamSettings().grace_s


async def _watched(hall: Hall, *keys: str) -> list[TapeViewer]:
    """One viewer in each process, who has got a first update."""
    hall.venue.trade(100)
    viewers = []
    for index, process in enumerate(hall.processes):
        viewers.append(await process.view(stream(timeframe=keys[index] if keys else "1m")))
        await hall.until(lambda: viewers[-1].snapshots)
    hall.venue.trade(101)
    await hall.until(lambda: all(viewer.updates for viewer in viewers))
    return viewers


def _other(hall: Hall, process: Process) -> Process:
    return next(other for other in hall.living if other is not process)


async def _go_on(hall: Hall, seconds: int) -> None:
    for second in range(seconds):
        hall.venue.trade(100 + second % 7, 0.5)
        await hall.clock.advance(1)


def _shows_the_truth(hall: Hall, viewer: TapeViewer, timeframe: str = "1m") -> bool:
    return [row[:5] for row in viewer.series()] == [row[:5] for row in hall.venue.bars(timeframe)]


async def test_of_three_processes_one_runs_the_feed_and_all_viewers_move() -> None:
    async with Hall(3) as hall:
        viewers = await _watched(hall, "1m", "5m", "1h")
        await _go_on(hall, 130)
        assert len(hall.keepers()) == hall.upstreams() == hall.venue.most_open == 1
        for viewer, timeframe in zip(viewers, ("1m", "5m", "1h"), strict=True):
            assert _shows_the_truth(hall, viewer, timeframe)
            assert viewer.resyncs == []
        assert hall.venue.opened == 1


async def test_a_snapshot_elsewhere_continues_the_keepers_numbers() -> None:
    async with Hall(2) as hall:
        keeper, other = hall.processes
        first = await keeper.view(stream("trades"))
        await hall.clock.advance(1)
        for number in range(30):
            hall.venue.trade(100 + number)
        await hall.clock.advance(0.1)
        late = await other.view(stream("trades"))
        await hall.until(lambda: late.snapshots, within_s=0.5)
        assert (late.epoch, late.seq) == (first.epoch, first.seq)
        assert late.trades == first.trades == hall.venue.trades
        hall.venue.trade(200)
        await hall.clock.advance(0.1)
        assert late.trades == first.trades == hall.venue.trades


async def test_a_dead_keeper_is_followed_within_five_seconds_and_no_bar_is_lost() -> None:
    for moment in (0.0, 0.9, 58.5):
        async with Hall(3) as hall:
            viewers = await _watched(hall, "1m", "5m", "1m")
            await _go_on(hall, 70)
            await hall.clock.advance(moment)
            await hall.keepers()[0].kill()
            assert hall.upstreams() == 0
            took_s = await hall.until(lambda: hall.upstreams() == 1, within_s=5)
            assert took_s > 1, "nobody takes a lease that has not run out"
            await _go_on(hall, 140)
            assert len(hall.keepers()) == 1
            for process, timeframe, viewer in zip(hall.processes, ("1m", "5m", "1m"), viewers, strict=True):
                if process.alive:
                    assert _shows_the_truth(hall, viewer, timeframe)
                    assert viewer.resyncs == ["epoch_changed"]


async def test_a_keeper_that_leaves_in_order_is_followed_at_once() -> None:
    async with Hall(2) as hall:
        viewers = await _watched(hall)
        keeper = hall.keepers()[0]
        survivor = viewers[1 - hall.processes.index(keeper)]
        await keeper.close()
        await hall.clock.settle()
        await hall.until(lambda: hall.upstreams() == 1, within_s=0.1)
        await _go_on(hall, 70)
        assert _shows_the_truth(hall, survivor)
        assert hall.venue.most_open == 1, "its connection ends before the lease is let go"


@pytest.mark.parametrize("pause_s", [3.0, 3.5, 4.5, 20.0, 130.0])
async def test_a_paused_keeper_says_nothing_more_when_it_wakes(pause_s: float) -> None:
    async with Hall(2) as hall:
        viewers = await _watched(hall)
        keeper = hall.keepers()[0]
        other = _other(hall, keeper)
        keeper.gate.pause()
        await _go_on(hall, int(pause_s))
        await hall.clock.advance(pause_s - int(pause_s))
        told = keeper.bus.told
        if pause_s > 6:
            assert other.keeps()
        keeper.gate.resume()
        await hall.clock.settle()
        hall.venue.trade(100)
        await hall.clock.advance(0.2)
        assert pause_s <= 4 or keeper.bus.told == told, "what it held back is not said"
        await hall.until(lambda: len(hall.keepers()) == hall.upstreams() == 1, within_s=5)
        await _go_on(hall, 140)
        assert len(hall.keepers()) == hall.upstreams() == 1
        for viewer in viewers:
            assert _shows_the_truth(hall, viewer)
        if pause_s > 6:
            assert hall.keepers() == [other], "who woke up is a listener"


async def test_a_process_cut_off_serves_its_viewers_alone_and_then_listens_again() -> None:
    for isolated_is_keeper in (True, False):
        async with Hall(3) as hall:
            viewers = await _watched(hall)
            keeper = hall.keepers()[0]
            lonely = keeper if isolated_is_keeper else _other(hall, keeper)
            lonely.isolate()
            await hall.until(lambda: len(hall.keepers()) == hall.upstreams() == 2, within_s=8)
            await _go_on(hall, 100)
            assert all(_shows_the_truth(hall, viewer) for viewer in viewers), "each serves its own"
            lonely.heal()
            await hall.until(lambda: len(hall.keepers()) == hall.upstreams() == 1, within_s=3)
            await _go_on(hall, 100)
            assert all(_shows_the_truth(hall, viewer) for viewer in viewers)
            assert len({viewer.epoch for viewer in viewers}) == 1, "all follow one keeper"


async def test_while_the_leases_are_away_all_go_on_and_then_one_wins() -> None:
    async with Hall(3) as hall:
        viewers = await _watched(hall)
        for process in hall.processes:
            process.isolate()
        await hall.until(lambda: hall.upstreams() == 3, within_s=8)
        await _go_on(hall, 130)
        assert all(_shows_the_truth(hall, viewer) for viewer in viewers)
        for process in hall.processes:
            process.heal()
        await hall.until(lambda: len(hall.keepers()) == hall.upstreams() == 1, within_s=3)
        await _go_on(hall, 130)
        assert all(_shows_the_truth(hall, viewer) for viewer in viewers)
        assert len({viewer.epoch for viewer in viewers}) == 1
        assert all(len(viewer.resyncs) <= 3 for viewer in viewers)


async def test_leases_that_fail_while_the_bus_works_change_nothing() -> None:
    async with Hall(3) as hall:
        viewers = await _watched(hall)
        keeper = hall.keepers()[0]
        for process in hall.processes:
            process.leases.cut = True
        await _go_on(hall, 60)
        assert hall.keepers() == [keeper]
        assert hall.venue.opened == 1
        for process in hall.processes:
            process.leases.cut = False
        await _go_on(hall, 60)
        assert len(hall.keepers()) == 1
        assert hall.venue.opened == 1, "the same connection all the time"
        assert all(_shows_the_truth(hall, viewer) for viewer in viewers)


async def test_leases_that_are_forgotten_are_had_anew_without_a_new_connection() -> None:
    async with Hall(2) as hall:
        viewers = await _watched(hall)
        for _ in range(10):
            hall.leases.forget()
            await _go_on(hall, 1)
        await _go_on(hall, 70)
        assert len(hall.keepers()) == 1
        assert hall.venue.most_open == 1
        assert all(_shows_the_truth(hall, viewer) for viewer in viewers)


async def test_what_an_earlier_keeper_says_is_not_passed_on() -> None:
    async with Hall(2) as hall:
        keeper, other = hall.processes
        await keeper.view(stream("trades"))
        viewer = await other.view(stream("trades"))
        hall.venue.trade(100)
        await hall.until(lambda: viewer.trades)
        late = Update(
            topic=stream("trades").topic,
            epoch=viewer.epoch,
            seq=viewer.seq + 1,
            trades=tuple(viewer.trades[:1]),
        )
        await keeper.kill()
        await hall.until(lambda: other.keeps("trades"))
        hall.venue.trade(101)
        await hall.until(lambda: len(viewer.trades) == 2)
        count = len(viewer.raw)
        for _ in range(3):
            await other.bus.publish(late.topic, msgspec.json.encode(late))
            await hall.clock.advance(0.1)
        assert len(viewer.raw) == count
        hall.venue.trade(102)
        await hall.clock.advance(0.1)
        assert viewer.trades == hall.venue.trades


async def test_a_lost_last_message_is_noticed_by_the_heartbeat() -> None:
    async with Hall(2) as hall:
        keeper, other = hall.processes
        await keeper.view(stream("trades"))
        viewer = await other.view(stream("trades"))
        hall.venue.trade(100)
        await hall.until(lambda: viewer.trades)
        keeper.bus.lose_next = 1
        hall.venue.trade(101)
        await hall.clock.advance(0.2)
        assert len(viewer.trades) == 1
        await hall.until(lambda: viewer.trades == hall.venue.trades, within_s=5)
        assert viewer.resyncs == ["epoch_changed"]


async def test_silence_without_a_keeper_is_told() -> None:
    async with Hall(2) as hall:
        viewers = await _watched(hall)
        keeper = hall.keepers()[0]
        viewer = viewers[1 - hall.processes.index(keeper)]
        other = _other(hall, keeper)
        other.bus.cut = True  # but it reaches the leases, so it knows that there is a keeper
        await hall.until(lambda: viewer.states[-1] == "stale", within_s=10)
        assert not other.keeps()
        other.heal()
        await hall.until(lambda: viewer.states[-1] == "live", within_s=3)
        await _go_on(hall, 70)
        assert _shows_the_truth(hall, viewer)


async def test_a_stream_ends_a_grace_period_after_the_last_want_of_all() -> None:
    async with Hall(2) as hall:
        keeper, other = hall.processes
        key, hourly = stream(), stream(timeframe="1h")
        keeper.streaming.acquire(key)
        await hall.clock.advance(1)
        other.streaming.acquire(hourly)
        await hall.clock.advance(1)
        keeper.streaming.release(key)
        await hall.clock.advance(2 * GRACE_S)
        assert hall.keepers() == [keeper], "for the other's sake"
        assert hall.upstreams() == 1
        other.streaming.release(hourly)
        await hall.clock.advance(GRACE_S - 1)
        assert hall.upstreams() == 1
        await hall.clock.advance(2)
        assert hall.upstreams() == 0
        assert not keeper.streaming.feeds
        assert not other.streaming.feeds
        assert not keeper.bus.channels
        assert await hall.leases.acquire("feed:ohlcv:crypto:scripted:BTC/USDT", "anybody", 1) is not None


async def test_wants_of_a_dead_process_are_forgotten() -> None:
    async with Hall(2) as hall:
        keeper, other = hall.processes
        keeper.streaming.acquire(stream())
        await hall.clock.advance(1)
        other.streaming.acquire(stream())
        await hall.clock.advance(5)
        keeper.streaming.release(stream())
        await other.kill()
        await hall.clock.advance(GRACE_S + 2)
        assert hall.upstreams() == 0


async def test_storms_leave_every_viewer_with_the_truth() -> None:
    for seed in (3, 5):
        storm = FeedStorm(seed)
        await storm.run(60)
        assert sum(storm.faults.values()) > 10
        assert storm.viewers > 3


async def test_connections_equal_the_wants_of_all_processes() -> None:
    counting = CountedWants(1)
    await counting.run(2_000)
    assert counting.crashes
    assert counting.compared > 1_000


async def test_killed_keepers_are_followed_in_time() -> None:
    killing = KilledKeepers(1)
    await killing.run(12)
    assert killing.killed_s
    assert max(killing.killed_s + killing.moving_s) <= FOLLOWED_S
    assert max(killing.left_s) <= 0.1


async def test_who_kept_a_feed_alone_and_forgot_it_follows_the_keeper_again() -> None:
    """The topic's hub lingers longer than what knew under which rank it was served."""
    async with Hall(2) as hall:
        await _watched(hall)
        keeper = hall.keepers()[0]
        alone = _other(hall, keeper)
        alone.isolate()
        await hall.until(lambda: len(hall.keepers()) == 2, within_s=20)
        hall.venue.trade(105)
        await hall.clock.advance(1)
        (connection,) = alone.viewers
        alone.leave(connection)
        alone.heal()
        await hall.until(lambda: not alone.streaming.references and hall.keepers() == [keeper], within_s=20)
        back = await alone.view(stream())
        await _go_on(hall, 75)
        assert hall.keepers() == [keeper]
        assert _shows_the_truth(hall, back)

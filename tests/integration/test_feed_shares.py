"""A small share, of fixed seeds, of what `bench/soak_feeds.py` counts in full."""

from __future__ import annotations

import pytest

from tests.support.book_faults import RESYNC_S_MAX, BookFaults
from tests.support.connection_faults import SILENCE_S_MAX, ConnectionFaults, silences
from tests.support.feed_days import FeedDay, Look
from tests.support.feed_load import GROWN_MB_MAX, Burst

pytestmark = pytest.mark.alone


async def test_no_wrong_top_of_a_book_is_published_whatever_happens_to_its_stream() -> None:
    one = BookFaults(3, per_s=1_000)
    await one.run(3_500)
    assert one.wrong == []
    assert one.published > 20
    assert len(one.faults) >= 2
    assert one.resynced_s
    assert max(one.resynced_s) <= 5 * RESYNC_S_MAX, "five times what it takes where nothing else runs"


async def test_silent_streams_are_found_out_in_time() -> None:
    assert max(await silences(5, 2)) <= SILENCE_S_MAX


async def test_spoiled_and_cut_streams_go_on_and_lose_no_trade() -> None:
    one = ConnectionFaults(1)
    await one.run(1)
    assert one.lost == 0
    assert all(len(times_s) == 1 for times_s in one.recovered_s.values())


async def test_a_burst_loses_no_trade_and_conflates_the_rest() -> None:
    one = Burst(1.0)
    await one.run()
    assert one.missing_trades == 0
    assert one.grown_mb < GROWN_MB_MAX
    assert one.told["ticker"] < 20
    assert one.told["order_book"] < 20


async def test_many_streams_need_no_more_tasks_files_and_connections_with_time() -> None:
    one = FeedDay(8, 0.1, warm_up_trades=0, look_s=30.0)
    await one.run()
    assert one.changes() == []
    assert one.sockets_opened == one.looks[0].sockets
    assert one.messages > 200


def test_what_grows_in_a_day_is_told() -> None:
    def day(mb: float, tasks: int, files: int, sockets: int, subscriptions: int) -> list[str]:
        """What is told of one that grows by so much an hour."""
        one = FeedDay(8, 24.0)
        for hour in range(25):
            grown = (300 + mb * hour, 500 + tasks * hour, 50 + files * hour, 4 + sockets * hour)
            one.looks.append(Look(hour, *grown, 8 + subscriptions * hour))
        return [each.split(",")[0] for each in one.grows()]

    assert day(0.9, 0, 0, 0, 0) == []
    assert day(1.2, 1, 0, 0, 0) == ["memory", "tasks"]
    assert day(0.0, 0, 1, 1, 1) == ["files", "sockets", "streams that the venue sends twice"]

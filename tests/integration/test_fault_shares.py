"""A small share, of fixed seeds, of what the soak programs count in full."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.closed_doors import RESUME_S_MAX, ClosedDoors
from tests.support.collisions import KINDS, Collisions, Kind
from tests.support.delistings import BACK_S_MAX, Delistings
from tests.support.early_bars import EarlyPages, EarlyStream
from tests.support.history_cuts import CLOSED_S_MAX, HistoryCuts
from tests.support.hostile_requests import Attack
from tests.support.login_attack import under_attack
from tests.support.malformed_answers import Malformed
from tests.support.migration_kills import MigrationKills
from tests.support.postgres_schemas import own_database
from tests.support.processes import serving
from tests.support.silent_venue import SilentVenue
from tests.support.slow_readers import READERS, SlowReaders
from tests.support.stream_cuts import CutStreams
from tests.support.wrong_clocks import WrongClocks
from tradewright.services.auth.throttle import BY_PAIR
from tradewright.services.data_sources.door import TOO_OFTEN_S

pytestmark = pytest.mark.alone


async def test_gaps_of_streams_and_of_history_are_closed_in_time() -> None:
    streams, history = CutStreams(3), HistoryCuts(3)
    await streams.run(6)
    await history.run(6)
    assert max(streams.closed_s + history.closed_s) <= CLOSED_S_MAX


async def test_a_gap_of_the_venue_is_asked_for_at_most_three_times_a_day() -> None:
    for seed in (11, 48):  # longer than a page, of one symbol alone, read in parts
        one = SilentVenue(seed)
        await one.run(days=1)
        assert max(one.own.values()) <= 3
        assert max(one.others.values()) <= 3
        assert one.labels["no_trades"]
        assert one.listing <= 4


async def test_no_bar_is_final_before_its_end() -> None:
    stream, pages = EarlyStream(1), EarlyPages(1)
    await stream.run(60)
    await pages.run(60)
    assert (stream.cases, pages.cases) == (60, 60)
    assert stream.too_early == 0
    assert pages.too_early == 0
    assert pages.kept


async def test_orders_pass_whoever_sets_a_clock() -> None:
    one = WrongClocks(1)
    await one.run(60)
    assert len(one.placed) == 60
    assert 0 < one.refused <= one.theirs_set < one.ours_set


async def test_a_symbol_that_is_delisted_takes_nothing_from_others() -> None:
    one = Delistings(1)
    await one.run(40)
    assert one.whole + one.told == 200
    assert one.told
    assert one.back_s
    assert max(one.back_s) <= BACK_S_MAX


async def test_a_venue_that_is_down_is_asked_twice_a_minute() -> None:
    one = ClosedDoors(2)
    await one.run(windows=0, maintenances=1, maintenance_s=600)
    assert max(one.per_minute) <= 2.0
    assert max(one.resumed_s) <= RESUME_S_MAX


async def test_spoiled_answers_are_read_or_refused() -> None:
    one = Malformed(1)
    await one.run(200)
    assert sum(one.met.values()) == 200
    assert one.met["provider_malformed_answer"] > 20


async def test_a_closed_door_is_not_knocked_at() -> None:
    one = ClosedDoors(1)
    await one.run(windows=4, maintenances=0, unnamed=1)
    assert sum(one.later.values()) == 0
    assert max(one.under_way) <= 3
    assert one.unnamed_s
    assert min(one.unnamed_s) >= TOO_OFTEN_S - 0.5


def test_names_that_name_nothing_are_refused(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        address = urlsplit(server.url)
        attack = Attack(address.hostname or "", address.port or 0)
        asyncio.run(attack.run(range(5), 200))
    assert attack.bad == []
    assert sum(attack.statuses.values()) == 1_000


async def test_guesses_are_few_and_the_owner_comes_in(tmp_path: Path) -> None:
    async with under_attack(tmp_path) as attack:
        await attack.from_one_address(500, 12.5)
        assert attack.looked_at <= 30
        assert attack.owner_elsewhere == attack.owner_known == [True]
        assert await attack.at_once(200) == BY_PAIR.free


async def test_writes_do_not_wait_for_two_hundred_slow_readers(postgres_url: str) -> None:
    one = SlowReaders()
    await one.run(postgres_url, writes=100, pause_s=0.005)
    assert one.at_once == READERS
    assert sorted(one.writes_s)[99] <= 1.0  # the share is small: one slow write is the slowest hundredth


@pytest.mark.parametrize("kind", KINDS)
async def test_writers_in_each_others_way_are_not_told_of_it(postgres_url: str, kind: Kind) -> None:
    one = Collisions(kind, 1)
    await one.run(postgres_url, wanted=8, within_s=10)
    assert one.met >= 2
    assert not one.surfaced


async def test_starts_that_are_killed_leave_no_half_schema(tmp_path: Path, postgres_url: str) -> None:
    files, schemas = MigrationKills(2), MigrationKills(2)
    await files.of_sqlite(tmp_path, 2)
    async with own_database(postgres_url) as url:
        await schemas.of_postgres(url, 1)
    assert (files.kills, schemas.kills) == (2, 1)

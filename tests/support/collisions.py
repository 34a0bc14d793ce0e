"""Writers to PostgreSQL in each other's way: deadlocks and serialization failures by the thousand."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

import asyncpg

from bench.generated import MINUTE_MS, START_MS, minute_bars
from tests.support.postgres_schemas import execute, own_database
from tradewright.domain.bars import Bars
from tradewright.domain.errors import StorageUnavailable
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.storage.postgres import PostgresBarStore, PostgresDatabase
from tradewright.storage.postgres.errors import Trouble
from tradewright.storage.postgres.session import Patience

Kind: TypeAlias = Literal["deadlocks", "serialization failures"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
SERIES: Final = 4
WRITERS: Final = 4
_SETTINGS: Final = {
    "deadlocks": "deadlock_timeout = '5ms'",
    "serialization failures": "default_transaction_isolation = 'repeatable read'",
}
_INTRUDERS_WAIT: Final = "SET deadlock_timeout = '60s'"
"""So that of two in a deadlock it is always we who are refused."""
_INTRUDERS_LOCK: Final = "UPDATE tradewright.series SET market = market WHERE symbol = $1"
_HOLD_S: Final = 0.002
_PAUSE_S: Final = 0.03
_REFUSE_SOME: Final = """
CREATE FUNCTION refuse_some() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF random() < 0.05 THEN RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001'; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER refuse_some AFTER INSERT OR UPDATE OR DELETE ON tradewright.coverage
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_some();
"""
"""No other program can make ours fail to serialize, since our writes do not ask for it."""
_MINUTE: Final = minute_bars(1)


class CountingDatabase(PostgresDatabase):
    """Counts what stood in the way of its calls."""

    met = 0

    def _may_help(self, trouble: Trouble, lost: int, duplicates: int, patience: Patience) -> bool:
        self.met += trouble is Trouble.COLLISION
        return super()._may_help(trouble, lost, duplicates, patience)


@dataclass
class Collisions:
    """What the writers of one seed met, and what they were told of it."""

    kind: Kind
    seed: int
    met: int = 0
    writes: int = 0
    surfaced: Counter[str] = field(default_factory=Counter)

    async def run(self, url: str, wanted: int, within_s: float) -> None:
        """Write until so many were met or the time is over. ``AssertionError`` where what was accepted is
        not there."""
        async with own_database(url) as own:
            name = own.rsplit("/", 1)[1]
            await execute(own, f"ALTER DATABASE {name} SET {_SETTINGS[self.kind]}")
            database = CountingDatabase(own, writers=2 * WRITERS)
            await database.open()
            try:
                await self._collide(own, database, wanted, within_s)
            finally:
                await database.close()
            self.met += database.met

    async def _collide(self, url: str, database: CountingDatabase, wanted: int, within_s: float) -> None:
        store, chance = PostgresBarStore(database), random.Random(self.seed)
        numbers, loop = itertools.count(), asyncio.get_running_loop()
        ends_s = loop.time() + within_s

        def go_on() -> bool:
            return database.met < wanted and loop.time() < ends_s

        async def write_on() -> None:
            while go_on():
                picked = chance.sample(range(SERIES), chance.randrange(2, SERIES + 1))
                await self._write(store, picked, next(numbers))

        await self._write(store, range(SERIES), next(numbers))
        if self.kind == "serialization failures":
            await execute(url, _REFUSE_SOME)
        async with asyncio.TaskGroup() as group:
            for number in range(WRITERS):
                group.create_task(write_on(), name=f"writer {number}")
            if self.kind == "deadlocks":
                group.create_task(_intrude(url, chance, go_on), name="intruder")

    async def _write(self, store: PostgresBarStore, picked: Sequence[int], number: int) -> None:
        """Import a minute of each of the series in one transaction."""
        bars = Bars(_MINUTE.time + number * MINUTE_MS, *_MINUTE.values())
        start_ms = START_MS + number * MINUTE_MS
        covered = IntervalSet.single(start_ms, start_ms + MINUTE_MS)
        self.writes += 1
        try:
            await store.import_bars([SeriesBars(_key(each), bars, covered) for each in picked], replace=True)
        except StorageUnavailable as error:
            self.surfaced[error.message] += 1
            return
        for each in picked:
            found, coverage = await store.read_with_coverage(_key(each), *covered.items[0])
            assert coverage.complete == covered, f"seed {self.seed}: what was accepted is not covered"
            assert found.equals(bars), f"seed {self.seed}: what was accepted is not there"


async def _intrude(url: str, chance: random.Random, go_on: Callable[[], bool]) -> None:
    """Another program that changes the rows of two series, in the order that is the other way round."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_INTRUDERS_WAIT)
        while go_on():
            async with connection.transaction(isolation="read_committed"):
                for number in sorted(chance.sample(range(SERIES), 2), reverse=True):
                    await connection.execute(_INTRUDERS_LOCK, _key(number).symbol)
                    await asyncio.sleep(chance.uniform(0, _HOLD_S))
            await asyncio.sleep(chance.uniform(0, _PAUSE_S))
    finally:
        connection.terminate()


def _key(number: int) -> SeriesKey:
    return SeriesKey("crypto", "kraken", f"S{number}/USD", "1m")

"""Every bar store and instrument store against the suite that is shipped, and against random histories."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.postgres_schemas import in_schemas
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import BarStore, EmptyAnswer, InstrumentStore, SeriesBars
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import ONE_MINUTE, Timeframe
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.storage.postgres import PostgresBarStore, PostgresDatabase, PostgresInstrumentStore
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase, SQLiteInstrumentStore
from tradewright.testing.bar_store_checks import compare, import_both, note_both, write_both
from tradewright.testing.store_material import KEY, StoreModel, bars_at, minute, minutes
from tradewright.testing.stores import (
    BAR_STORE_CHECKS,
    INSTRUMENT_STORE_CHECKS,
    RESTART_CHECKS,
    Check,
    OpenStores,
    Stores,
    check_bar_store,
)

CHECKS: Final = [*BAR_STORE_CHECKS, *INSTRUMENT_STORE_CHECKS]


@asynccontextmanager
async def in_memory(_name: str) -> AsyncIterator[Stores]:
    """Open stores that begin empty whatever their name."""
    bars = MemoryBarStore()
    yield Stores(bars, MemoryInstrumentStore(bars))


def in_files(directory: Path) -> OpenStores:
    """Return how to open SQLite stores, one file for each name."""

    @asynccontextmanager
    async def opened(name: str) -> AsyncIterator[Stores]:
        database = SQLiteDatabase(directory / f"{name}.sqlite3")
        await database.open()
        try:
            yield Stores(SQLiteBarStore(database), SQLiteInstrumentStore(database))
        finally:
            await database.close()

    return opened


POSTGRES: Final = ["postgresql", pytest.param("timescaledb", marks=pytest.mark.timescale)]
"""The stores on servers; which of the two kinds it is, the store itself finds out."""


async def _opening(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStores]:
    if kind == "memory":
        yield in_memory
    elif kind == "sqlite":
        yield in_files(tmp_path)
    else:
        url = request.getfixturevalue("postgres_url" if kind == "postgresql" else "timescale_url")
        async with in_schemas(url) as open_stores:
            yield open_stores


@pytest.fixture(params=["memory", "sqlite", *POSTGRES])
async def open_stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStores]:
    """Return how to open stores of one implementation."""
    async for opening in _opening(request.param, request, tmp_path):
        yield opening


@pytest.fixture(params=["sqlite", *POSTGRES])
async def open_durable(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStores]:
    """Return how to open stores of one implementation that outlives the process."""
    async for opening in _opening(request.param, request, tmp_path):
        yield opening


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_promises(open_stores: OpenStores, check: Check) -> None:
    async with open_stores(check.__name__) as stores:
        await check(stores)


@pytest.mark.parametrize("check", RESTART_CHECKS, ids=lambda check: check.__name__)
async def test_durability(open_durable: OpenStores, check: Callable[[OpenStores], Awaitable[None]]) -> None:
    await check(open_durable)


@pytest.mark.parametrize("kind", POSTGRES)
async def test_a_store_says_what_it_stands_on(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async for opening in _opening(kind, request, tmp_path):
        async with opening("described") as stores:
            assert (await stores.bars.describe()).kind == kind


@pytest.mark.parametrize("check", RESTART_CHECKS, ids=lambda check: check.__name__)
async def test_the_suite_finds_a_store_that_forgets(
    check: Callable[[OpenStores], Awaitable[None]],
) -> None:
    with pytest.raises(AssertionError):
        await check(in_memory)


class _KeepsWhatIsGone(MemoryBarStore):
    """A store with one fault: covered bars that a write does not name stay."""

    async def write(self, data: SeriesBars, *, outage: IntervalSet = NO_INTERVALS) -> None:
        for start, end in data.covered:
            kept = (await self.read(data.key, start, end)).merged_with(data.bars)
            data = SeriesBars(data.key, kept, data.covered)
        await super().write(data, outage=outage)


class _HalfImports(MemoryBarStore):
    """A store with one fault: batches before a refused one are stored."""

    async def import_bars(self, batches, *, replace, instruments=(), progress=None):  # type: ignore[no-untyped-def]
        counts = [await super(_HalfImports, self).import_bars([each], replace=replace) for each in batches]
        return counts[0] if counts else await super().import_bars([], replace=replace, progress=progress)


class _CutsBars(MemoryBarStore):
    """A store with one fault: the last bar of a range is made of the minutes inside the range."""

    async def read_resampled(
        self, instrument: InstrumentKey, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> Bars:
        minutes_inside = await self.read(instrument.series(ONE_MINUTE), start_ms, end_ms)
        return resample(minutes_inside, timeframe).between(start_ms, end_ms)


class _RaisesForNothing(MemoryBarStore):
    """A store with one fault: every write raises the revision."""

    writes = 0

    async def write(self, data: SeriesBars, *, outage: IntervalSet = NO_INTERVALS) -> None:
        self.writes += 1
        await super().write(data, outage=outage)

    async def revision(self, key: SeriesKey) -> int:
        return await super().revision(key) + self.writes


class _AnswersAgain(MemoryBarStore):
    """A store with one fault: an empty answer is told of what is covered since."""

    async def empty_answers(self, key: SeriesKey, start_ms: int, end_ms: int) -> tuple[EmptyAnswer, ...]:
        covered = (await self.coverage(key, start_ms, end_ms)).complete
        return tuple(EmptyAnswer(start, end, 1) for start, end in covered) or await super().empty_answers(
            key, start_ms, end_ms
        )


FAULTY: Final = [_KeepsWhatIsGone, _HalfImports, _CutsBars, _RaisesForNothing, _AnswersAgain]


@pytest.mark.parametrize("faulty", FAULTY)
async def test_the_suite_finds_a_fault(faulty: type[MemoryBarStore]) -> None:
    @asynccontextmanager
    async def opened(_name: str) -> AsyncIterator[Stores]:
        bars = faulty()
        yield Stores(bars, MemoryInstrumentStore(bars))

    with pytest.raises(AssertionError):
        await check_bar_store(opened, durable=False)


def test_the_stores_fit_their_ports() -> None:
    database, server = SQLiteDatabase(Path("never-opened")), PostgresDatabase("postgresql://nowhere/never")
    bars: list[BarStore] = [MemoryBarStore(), SQLiteBarStore(database), PostgresBarStore(server)]
    instruments: list[InstrumentStore] = [
        MemoryInstrumentStore(MemoryBarStore()),
        SQLiteInstrumentStore(database),
        PostgresInstrumentStore(server),
    ]
    assert len(bars) == len(instruments)


_indices = st.lists(st.integers(0, 12), max_size=6, unique=True).map(sorted)
_intervals = st.lists(st.tuples(st.integers(-2, 12), st.integers(1, 6)), max_size=3).map(
    lambda pairs: minutes(*((start, start + length) for start, length in pairs))
)
_batches = st.builds(
    lambda indices, covered, version: SeriesBars(KEY, bars_at(indices, version), covered),
    _indices,
    _intervals,
    st.integers(0, 2),
)


class SQLiteHistory(RuleBasedStateMachine):
    """Writes, imports and restarts in any order leave what the model says."""

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._directory = tempfile.TemporaryDirectory()
        self._model = StoreModel()
        self._open = AsyncExitStack()
        self._stores: Stores

    def _run(self, work: Callable[[BarStore], Awaitable[None]]) -> None:
        async def within_loop() -> None:
            await work(self._stores.bars)

        self._runner.run(within_loop())

    @initialize()
    def start(self) -> None:
        async def enter() -> None:
            opened = in_files(Path(self._directory.name))("history")
            self._stores = await self._open.enter_async_context(opened)

        self._runner.run(enter())

    @rule(data=_batches, outage=_intervals)
    def write(self, data: SeriesBars, outage: IntervalSet) -> None:
        self._run(lambda store: write_both(store, self._model, data, outage))

    @rule(empty=_intervals, answered_ms=st.integers(0, 3))
    def note_empty(self, empty: IntervalSet, answered_ms: int) -> None:
        self._run(lambda store: note_both(store, self._model, empty, answered_ms))

    @rule(data=_batches, replace=st.booleans())
    def import_bars(self, data: SeriesBars, replace: bool) -> None:
        self._run(lambda store: import_both(store, self._model, data, replace=replace))

    @rule()
    def restart(self) -> None:
        self._runner.run(self._open.aclose())
        self.start()

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "_stores"):
            start, end = minute(random.randrange(-3, 20)), minute(20)
            self._run(lambda store: compare(store, self._model, start, end, "the store differs"))

    def teardown(self) -> None:
        self._runner.run(self._open.aclose())
        self._runner.close()
        self._directory.cleanup()


SQLiteHistory.TestCase.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
test_any_history = SQLiteHistory.TestCase

"""The interfaces through which services reach the outside; each has one contract suite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import Instrument, InstrumentKey, SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet

CoverageKind: TypeAlias = Literal["complete", "outage"]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is known of a stretch of one series; the two sets don't overlap, what is in neither is unknown.

    In ``complete``, a time without a bar is a time without a trade.
    """

    complete: IntervalSet = NO_INTERVALS
    outage: IntervalSet = NO_INTERVALS

    @property
    def known(self) -> IntervalSet:
        """Where nothing needs to be asked for any more."""
        return self.complete.union(self.outage)


@dataclass(frozen=True, slots=True)
class SeriesBars:
    """Bars for one series, with the intervals for which they are all there is."""

    key: SeriesKey
    bars: Bars
    covered: IntervalSet


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """What an import did, in bars."""

    inserted: int
    unchanged: int
    replaced: int


class StoredBarDiffers(Exception):
    """An imported bar contradicts a stored one."""

    def __init__(self, key: SeriesKey, time_ms: int) -> None:
        super().__init__(f"the stored bar of {key.symbol} {key.timeframe} at {time_ms} differs")
        self.key = key
        self.time_ms = time_ms


class BarStore(Protocol):
    """Final bars with their coverage, durable.

    Every method may raise ``StorageUnavailable``. Writes of one call are one transaction. Another
    process may write at any time, and readers see it at their next call.
    """

    async def read(self, key: SeriesKey, start_ms: int, end_ms: int) -> Bars:
        """The stored bars that open in ``[start_ms, end_ms)``, ascending."""
        ...

    async def coverage(self, key: SeriesKey, start_ms: int, end_ms: int) -> Coverage:
        """What is known of ``[start_ms, end_ms)``, clipped to it."""
        ...

    async def read_with_coverage(self, key: SeriesKey, start_ms: int, end_ms: int) -> tuple[Bars, Coverage]:
        """Bars and coverage of one moment, which two calls would not promise."""
        ...

    async def write(self, data: SeriesBars, *, outage: IntervalSet = NO_INTERVALS) -> None:
        """Insert or replace the bars, remove stored bars inside ``covered`` that are not among them,
        and extend the coverage by ``covered`` and ``outage``."""
        ...

    async def import_bars(
        self,
        batches: Sequence[SeriesBars],
        *,
        replace: bool,
        instruments: Sequence[Instrument] = (),
        progress: Callable[[int], None] | None = None,
    ) -> ImportCounts:
        """Write all batches or nothing. Where a stored bar differs from one of theirs, or lies inside
        what they cover without being among them, ``StoredBarDiffers`` is raised unless ``replace``.
        ``instruments`` say what the batches are bars of; in the same transaction they are registered
        in the ``InstrumentStore`` beside this one, each under its batch's provider, and those that
        are there already are not touched. ``ValueError`` where one is of no batch.
        ``progress`` is told how many more bars are written, from any thread."""
        ...

    async def series(self, instrument: InstrumentKey) -> tuple[SeriesKey, ...]:
        """The series of an instrument that hold a bar or coverage."""
        ...

    async def extent(self, key: SeriesKey) -> tuple[int, int] | None:
        """Opening of the first and of the last stored bar, or None where there is none."""
        ...

    async def check(self) -> None:
        """Return where bars can be read and written now, at the cost of a tiny write; otherwise raise
        ``StorageUnavailable``. That somebody else is writing at the moment is no reason to."""
        ...


class InstrumentStore(Protocol):
    """The instruments that were ever listed by a venue or registered by ``BarStore.import_bars``."""

    async def save_listing(self, provider: str, market: str, instruments: Sequence[Instrument]) -> None:
        """Keep what the venue lists now; what it lists no more stays, as inactive, where bars are stored
        or an import registered it."""
        ...

    async def registered_providers(self, market: str) -> tuple[str, ...]:
        """The providers under which an import registered an instrument, ascending."""
        ...

    async def instruments(self, market: str, provider: str) -> tuple[Instrument, ...]:
        """All that are known, by symbol ascending."""
        ...

    async def instrument(self, key: InstrumentKey) -> Instrument | None:
        """One of them."""
        ...


class BusSubscription(Protocol):
    """What arrives on one channel, in the order of publication."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Messages as they come; ``BusGap`` is raised, once, where some were lost; then iterate again."""
        ...


class BusGap(Exception):
    """Messages were lost between the last one received and the next."""


class MessageBus(Protocol):
    """Publish and subscribe by channel name; delivery at most once, in order, without memory."""

    async def publish(self, channel: str, message: bytes) -> None:
        """Hand the message to those who are subscribed now."""
        ...

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[BusSubscription]:
        """From entering on, nothing published is missed without a ``BusGap``."""
        ...

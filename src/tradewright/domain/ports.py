"""The interfaces through which services reach the outside; each has one contract suite."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from tradewright.domain.backfills import BackfillJob, BackfillState, JobLease, JobPosition, JobReport
from tradewright.domain.bars import Bars
from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import TradewrightError
from tradewright.domain.instruments import Instrument, InstrumentKey, SeriesKey, Split
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.timeframes import Timeframe, Times

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
class EmptyAnswer:
    """At ``answered_ms`` (epoch ms) a venue had nothing to say of ``[start, end)``, which alone proves
    nothing: it may have been asked too early, or have a fault."""

    start: int
    end: int
    answered_ms: int


@dataclass(frozen=True, slots=True)
class NotedSilence:
    """An empty answer, and of which series."""

    key: SeriesKey
    empty: EmptyAnswer


@dataclass(frozen=True, slots=True)
class StoreDescription:
    """What a store stands on: ``kind`` is ``memory``, ``sqlite``, ``postgresql`` or ``timescaledb``,
    ``detail`` a sentence for the operator, without secrets."""

    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class KnownSplits:
    """The splits of an instrument as a venue told them at ``read_ms``, ascending by time."""

    splits: tuple[Split, ...]
    read_ms: int


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

    async def coverage_with_revision(
        self, key: SeriesKey, start_ms: int, end_ms: int
    ) -> tuple[Coverage, int]:
        """Coverage, and the revision as it was then or before: whatever is made of the coverage and of later
        reads is at least as new as the revision."""
        ...

    async def read_resampled(
        self, instrument: InstrumentKey, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> Bars:
        """Bars of ``timeframe`` made of the stored minutes, aligned to UTC, those that open in
        ``[start_ms, end_ms)``: one wherever at least one of its minutes is stored. Whether all of them
        are is for coverage to tell. Equal to resampling what ``read`` gives, volume within 1e-12.
        The cost grows with the bars returned, not with the minutes stored."""
        ...

    async def read_resampled_with_coverage(
        self, instrument: InstrumentKey, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> tuple[Bars, Coverage, int]:
        """What ``coverage_with_revision`` tells of the minutes and then what ``read_resampled`` gives, in one
        call: the bars are at least as new as the coverage, and that as the revision."""
        ...

    async def read_openings(self, key: SeriesKey, start_ms: int, end_ms: int) -> Times:
        """When the bars open that ``read`` gives, which costs less where nothing else is wanted."""
        ...

    async def read_resampled_openings(
        self, instrument: InstrumentKey, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> Times:
        """When the bars open that ``read_resampled`` gives."""
        ...

    async def revision(self, key: SeriesKey) -> int:
        """A number that rises whenever what was known of the series turned out otherwise: a stored bar
        was replaced by a different one or removed, one was added inside the known coverage, an outage
        became complete. Bars and coverage that are merely added leave it. 0 for an unknown series."""
        ...

    async def write(self, data: SeriesBars, *, outage: IntervalSet = NO_INTERVALS) -> None:
        """Insert or replace the bars, remove stored bars inside ``covered`` that are not among them,
        and extend the coverage by ``covered`` and ``outage``. What is covered, or an outage, is no
        empty answer any more."""
        ...

    async def write_many(self, batches: Sequence[SeriesBars]) -> None:
        """``write`` each of the batches, all in one transaction and at little more than the cost of one;
        ``ValueError`` where two are of one series."""
        ...

    async def note_empty(self, key: SeriesKey, empty: IntervalSet, answered_ms: int) -> None:
        """Remember that the venue answered nothing for these intervals. Where that was noted before, or
        is covered or an outage, what is known stays as it is."""
        ...

    async def empty_answers(self, key: SeriesKey, start_ms: int, end_ms: int) -> tuple[EmptyAnswer, ...]:
        """The noted empty answers inside ``[start_ms, end_ms)``, clipped to it, ascending; disjoint."""
        ...

    async def noted_silences(self, *, after_ms: int, until_ms: int, limit: int) -> tuple[NotedSilence, ...]:
        """What was noted as empty of any series at a time in ``(after_ms, until_ms]``, the oldest note first,
        at most ``limit``."""
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

    async def stored_instruments(
        self, *, after: InstrumentKey | None = None, limit: int = 1_000
    ) -> tuple[InstrumentKey, ...]:
        """The instruments with a bar or coverage in any timeframe, ascending, those after ``after``."""
        ...

    async def describe(self) -> StoreDescription:
        """What the store stands on."""
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

    async def save_splits(self, key: InstrumentKey, known: KnownSplits) -> None:
        """Keep what the venue says of the instrument's splits now, in place of what it said before."""
        ...

    async def splits(self, key: InstrumentKey) -> KnownSplits | None:
        """What was kept last; None where the venue was never asked."""
        ...


@dataclass(frozen=True, slots=True)
class UserCredential:
    """A user's key to a provider, decrypted for the instance that signs with it."""

    market: str
    provider: str
    testnet: bool
    credentials: Credentials


class UserCredentialSource(Protocol):
    """Who keeps the users' keys."""

    async def get(self, user_id: str, credential_id: str) -> UserCredential:
        """The credential; ``NotFound`` where that user has none of that id."""
        ...


class BackfillJobStore(Protocol):
    """Backfill jobs, durable, each with at most one owner at a time.

    An owner holds a lease, which ends unless it is renewed, and reports under the lease's token, which
    each claim and each cancellation raises: what is said with an old one changes nothing. ``now_ms`` is
    the caller's clock; processes that share a store must agree on it within a second or two, and where
    they don't, a lease ends early, and nothing else goes wrong. Every method may raise
    ``StorageUnavailable``.
    """

    async def add(self, job: BackfillJob, *, open_max: int, kept_max: int) -> bool:
        """Keep a new job; False, and nothing is kept, where ``open_max`` are open already. Of the finished
        ones only the newest ``kept_max`` stay."""
        ...

    async def get(self, job_id: str) -> BackfillJob | None:
        """One of them."""
        ...

    async def newest(self, limit: int, *, before: JobPosition | None = None) -> tuple[BackfillJob, ...]:
        """The newest jobs, newest first; those that stand behind ``before``."""
        ...

    async def claim(
        self, owner: str, *, now_ms: int, lease_ms: int, job_id: str | None = None
    ) -> tuple[BackfillJob, JobLease] | None:
        """The oldest job that nobody works at (queued, or its lease has ended) and from whose provider no
        other owner fetches, now running and leased; only ``job_id`` where that is given. None where there
        is none. So a provider is asked under one rate limit, whatever the number of owners."""
        ...

    async def report(self, lease: JobLease, report: JobReport, *, now_ms: int, lease_ms: int) -> bool:
        """Renew the lease and keep the report; False, and nothing changes, where it is another's now."""
        ...

    async def settle(
        self, lease: JobLease, report: JobReport, state: BackfillState, *, now_ms: int
    ) -> BackfillJob | None:
        """End the lease and leave the job in that state, ``queued`` for the next owner; None, and nothing
        changes, where it is another's now."""
        ...

    async def cancel(self, job_id: str, *, now_ms: int) -> BackfillJob | None:
        """Cancel the job where it is open, whoever works at it; the job as it is then, or None where
        there is none."""
        ...

    async def attend(self, server: str, *, now_ms: int, lease_ms: int) -> None:
        """Say that a server takes jobs until its lease ends; said again, the lease begins anew."""
        ...

    async def leave(self, server: str) -> None:
        """Say that the server takes no more jobs."""
        ...

    async def attended(self, *, now_ms: int) -> bool:
        """Whether any server takes jobs."""
        ...


class CacheUnavailable(TradewrightError):
    """The cache did not answer in time, refused, or is left alone because it failed just now."""

    code = "cache_unavailable"


class CacheRefused(CacheUnavailable):
    """The cache is there but would not do this (it is full, or may only be read); other calls may succeed."""


class Cache(ABC):
    """Bytes under keys, for a while. It may forget anything at any time, and holds nothing that could
    not be had elsewhere. Each method raises ``CacheUnavailable`` and nothing else, within its deadline."""

    @abstractmethod
    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The value of each key, None where there is none."""

    @abstractmethod
    async def set_many(self, items: Mapping[str, bytes], ttl_s: float) -> None:
        """Keep the values for at most ``ttl_s`` seconds."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of every connection; may be called twice."""


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


class LeasesUnavailable(TradewrightError):
    """Whoever keeps the leases did not answer in time, or refused."""

    code = "leases_unavailable"


@dataclass(frozen=True, slots=True)
class Lease:
    """What ``owner`` alone may do, by ``name``, until it runs out. Of one name a later lease has a higher
    ``token``, by which the acts of an owner that has lost its lease without knowing are told from those of
    the present one."""

    name: str
    owner: str
    token: int


class Leases(Protocol):
    """Who may do what, of all processes that share something; nobody for longer than they renew it.

    A lease that is kept by nobody any more, because it ran out or all was forgotten, may be had by anyone;
    its next token is higher all the same. Each method raises ``LeasesUnavailable`` and nothing else, within
    a deadline; then it is not known whether it was done.
    """

    async def acquire(self, name: str, owner: str, ttl_s: float) -> Lease | None:
        """Have the lease for so many seconds; None where another owner has it. Who has it already gets a
        new one in its place."""
        ...

    async def renew(self, leases: Sequence[Lease], ttl_s: float) -> Sequence[bool | None]:
        """Have each of them for so many seconds from now; False for one that is not the present one of its
        name any more, None where that can't be known now, though it can of others. One call, however many
        there are."""
        ...

    async def release(self, lease: Lease) -> None:
        """Let it go, where it is still the present one of its name."""
        ...

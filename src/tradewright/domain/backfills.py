"""Backfill jobs: a stretch of history that somebody asked to have, and how far it has come."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from tradewright.domain.instruments import InstrumentKey

BackfillState: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]

OPEN_STATES: Final[tuple[BackfillState, ...]] = ("queued", "running")
"""The states in which a job may still change."""


class JobPosition(NamedTuple):
    """Where a job stands among all, the newest first."""

    created_ms: int
    id: str


class BackfillJob(msgspec.Struct, frozen=True, kw_only=True):
    """The history of an instrument over ``[start, end)``, epoch ms.

    ``progress`` (0 to 1) is the share of the missing time that is settled: stored, or known to have no
    answer. ``bars`` counts what the job stored. ``missing_ms`` is what was missing when it began, null
    before; a job that is taken up again measures by it. ``error`` says why the job failed, or what an
    open one waits for.
    """

    id: str
    market: str
    provider: str
    symbol: str
    start: int
    end: int
    newest_first: bool = False
    state: BackfillState = "queued"
    progress: float = 0.0
    bars: int = 0
    missing_ms: int | None = None
    error: str | None = None
    created_ms: int
    updated_ms: int

    @property
    def instrument(self) -> InstrumentKey:
        """Whose history it is."""
        return InstrumentKey(self.market, self.provider, self.symbol)

    @property
    def open(self) -> bool:
        """Whether it may still change."""
        return self.state in OPEN_STATES

    @property
    def position(self) -> JobPosition:
        """Its place in the order of jobs."""
        return JobPosition(self.created_ms, self.id)


class JobLease(msgspec.Struct, frozen=True):
    """The right to work at a job until it ends. ``token`` rises with each owner, so that what an earlier
    one still has to say is told apart."""

    job_id: str
    owner: str
    token: int


class JobReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner says of its job."""

    progress: float
    bars: int
    missing_ms: int | None
    error: str | None = None

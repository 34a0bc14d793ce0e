"""A backfill as a command runs it: what it is asked for in words, followed to its end, and told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from tradewright.domain.backfills import BackfillJob
from tradewright.domain.errors import InvalidInput
from tradewright.domain.instruments import InstrumentKey
from tradewright.runtime.clock import Clock
from tradewright.services.backfill_manager import BackfillManager

_LOOK_S: Final = 0.2
_SHORTEST_MS_DIGITS: Final = 9
"""Fewer digits are a date: 20240131."""


class WantedHistory(NamedTuple):
    """A range of an instrument's history, in epoch ms; without an end it ends now."""

    key: InstrumentKey
    start_ms: int
    end_ms: int | None
    newest_first: bool


def read_time_ms(text: str) -> int:
    """A date (``2024-01-31``), a time (``2024-01-31T12:00``, in UTC unless it has an offset) or epoch ms;
    ``ValueError`` for anything else."""
    if text.isascii() and text.isdigit() and len(text) >= _SHORTEST_MS_DIGITS:
        return int(text)
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


async def ask_for(manager: BackfillManager, wanted: WantedHistory | str, clock: Clock) -> BackfillJob:
    """A new job, or the open one of that id; ``InvalidInput`` where it has ended."""
    if isinstance(wanted, str):
        job = await manager.get(wanted)
        if not job.open:
            raise InvalidInput(f"The backfill {job.id} is {job.state} and can't be resumed: ask for it anew.")
        return job
    end_ms = clock.now_ms() if wanted.end_ms is None else wanted.end_ms
    return await manager.submit(wanted.key, wanted.start_ms, end_ms, newest_first=wanted.newest_first)


async def follow(
    manager: BackfillManager, job: BackfillJob, clock: Clock, show: Callable[[BackfillJob], None]
) -> BackfillJob:
    """Work at the job while no server does, and show its state until it has ended."""
    manager.stand_in(job.id)
    while job.open:
        await clock.sleep(_LOOK_S)
        job = await manager.get(job.id)
        show(job)
    return job


def summary(job: BackfillJob) -> str:
    """What became of a job that has ended, in a sentence."""
    if job.state == "done":
        bars = "1 bar" if job.bars == 1 else f"{job.bars:,} bars"
        return (
            f"Stored {bars} of {job.symbol} from {job.provider}: what it has "
            f"from {_date(job.start)} to {_date(job.end)} is there."
        )
    why = job.error or "It was cancelled."
    return f"The backfill {job.id} is {job.state} at {job.progress:.0%}. {why}"


def line(job: BackfillJob) -> str:
    """A job in one line of a list."""
    text = (
        f"{job.id}  {job.state:<9} {job.progress:>4.0%} {job.bars:>10,} bars  {job.market} {job.provider} "
        f"{job.symbol}  {_date(job.start)} to {_date(job.end)}"
    )
    return f"{text}  {job.error}" if job.error else text


def _date(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")

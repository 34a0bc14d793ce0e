"""The times and bounds that backfills keep to."""

from __future__ import annotations

from dataclasses import dataclass, field

from tradewright.domain.timeframes import DAY_MS
from tradewright.runtime.retry import Backoff


@dataclass(frozen=True, slots=True)
class BackfillSettings:
    """Times in seconds. The defaults are what the documentation promises."""

    lease_s: float = 8.0
    renew_s: float = 2.0
    report_s: float = 1.0
    """The least time between two reports of progress of one job."""
    poll_s: float = 2.0
    """How often the store is asked for jobs that nobody works at, and for those of other processes."""
    jobs_at_once: int = 16
    chunks_at_once: int = 24
    """Over all jobs and providers."""
    lanes_max: int = 12
    """How many calls to one provider may be under way, where more of them get more done."""
    chunk_pages: int = 2
    open_jobs_max: int = 100
    finished_jobs_max: int = 1_000
    span_ms_max: int = 50 * 366 * DAY_MS
    turn_s: float = 60.0
    hold_s: float = 0.25
    """The least time for which a job holds the turn of its series, though a reader waits for it."""
    page_s: float = 60.0
    """How long one page is waited for, its turn at the provider's rate limit included."""
    quick_retry: Backoff = field(default_factory=lambda: Backoff(first_s=1.0, max_s=1.0))
    retry: Backoff = field(default_factory=lambda: Backoff(first_s=30.0, max_s=60.0, factor=1_000.0))
    """After the second failure in a row: at most two calls a minute to a venue that is down, and at most
    a minute until it is noticed to be back."""
    refusals_max: int = 5
    """How often in a row a venue may refuse or answer nonsense before the job fails."""
    unreachable_s_max: float = 24 * 3600.0
    store_retry_s: float = 5.0
    repair_calls_per_minute: int = 120
    repair_calls_beside_jobs: int = 30
    """The same while a job of the provider is at work."""
    repair_series_max: int = 512
    second_look_s: float = 600.0
    """How long after an empty answer a second one proves something."""
    silences_each_s: float = 30.0
    """How often the store is asked for noted silences of which a second look is due."""
    silences_back_s: float = 7 * 24 * 3600.0
    """How old a noted silence may be that is looked at again after a start."""
    left_alone_s: float = 24 * 3600.0
    """How long nobody repairs what was empty twice."""

"""Who watches jobs: each gets every change, and where it is slow, the latest of each job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from tradewright.domain.backfills import BackfillJob


class JobWatch:
    """Changes of jobs as they come, until it is left. At most one waits for each job."""

    def __init__(self, watchers: Watchers) -> None:
        self._watchers = watchers
        self._waiting: dict[str, BackfillJob] = {}
        self._changed = asyncio.Event()

    def __enter__(self) -> Self:
        self._watchers.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._watchers.remove(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BackfillJob:
        while not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.pop(next(iter(self._waiting)))

    @property
    def waiting(self) -> int:
        """How many changes can be had at once."""
        return len(self._waiting)

    def offer(self, job: BackfillJob) -> None:
        """Take a change."""
        self._waiting.pop(job.id, None)
        self._waiting[job.id] = job
        self._changed.set()


class Watchers:
    """All that watch, and what they were told last, so that nobody is told the same twice."""

    def __init__(self, kept_max: int, on_first: Callable[[], None]) -> None:
        self._kept_max = kept_max
        self._on_first = on_first
        self._watches: set[JobWatch] = set()
        self._told: dict[str, BackfillJob] = {}

    def __len__(self) -> int:
        return len(self._watches)

    def add(self, watch: JobWatch) -> None:
        """Tell it every change from now on."""
        self._watches.add(watch)
        if len(self._watches) == 1:
            self._on_first()

    def remove(self, watch: JobWatch) -> None:
        """Tell it nothing more."""
        self._watches.discard(watch)

    def _note(self, job: BackfillJob) -> None:
        self._told.pop(job.id, None)
        self._told[job.id] = job
        while len(self._told) > self._kept_max:
            del self._told[next(iter(self._told))]

    def tell(self, job: BackfillJob) -> None:
        """A job was seen in this state; told where that is news."""
        known = self._told.get(job.id)
        if known == job or (known is not None and known.updated_ms > job.updated_ms):
            return
        self._note(job)
        for watch in self._watches:
            watch.offer(job)

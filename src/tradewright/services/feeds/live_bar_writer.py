"""``LiveBarWriter``: the bars that all feeds of the process close, stored together."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final, NamedTuple

from tradewright.domain.errors import StorageUnavailable
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.ports import BarStore, SeriesBars
from tradewright.runtime.clock import Clock
from tradewright.runtime.feed_metrics import LiveBarMetrics
from tradewright.runtime.retry import Backoff
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.feeds.timing import Wakeup

_log = logging.getLogger(__name__)

GATHER_S: Final = 1.0
"""How long a closed bar waits for those of other feeds: at the end of a minute all of them close."""
BARS_MAX: Final = 50_000
"""More wait for no store: what comes first is given up, and is not covered, so that it is fetched later."""
SERIES_AT_ONCE: Final = 500
LAST_WRITE_S: Final = 2.0
_IDLE_S: Final = 3_600.0
_AGAIN: Final = Backoff(first_s=1.0, max_s=30.0)


def _always() -> bool:
    return True


class _Waiting(NamedTuple):
    data: SeriesBars
    still_ours: Callable[[], bool]


class LiveBarWriter:
    """Writes what feeds close in one task, many series at a time.

    A store that fails costs nothing for good: what could not be written waits, and what can't wait any
    longer is not covered, so that a reader or a repair fetches it from the venue.
    """

    def __init__(
        self,
        store: BarStore,
        clock: Clock,
        metrics: LiveBarMetrics | None = None,
        *,
        bars_max: int = BARS_MAX,
        rng: random.Random | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics or LiveBarMetrics()
        self._bars_max = bars_max
        self._rng = rng
        self._waiting: dict[SeriesKey, _Waiting] = {}
        self._bars = 0
        self._wakeup = Wakeup(clock)
        self._tasks = TaskSupervisor("live bars")
        self._failing = False
        self._unfinished = False

    def start(self) -> None:
        """Begin to write."""
        self._tasks.keep("write", self._run, self._clock)

    def keep(self, data: SeriesBars, still_ours: Callable[[], bool] = _always) -> None:
        """Take bars; they are stored about a second later. Once they are not ``still_ours`` to tell, they
        replace nothing that is known by then."""
        known = self._waiting.pop(data.key, None)
        if known is not None:
            self._bars -= len(known.data.bars)
            data = _joined(known.data, data)
        self._waiting[data.key] = _Waiting(data, still_ours)
        self._bars += len(data.bars)
        while self._bars > self._bars_max:
            oldest = self._waiting.pop(next(iter(self._waiting))).data
            self._bars -= len(oldest.bars)
            self._metrics.given_up(len(oldest.bars))
        self._metrics.waiting(self._bars)
        self._wakeup.set()

    async def close(self) -> None:
        """Write what waits, once, and end."""
        await self._tasks.close()
        try:
            async with asyncio.timeout(LAST_WRITE_S):
                await self.flush()
        except TimeoutError:
            _log.warning("the last live bars could not be stored in time; they will be fetched again")

    async def flush(self) -> bool:
        """Write what waits now; False where the store fails, and then it goes on waiting."""
        # What a defect keeps from being stored goes to the end, and may not keep the others there.
        series_at_once = 1 if self._unfinished else SERIES_AT_ONCE
        self._unfinished = True
        while self._waiting:
            keys = list(self._waiting)[:series_at_once]
            batches = [self._waiting.pop(key) for key in keys]
            taken = sum(len(batch.data.bars) for batch in batches)
            self._bars -= taken
            written = False
            try:
                await self._store.write_many(await self._due_of(batches))
                written = True
            except StorageUnavailable as error:
                self._note_failure(error)
                self._unfinished = False
                return False
            finally:
                if not written:  # failed, or cut off
                    self._put_back(batches)
            self._metrics.stored(taken)
            self._metrics.waiting(self._bars)
            if self._failing:
                self._failing = False
                _log.info("live bars are stored again")
        self._unfinished = False
        return True

    async def _due_of(self, batches: list[_Waiting]) -> list[SeriesBars]:
        """What of it is to be written: all that is still ours to tell, and of the rest what is new."""
        ours: list[SeriesBars] = []
        late: list[SeriesBars] = []
        for batch in batches:
            (ours if batch.still_ours() else late).append(batch.data)
        new = [await self._new_of(data) for data in late]
        return [*ours, *(data for data in new if data.covered)]

    async def _new_of(self, data: SeriesBars) -> SeriesBars:
        """The part of which the store knows nothing."""
        start, end = data.covered.items[0].start, data.covered.items[-1].end
        known = await self._store.coverage(data.key, start, end)
        new = data.covered.subtract(known.known)
        return SeriesBars(data.key, data.bars.inside(new), new)

    async def _run(self) -> None:
        delays = _AGAIN.delays(self._rng)
        while True:
            if not self._waiting:
                await self._wakeup.wait(_IDLE_S)
            await self._clock.sleep(GATHER_S)
            if await self.flush():
                delays = _AGAIN.delays(self._rng)
            else:
                await self._clock.sleep(next(delays))

    def _put_back(self, batches: list[_Waiting]) -> None:
        """What came meanwhile is newer."""
        for batch in batches:
            newer = self._waiting.pop(batch.data.key, None)
            if newer is None:
                self.keep(*batch)
            else:
                self._bars -= len(newer.data.bars)
                self.keep(_joined(batch.data, newer.data), newer.still_ours)

    def _note_failure(self, error: StorageUnavailable) -> None:
        self._metrics.failed()
        if not self._failing:
            self._failing = True
            _log.warning("live bars can't be stored now, and wait: %s", error.message)


def _joined(older: SeriesBars, newer: SeriesBars) -> SeriesBars:
    """What both say of one series, where the newer one knows better."""
    kept = older.bars.inside(older.covered.subtract(newer.covered))
    return SeriesBars(older.key, kept.merged_with(newer.bars), older.covered.union(newer.covered))

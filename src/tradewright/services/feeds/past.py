"""The history that snapshots of bars begin with, read once for all views that ask at about the same time."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Literal, NamedTuple, TypeAlias

from tradewright.domain.errors import (
    AuthenticationPluginError,
    CredentialsRequired,
    InvalidInput,
    LoginRequired,
    NotAllowed,
    NotFound,
    PluginFeatureNotSupportedError,
    TradewrightError,
    UnknownMarket,
    UnknownProvider,
    UnknownSymbol,
    UnknownTimeframe,
)
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.streams import Problem, StreamKey
from tradewright.runtime.clock import Clock
from tradewright.services.feeds.ports import History, HistoryAnswer
from tradewright.services.feeds.timing import within

_log = logging.getLogger(__name__)

LIFETIME_S: Final = 1.0
DEADLINE_S: Final = 15.0
LASTING: Final = frozenset(
    error.code
    for error in (
        AuthenticationPluginError,
        CredentialsRequired,
        InvalidInput,
        LoginRequired,
        NotAllowed,
        NotFound,
        PluginFeatureNotSupportedError,
        UnknownMarket,
        UnknownProvider,
        UnknownSymbol,
        UnknownTimeframe,
    )
)
"""The codes of problems that reading again hardly ends: somebody has to change something first. All others
(a venue or a store that is away, a deadline, a limit, a fault of ours) may be over the next time."""

Lack: TypeAlias = Literal["passing", "lasting"]
"""Why history lacks something."""


class Past(NamedTuple):
    """The newest bars, None where they can't be had; what went wrong; and when they were asked for."""

    answer: HistoryAnswer | None
    problems: tuple[Problem, ...]
    asked_at_s: float

    @property
    def lack(self) -> Lack | None:
        """Why it lacks something, if it does: for a while, or as good as for good. A cache that is away costs
        time alone."""
        codes = {problem.code for problem in self.problems if problem.source != "cache"}
        if not codes:
            return None
        return "lasting" if codes <= LASTING else "passing"


class PastReader:
    """Reads the newest bars of one stream."""

    def __init__(self, key: StreamKey, history: History, clock: Clock) -> None:
        self._key = key
        self._history = history
        self._clock = clock
        self._reads: dict[int, tuple[float, asyncio.Task[HistoryAnswer]]] = {}
        self._reading: set[asyncio.Task[HistoryAnswer]] = set()
        """All reads under way, also those whose answer is not wanted any more."""

    async def close(self) -> None:
        """Give up what is being read."""
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)

    async def read(self, count: int, since_s: float) -> Past:
        """The newest ``count`` bars at least, asked for at ``since_s`` or later, within ``LIFETIME_S``."""
        asked_at_s, task = self._join(count, since_s)
        # Not awaited itself: one view that leaves must not take the answer from the others.
        await asyncio.wait({task})
        error = None if task.cancelled() else task.exception()
        if error is None and not task.cancelled():
            answer = task.result()
            return Past(answer, answer.problems, asked_at_s)
        return Past(None, (_problem(error, self._key.topic),), asked_at_s)

    def _join(self, count: int, since_s: float) -> tuple[float, asyncio.Task[HistoryAnswer]]:
        now = self._clock.monotonic()
        for size, known in sorted(self._reads.items()):
            if size >= count and known[0] >= since_s and now - known[0] < LIFETIME_S:
                return known
        self._reads = {
            n: read for n, read in self._reads.items() if not read[1].done() or now - read[0] < LIFETIME_S
        }
        work = within(self._clock, DEADLINE_S, self._get_bars(count))
        task = asyncio.create_task(work, name=f"history of {self._key.topic}")
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # all may have left
        self._reads[count] = now, task
        return now, task

    async def _get_bars(self, count: int) -> HistoryAnswer:
        key = self._key
        series = SeriesKey(key.market, key.provider, key.symbol, key.timeframe or "")
        return await self._history.get_bars(series, limit=count)


def _problem(error: BaseException | None, topic: str) -> Problem:
    """What viewers are told. A fault of ours takes their history, and must not take what is live as well."""
    match error:
        case TradewrightError():
            return Problem("history", error.code, error.message)
        case TimeoutError():
            return Problem("history", "timeout", "The history could not be read in time.")
        case None:
            return Problem("history", "cancelled", "The history is not read any more.")
        case _:
            _log.error("the history of %s could not be read", topic, exc_info=error)
            return Problem("history", "internal_error", "The history could not be read.")

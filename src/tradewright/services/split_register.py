"""``SplitRegister``: the splits of stocks, kept for a day and asked for once however many want them."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final, TypeAlias

from tradewright.domain.errors import (
    CredentialsRequired,
    LimitExceeded,
    NetworkPluginError,
    PluginError,
    StorageUnavailable,
    TimeoutPluginError,
    UnknownSymbol,
)
from tradewright.domain.instruments import InstrumentKey, Split
from tradewright.domain.ports import InstrumentStore, KnownSplits
from tradewright.domain.timeframes import DAY_MS
from tradewright.runtime.clock import Clock
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.data_sources.door import DoorClosed
from tradewright.services.market_service import MarketService

_log = logging.getLogger(__name__)

LIFETIME_MS: Final = DAY_MS
CALL_DEADLINE_S: Final = 10.0
QUESTIONS_MAX: Final = 512

SplitProblem: TypeAlias = PluginError | CredentialsRequired | UnknownSymbol | StorageUnavailable


@dataclass(frozen=True, slots=True)
class SplitAnswer:
    """The splits that are known, ascending; None where the provider could never be asked. ``problem`` says
    why the newest may be missing."""

    splits: tuple[Split, ...] | None
    problem: SplitProblem | None = None


@dataclass(slots=True)
class _Question:
    """What is being asked, until there is an answer or a problem."""

    task: asyncio.Task[None] | None = None
    found: tuple[Split, ...] | None = None
    problem: SplitProblem | None = None


class SplitRegister:
    """Answers from the store; what is older than a day is asked for anew, by one for all.

    A reader waits until its own deadline. The question goes on without it, so that a later reader finds
    the answer.
    """

    def __init__(self, markets: MarketService, instruments: InstrumentStore, clock: Clock) -> None:
        self._markets = markets
        self._store = instruments
        self._clock = clock
        self._questions: dict[InstrumentKey, _Question] = {}
        self._tasks = TaskSupervisor("splits")

    async def close(self) -> None:
        """End what is still being asked."""
        await self._tasks.close()

    async def splits(self, key: InstrumentKey, deadline_s: float) -> SplitAnswer:
        """All splits of the instrument; the provider is waited for until ``deadline_s``, a time of the event
        loop. ``LimitExceeded`` where too much is being asked already."""
        known = await self._store.splits(key)
        stored = None if known is None else known.splits
        if known is not None and self._clock.now_ms() - known.read_ms < LIFETIME_MS:
            return SplitAnswer(stored)
        question = self._questions.get(key)
        if question is None:
            door = self._markets.doors.of(key.market, key.provider)
            if door.refusal() is not None:
                problem = NetworkPluginError(f"{key.provider} failed just now.", door.left_s or None)
                return SplitAnswer(stored, problem)
            question = self._begin(key)
        if question.task is not None and not question.task.done():
            left_s = deadline_s - asyncio.get_running_loop().time()
            await asyncio.wait({question.task}, timeout=max(0.0, left_s))
        if question.found is not None:
            return SplitAnswer(question.found)
        late = TimeoutPluginError(f"{key.provider} is still being asked for splits. Ask again in a moment.")
        return SplitAnswer(stored, question.problem or late)

    def _begin(self, key: InstrumentKey) -> _Question:
        if len(self._questions) >= QUESTIONS_MAX:
            raise LimitExceeded("Too many splits are being asked for at once.", retry_after_s=1.0)
        question = self._questions[key] = _Question()
        question.task = self._tasks.start(f"splits of {key.symbol}", self._ask(key, question))
        question.task.add_done_callback(lambda _: self._questions.pop(key, None))
        return question

    async def _ask(self, key: InstrumentKey, question: _Question) -> None:
        now_ms = self._clock.now_ms()
        try:
            await self._markets.instrument(key)  # a venue is not asked for what it does not list
            deadline_s = asyncio.get_running_loop().time() + CALL_DEADLINE_S
            async with (
                self._markets.plugin(key.market, key.provider) as plugin,
                self._markets.doors.of(key.market, key.provider).call(deadline_s),
            ):
                question.found = tuple(await plugin.fetch_splits(key.symbol))
        except DoorClosed as closed:
            question.problem = closed.again()
        except (PluginError, CredentialsRequired, UnknownSymbol, StorageUnavailable) as error:
            question.problem = error
        if question.found is None:
            return
        try:
            await self._store.save_splits(key, KnownSplits(question.found, now_ms))
        except StorageUnavailable as error:
            _log.warning("splits of %s could not be kept: %s", key.symbol, error.message)

"""The plugin under test: how instances of it are made, called within a deadline, and let go."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, TypeAlias, TypeVar

from tradewright.domain.timeframes import Timeframe
from tradewright.plugins.base import MarketPlugin

_T = TypeVar("_T")

MakePlugin: TypeAlias = Callable[[], MarketPlugin | Awaitable[MarketPlugin]]
"""Makes a fresh instance; called several times."""

Advance: TypeAlias = Callable[[float], Awaitable[object]]
"""Moves a driven clock on by some seconds, such as ``DrivenClock.advance``."""

BOOK_LEVELS: Final = 5
AT_ONCE_S: Final = 2.0
"""Within this a stream has to end when it is closed or cancelled."""
CLOCK_TOLERANCE_MS: Final = 1_000
"""How far a venue's clock may be from what we take for it."""
_ADVANCE_STEP_S: Final = 0.1
_THREE_HOURS_MS: Final = 3 * 3_600_000


class Attempt:
    """Turns whatever goes wrong inside, or takes too long, into an ``AssertionError`` with a sentence."""

    def __init__(self, what: str, deadline_s: float) -> None:
        self._what = what
        self._deadline_s = deadline_s
        self._timeout = asyncio.timeout(deadline_s)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise AssertionError(f"{self._what} was not done within {self._deadline_s:g} s.") from error
        while isinstance(error, BaseExceptionGroup):  # the first one names the failure
            error = error.exceptions[0]
        if isinstance(error, AssertionError):
            raise error
        if isinstance(error, Exception):
            raise AssertionError(  # noqa: TRY004  # what failed is a promise
                f"{self._what} failed with {type(error).__name__}: {error}"
            ) from error


@dataclass(frozen=True, slots=True)
class Subject:
    """What ``check_market_plugin`` was told, and the means to act on it."""

    make_plugin: MakePlugin
    market: str
    symbol: str
    history_ms: tuple[int, int] | None
    timeframe_names: Sequence[str] | None
    venue_now_ms: Callable[[], int] | None
    deadline_s: float
    advance: Advance | None
    book_levels: int

    def attempt(self, what: str) -> Attempt:
        """A scope for one thing that the plugin has to do within the deadline."""
        return Attempt(what, self.deadline_s)

    @asynccontextmanager
    async def instance(self) -> AsyncIterator[MarketPlugin]:
        """A fresh instance, closed at the end."""
        async with self.attempt("Making an instance"):
            made = self.make_plugin()
            plugin = await made if inspect.isawaitable(made) else made
        assert isinstance(plugin, MarketPlugin), (
            f"make_plugin made a {type(plugin).__name__}, not a MarketPlugin."
        )
        try:
            yield plugin
        finally:
            async with self.attempt("close()"):
                await plugin.close()

    async def now_ms(self, plugin: MarketPlugin) -> int:
        """The venue's time."""
        if self.venue_now_ms is not None:
            return self.venue_now_ms()
        async with self.attempt("venue_time_ms()"):
            return await plugin.venue_time_ms()

    async def history(self, plugin: MarketPlugin) -> tuple[int, int]:
        """An interval with bars."""
        if self.history_ms is not None:
            return self.history_ms
        now_ms = await self.now_ms(plugin)
        return now_ms - _THREE_HOURS_MS, now_ms

    def timeframes(self, plugin: MarketPlugin) -> tuple[Timeframe, ...]:
        """The timeframes to look at."""
        if self.timeframe_names is None:
            return plugin.timeframes
        return tuple(timeframe for timeframe in plugin.timeframes if timeframe.name in self.timeframe_names)

    async def while_time_passes(self, work: Awaitable[_T]) -> _T:
        """Await the work; a driven clock is moved on meanwhile."""
        if self.advance is None:
            return await work
        done = asyncio.Event()
        result, _ = await asyncio.gather(_signalling(work, done), self._move_clock(self.advance, done))
        return result

    async def _move_clock(self, advance: Advance, done: asyncio.Event) -> None:
        while not done.is_set():
            await advance(_ADVANCE_STEP_S)
            # Threads that the plugin computes in need real time, however fast the driven one runs.
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), 0.002)


async def _signalling(work: Awaitable[_T], done: asyncio.Event) -> _T:
    try:
        return await work
    finally:
        done.set()

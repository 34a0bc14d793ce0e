"""One connection at work for one call, and how long a call waits for a server that says nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import asyncpg

from tradewright.domain.errors import StorageUnavailable
from tradewright.storage.postgres.errors import DRIVER_ERRORS, NO_ANSWER

T = TypeVar("T")

_BOTH_TROUBLES: Final = 1.2
"""So many times the longest silence a call takes whose server went away, came back, and fell silent."""
_LEAST_OF_STEP: Final = 0.25


class Patience:
    """How long one call may take: ``total_s`` in all, and ``step_s`` without a sign of life.

    A frozen server gives no sign, so a call ends after ``step_s``; one that works through much, or
    waits for a lock that is held, answers again and again and may take the whole time. A server that went
    away within the call is given less: both troubles together take little longer than one.
    """

    def __init__(self, total_s: float, step_s: float) -> None:
        self._step_s = step_s
        self._waited_s = 0.0
        self._began = _now_s()
        self._ends = self._began + total_s
        self._went_away = False

    @property
    def left_s(self) -> float:
        """How long the call may still take if the server goes on answering."""
        return self._ends - _now_s()

    @property
    def taken_s(self) -> float:
        """How long the call has taken so far."""
        return _now_s() - self._began

    def went_away(self) -> None:
        """Note that the server did, and that the call is tried again."""
        self._went_away = True

    def _silence_s(self) -> float:
        """How long may be waited now without a sign of life."""
        left_s = self._step_s - self._waited_s
        if not self._went_away:
            return left_s
        both_s = self._step_s * _BOTH_TROUBLES - self.taken_s
        return min(left_s, max(both_s, self._step_s * _LEAST_OF_STEP))

    @asynccontextmanager
    async def step(self, *, of_server: bool = True) -> AsyncIterator[None]:
        """Within it, one answer is awaited; ``StorageUnavailable`` when it does not come in time.

        Only waiting counts, not what the program does between two answers. Where it is not
        ``of_server`` but of somebody in this process, it is no sign of life.
        """
        began = _now_s()
        try:
            async with asyncio.timeout_at(min(self._ends, began + self._silence_s())):
                yield
        except TimeoutError:
            raise StorageUnavailable(NO_ANSWER) from None
        except asyncpg.PostgresError:
            self._waited_s = 0.0  # a refusal is a sign of life as well
            raise
        except OSError:
            self._waited_s += _now_s() - began
            raise
        self._waited_s = 0.0 if of_server else self._waited_s + _now_s() - began


def _now_s() -> float:
    return asyncio.get_running_loop().time()


class Session:
    """A connection that one call has for itself. Each statement ends with the patience, or before.

    Nothing here waits for a cancelled statement, as the driver would: whoever owns the session ends
    the connection instead.
    """

    def __init__(self, connection: Any, patience: Patience) -> None:  # the driver has no types
        self._connection = connection
        self._patience = patience
        self.interrupted = False
        """Whether a statement was left before its answer came, so that nobody can use the connection."""
        self.commit_sent = False
        """Whether the outcome of the transaction is in the server's hands."""

    async def row(self, statement: str, *values: object) -> asyncpg.Record:
        """The first row; the statement has one."""
        found = await self.row_or_none(statement, *values)
        assert found is not None
        return found

    async def row_or_none(self, statement: str, *values: object) -> asyncpg.Record | None:
        """The first row, or None where there is none."""
        return await self._answer(self._connection.fetchrow(statement, *values))

    async def rows(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """All rows."""
        return await self._answer(self._connection.fetch(statement, *values))

    async def run(self, statement: str, *values: object) -> None:
        """Run a statement whose answer is of no interest."""
        await self._answer(self._connection.execute(statement, *values))

    async def run_for_each(self, statement: str, values: Sequence[Sequence[object]]) -> None:
        """Run a statement once for each row of values, all in one go."""
        if values:
            await self._answer(self._connection.executemany(statement, values))

    async def copy_in(self, table: str, columns: Sequence[str], data: memoryview) -> None:
        """Put rows in COPY's binary form into a table of the search path."""
        copying = self._connection.copy_to_table(table, columns=columns, source=data, format="binary")
        await self._answer(copying)

    async def commit(self) -> None:
        """End the transaction; should this fail, it may have been committed."""
        self.commit_sent = True
        await self.run("COMMIT")

    async def _answer(self, asking: Awaitable[T]) -> T:
        self.interrupted = True
        try:
            async with self._patience.step():
                answer = await asking
        except DRIVER_ERRORS:
            self.interrupted = False
            raise
        self.interrupted = False
        return answer

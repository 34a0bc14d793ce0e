"""The audit log in ``auth_db``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from sqlalchemy import Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tradewright.domain.people import AUDIT_BEGINNING, AuditEvent, NewAuditEvent
from tradewright.storage.people.auth_models import AuditRow
from tradewright.storage.people.database import PeopleDatabase, hold

_PAGE: Final = 500


class SqlAuditStore:
    """``AuditStore`` over SQLAlchemy; events are appended one at a time, whoever writes them."""

    def __init__(self, database: PeopleDatabase) -> None:
        self._database = database

    async def append(self, event: NewAuditEvent) -> AuditEvent:
        last = select(AuditRow.position, AuditRow.digest).order_by(AuditRow.position.desc()).limit(1)

        async def work(connection: AsyncConnection) -> AuditEvent:
            await hold(connection, "audit")
            row = (await connection.execute(last)).one_or_none()
            written = event.chained(*((row.position, row.digest) if row else (0, AUDIT_BEGINNING)))
            values = {**msgspec.structs.asdict(written), "details": _json(written.details)}
            await connection.execute(insert(AuditRow).values(**values))
            return written

        return await self._database.write(work)

    async def newest(
        self, *, limit: int = 100, before: int | None = None, user_id: str | None = None
    ) -> tuple[AuditEvent, ...]:
        query = select(AuditRow).order_by(AuditRow.position.desc()).limit(limit)
        if before is not None:
            query = query.where(AuditRow.position < before)
        if user_id is not None:
            query = query.where(AuditRow.user_id == user_id)

        async def work(connection: AsyncConnection) -> tuple[AuditEvent, ...]:
            return tuple(_event(row) for row in await connection.execute(query))

        return await self._database.read(work)

    async def all(self) -> AsyncIterator[AuditEvent]:
        behind = 0
        while True:
            query = select(AuditRow).where(AuditRow.position > behind).order_by(AuditRow.position)

            async def page(connection: AsyncConnection, query: Any = query) -> list[AuditEvent]:
                return [_event(row) for row in await connection.execute(query.limit(_PAGE))]

            events = await self._database.read(page)
            for event in events:
                yield event
            if len(events) < _PAGE:
                return
            behind = events[-1].position


def _json(details: dict[str, object]) -> str:
    return msgspec.json.encode(details, order="deterministic").decode()


def _event(row: Row[Any]) -> AuditEvent:
    return AuditEvent(**{**row._mapping, "details": msgspec.json.decode(row.details)})

"""The audit log: what was done to accounts, by whom and from where."""

from __future__ import annotations

from typing import Final

from tradewright.domain.people import AuditEvent, NewAuditEvent
from tradewright.domain.people_stores import AuditStore
from tradewright.runtime.clock import Clock
from tradewright.services.auth.visits import Visit

TEXT_MAX: Final = 200


class AuditLog:
    """Writes events, and reads them for administrators. Details are short and hold no secret."""

    def __init__(self, store: AuditStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def note(
        self,
        kind: str,
        visit: Visit,
        *,
        user_id: str | None = None,
        actor_id: str | None = None,
        **details: str | int | bool | None,
    ) -> None:
        """Write an event; ``StorageUnavailable`` where it can't be, so that nothing is done unseen."""
        shown = {
            name: _one_line(value) if isinstance(value, str) else value
            for name, value in details.items()
            if value is not None
        }
        await self._store.append(
            NewAuditEvent(
                time_ms=self._clock.now_ms(),
                kind=kind,
                user_id=user_id,
                actor_id=actor_id if actor_id is not None else user_id,
                address=_one_line(visit.address),
                request_id=_one_line(visit.request_id),
                details=shown,
            )
        )

    async def newest(
        self, *, limit: int, before: int | None = None, user_id: str | None = None
    ) -> tuple[AuditEvent, ...]:
        """The newest events, newest first."""
        return await self._store.newest(limit=limit, before=before, user_id=user_id)


def _one_line(text: str) -> str:
    """The text, bounded, with everything escaped that could end a line or deceive who reads it."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:TEXT_MAX])

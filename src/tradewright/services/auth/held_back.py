"""Tries that were held back, in the audit log: as sums, since whoever tries does so at will."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from tradewright.domain.errors import StorageUnavailable
from tradewright.runtime.clock import Clock
from tradewright.services.auth.audit import AuditLog
from tradewright.services.auth.visits import Visit

_log = logging.getLogger(__name__)

TOLD_AFTER_S: Final = 10.0
TOLD_EVERY_MS: Final = 10 * 60_000
ACCOUNTS_MAX: Final = 10_000


@dataclass(slots=True)
class _Sum:
    """What has not been told yet, where the last of it came from, and when some was last told."""

    tries: int
    visit: Visit
    told_ms: int | None = None


class HeldBack:
    """Counts what was held back for each account, and for all names together that nobody has.

    The first is in the log within ``TOLD_AFTER_S``, and after that the sum of what came since, at most every
    ``TOLD_EVERY_MS``: an attacker can neither fill the log nor hide one attack behind another. Nothing is
    written while somebody waits for an answer, so that its time does not tell whether a name is somebody's.
    """

    def __init__(self, audit: AuditLog, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock
        self._sums: dict[tuple[str, str | None], _Sum] = {}

    def count(self, kind: str, user_id: str | None, visit: Visit) -> None:
        """One more was held back: a try at that user's account, or at a name that nobody has (None)."""
        key = kind, user_id
        if key not in self._sums and len(self._sums) >= ACCOUNTS_MAX:
            key = kind, None
        kept = self._sums.setdefault(key, _Sum(0, visit))
        kept.tries += 1
        kept.visit = visit

    async def run(self) -> None:
        """Tell it in time, until cancelled."""
        while True:
            await self._clock.sleep(TOLD_AFTER_S)
            await self.tell()

    async def tell(self, *, everything: bool = False) -> None:
        """Write what is due, or everything; what can't be written now is kept for the next time."""
        now_ms = self._clock.now_ms()
        for (kind, user_id), kept in list(self._sums.items()):
            due = kept.told_ms is None or now_ms - kept.told_ms >= TOLD_EVERY_MS
            if not kept.tries:
                if due:
                    del self._sums[kind, user_id]
                continue
            if not (due or everything):
                continue
            tries, kept.tries = kept.tries, 0
            try:
                await self._audit.note(kind, kept.visit, user_id=user_id, tries=tries)
            except StorageUnavailable as error:
                kept.tries += tries
                _log.warning("What was held back could not be noted: %s", error)
                return
            kept.told_ms = now_ms

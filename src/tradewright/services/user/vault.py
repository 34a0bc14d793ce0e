"""Opens users' keys for the instances that sign with them, and for nobody else."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, cast

from tradewright.domain.capabilities import CredentialFieldName
from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import NotFound, StorageUnavailable
from tradewright.domain.people import StoredCredential
from tradewright.domain.people_stores import PeopleStores
from tradewright.domain.ports import UserCredential
from tradewright.runtime.clock import Clock
from tradewright.runtime.logging import request_id_var
from tradewright.services.auth.audit import AuditLog
from tradewright.services.auth.visits import Visit
from tradewright.services.encryption_service import EncryptionService, SealingContext

_log = logging.getLogger(__name__)

_NOTED_EVERY_MS: Final = 60_000
AUDITED_EVERY_MS: Final = 3_600_000
"""A key that is in use all day stands in the audit log once an hour, for each process that uses it."""
_AUDITED_MAX: Final = 10_000


class CredentialVault:
    """A ``UserCredentialSource`` over what is stored sealed.

    Each record is bound to its user, its id, its provider and its fields: in another's place it does not
    open (``SealedUnreadable``). Where the operator's key is not here, ``SealingKeyMissing``; nothing is lost.
    """

    def __init__(self, stores: PeopleStores, encryption: EncryptionService, clock: Clock) -> None:
        self._store = stores.credentials
        self._users = stores.users
        self._audit = AuditLog(stores.audit, clock)
        self._encryption = encryption
        self._clock = clock
        self._audited_ms: OrderedDict[str, int] = OrderedDict()

    async def get(self, user_id: str, credential_id: str) -> UserCredential:
        """The key of a user who may come in; ``NotFound`` where there is none of that id. That it was used is
        noted, in the audit log now and then."""
        kept = await self._kept(user_id, credential_id)
        found = UserCredential(kept.market, kept.provider, kept.testnet, self.open(kept))
        await self._note_use(kept)
        return found

    async def peek(self, user_id: str, credential_id: str) -> UserCredential:
        """The same, without a note."""
        kept = await self._kept(user_id, credential_id)
        return UserCredential(kept.market, kept.provider, kept.testnet, self.open(kept))

    def seal(self, kept: StoredCredential, fields: Mapping[CredentialFieldName, str]) -> bytes:
        """The fields, sealed for the place of this record."""
        return self._encryption.seal(_context(kept), cast("Mapping[str, str]", fields))

    def open(self, kept: StoredCredential) -> Credentials:
        """What the record holds."""
        fields = self._encryption.open(_context(kept), kept.sealed)
        return Credentials(cast("dict[CredentialFieldName, str]", fields))

    async def _kept(self, user_id: str, credential_id: str) -> StoredCredential:
        kept = await self._store.get(user_id, credential_id)
        record = await self._users.get(user_id) if kept is not None else None
        if kept is None or record is None or record.user.disabled:
            raise NotFound("There is no such credential.")
        return kept

    async def _note_use(self, kept: StoredCredential) -> None:
        now_ms = self._clock.now_ms()
        try:
            if kept.last_used_ms is None or now_ms - kept.last_used_ms >= _NOTED_EVERY_MS:
                await self._store.replace(kept, replace(kept, last_used_ms=now_ms))
            await self._audit_use(kept, now_ms)
        except StorageUnavailable as error:
            # An order must not fail because this can't be written down.
            _log.warning("The use of a credential could not be noted: %s", error)

    async def _audit_use(self, kept: StoredCredential, now_ms: int) -> None:
        before_ms = self._audited_ms.get(kept.id)
        if before_ms is not None and now_ms - before_ms < AUDITED_EVERY_MS:
            return
        visit = Visit(request_id=request_id_var.get() or "")
        await self._audit.note("credential.used", visit, user_id=kept.user_id, credential=kept.id,
                               provider=kept.provider, market=kept.market, testnet=kept.testnet)  # fmt: skip
        self._audited_ms[kept.id] = now_ms
        self._audited_ms.move_to_end(kept.id)
        if len(self._audited_ms) > _AUDITED_MAX:
            self._audited_ms.popitem(last=False)


def _context(kept: StoredCredential) -> SealingContext:
    network = "test network" if kept.testnet else "venue"
    return SealingContext("credential", kept.user_id, kept.id, f"{kept.market}/{kept.provider}/{network}")

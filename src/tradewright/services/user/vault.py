"""Opens users' keys for the instances that sign with them, and for nobody else."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, cast

from tradewright.domain.capabilities import CredentialFieldName
from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import NotFound, StorageUnavailable
from tradewright.domain.people import StoredCredential
from tradewright.domain.people_stores import CredentialStore, UserStore
from tradewright.domain.ports import UserCredential
from tradewright.runtime.clock import Clock
from tradewright.services.encryption_service import EncryptionService, SealingContext

_log = logging.getLogger(__name__)

_NOTED_EVERY_MS: Final = 60_000


class CredentialVault:
    """A ``UserCredentialSource`` over what is stored sealed.

    Each record is bound to its user, its id, its provider and its fields: in another's place it does not
    open (``SealedUnreadable``). Where the operator's key is not here, ``SealingKeyMissing``; nothing is lost.
    """

    def __init__(
        self, store: CredentialStore, users: UserStore, encryption: EncryptionService, clock: Clock
    ) -> None:
        self._store = store
        self._users = users
        self._encryption = encryption
        self._clock = clock

    async def get(self, user_id: str, credential_id: str) -> UserCredential:
        """The key of a user who may come in; ``NotFound`` where there is none of that id. That it was used is
        noted."""
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
        if kept.last_used_ms is not None and now_ms - kept.last_used_ms < _NOTED_EVERY_MS:
            return
        try:
            await self._store.replace(kept, replace(kept, last_used_ms=now_ms))
        except StorageUnavailable as error:
            # An order must not fail because this can't be written down.
            _log.warning("The use of a credential could not be noted: %s", error)


def _context(kept: StoredCredential) -> SealingContext:
    network = "test network" if kept.testnet else "venue"
    return SealingContext("credential", kept.user_id, kept.id, f"{kept.market}/{kept.provider}/{network}")

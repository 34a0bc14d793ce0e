"""Seals everything anew under the present encryption key, while the server runs.

Each record is one compare-and-swap, so a rotation may be ended at any point and begun again: what is done is
known by the id of the key in the record itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol

from tradewright.domain.people_stores import CanaryStore, CredentialStore, UserStore
from tradewright.services.encryption_service import EncryptionService, SealedUnreadable

_PAGE: Final = 100
_TRIES_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class SealedStores:
    """Where sealed records are kept."""

    users: UserStore
    credentials: CredentialStore
    canary: CanaryStore


@dataclass(slots=True)
class RotationReport:
    """What was found and done; ``unreadable`` names records that can't be opened, which stay as they are."""

    resealed: int = 0
    current: int = 0
    unreadable: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything is under the present key now."""
        return not self.unreadable


class _Record(Protocol):
    name: str

    async def read(self) -> bytes | None: ...

    async def replace(self, old: bytes, new: bytes) -> bool: ...


async def reseal_all(stores: SealedStores, encryption: EncryptionService) -> RotationReport:
    """Bring every sealed record under the present key; may be ended at any point and called again."""
    report = RotationReport()
    async for record in _records(stores):
        for _ in range(_TRIES_MAX):
            blob = await record.read()
            if blob is None or await _reseal(record, blob, encryption, report):
                break
        else:
            report.unreadable += (record.name,)
    return report


async def _reseal(
    record: _Record, blob: bytes, encryption: EncryptionService, report: RotationReport
) -> bool:
    """Whether there is nothing more to do; False where somebody changed the record meanwhile."""
    try:
        if encryption.is_current(blob):
            report.current += 1
            return True
        new = encryption.reseal(blob)
    except SealedUnreadable:
        report.unreadable += (record.name,)
        return True
    if not await record.replace(blob, new):
        return False
    report.resealed += 1
    return True


async def _records(stores: SealedStores) -> AsyncIterator[_Record]:
    yield _Canary(stores.canary)
    after: str | None = None
    while users := await stores.users.users(after=after, limit=_PAGE):
        for user in users:
            yield _SecondFactor(stores.users, user.id)
        after = users[-1].id
    after = None
    while credentials := await stores.credentials.all(after=after, limit=_PAGE):
        for credential in credentials:
            yield _Credential(stores.credentials, credential.user_id, credential.id)
        after = credentials[-1].id


class _Canary:
    name = "canary"

    def __init__(self, store: CanaryStore) -> None:
        self._store = store

    async def read(self) -> bytes | None:
        return await self._store.kept()

    async def replace(self, old: bytes, new: bytes) -> bool:
        return await self._store.reseal(old, new)


class _SecondFactor:
    def __init__(self, store: UserStore, user_id: str) -> None:
        self._store = store
        self._user_id = user_id
        self.name = f"second factor of user {user_id}"

    async def read(self) -> bytes | None:
        record = await self._store.get(self._user_id)
        return None if record is None else record.totp_secret

    async def replace(self, old: bytes, new: bytes) -> bool:
        return await self._store.reseal_totp(self._user_id, old, new)


class _Credential:
    def __init__(self, store: CredentialStore, user_id: str, credential_id: str) -> None:
        self._store = store
        self._user_id = user_id
        self._id = credential_id
        self.name = f"credential {credential_id} of user {user_id}"

    async def read(self) -> bytes | None:
        found = await self._store.get(self._user_id, self._id)
        return None if found is None else found.sealed

    async def replace(self, old: bytes, new: bytes) -> bool:
        return await self._store.reseal(self._id, old, new)

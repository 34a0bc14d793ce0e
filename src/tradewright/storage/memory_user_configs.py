"""What ``user_configs_db`` keeps, in memory; and all that is kept of people together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from tradewright.domain.errors import Conflict
from tradewright.domain.people import StoredCredential
from tradewright.domain.people_stores import PeopleStores
from tradewright.storage.memory_canary import MemoryCanaryStore
from tradewright.storage.memory_people import (
    MemoryApiTokenStore,
    MemoryAttemptStore,
    MemoryAuditStore,
    MemoryAuth,
    MemoryInviteStore,
    MemorySessionStore,
    MemoryUserStore,
)


class MemoryPreferenceStore:
    """``PreferenceStore`` in memory; documents are kept as JSON, so that nobody changes one from outside."""

    def __init__(self) -> None:
        self._documents: dict[str, bytes] = {}

    async def get(self, user_id: str) -> dict[str, object]:
        return msgspec.json.decode(self._documents.get(user_id, b"{}"), type=dict[str, object])

    async def merge(
        self, user_id: str, changes: Mapping[str, object], *, bytes_max: int
    ) -> dict[str, object] | None:
        merged = {**await self.get(user_id), **changes}
        document = msgspec.json.encode({name: value for name, value in merged.items() if value is not None})
        if len(document) > bytes_max:
            return None
        self._documents[user_id] = document
        return await self.get(user_id)

    async def delete(self, user_id: str) -> None:
        self._documents.pop(user_id, None)


class MemoryCredentialStore:
    """``CredentialStore`` in memory."""

    def __init__(self) -> None:
        self._credentials: dict[str, StoredCredential] = {}

    async def add(self, credential: StoredCredential, *, kept_max: int) -> bool:
        if len(await self.of_user(credential.user_id)) >= kept_max:
            return False
        if credential.id in self._credentials:
            raise Conflict("There is a credential of this id.")
        self._credentials[credential.id] = credential
        return True

    async def get(self, user_id: str, credential_id: str) -> StoredCredential | None:
        found = self._credentials.get(credential_id)
        return found if found is not None and found.user_id == user_id else None

    async def of_user(self, user_id: str) -> tuple[StoredCredential, ...]:
        found = [each for each in self._credentials.values() if each.user_id == user_id]
        return tuple(sorted(found, key=lambda each: (each.created_ms, each.id)))

    async def replace(self, old: StoredCredential, new: StoredCredential) -> bool:
        if (old.user_id, old.id) != (new.user_id, new.id) or self._credentials.get(old.id) != old:
            return False
        self._credentials[new.id] = new
        return True

    async def reseal(self, credential_id: str, old: bytes, new: bytes) -> bool:
        found = self._credentials.get(credential_id)
        if found is None or found.sealed != old:
            return False
        self._credentials[credential_id] = replace(found, sealed=new)
        return True

    async def delete(self, user_id: str, credential_id: str) -> bool:
        if await self.get(user_id, credential_id) is None:
            return False
        del self._credentials[credential_id]
        return True

    async def delete_all(self, user_id: str) -> tuple[str, ...]:
        gone = tuple(each.id for each in await self.of_user(user_id))
        for credential_id in gone:
            del self._credentials[credential_id]
        return gone

    async def all(self, *, after: str | None = None, limit: int = 100) -> tuple[StoredCredential, ...]:
        ids = sorted(each for each in self._credentials if after is None or each > after)
        return tuple(self._credentials[each] for each in ids[:limit])


def memory_people() -> PeopleStores:
    """Empty stores of every kind, all in memory."""
    auth = MemoryAuth()
    return PeopleStores(
        users=MemoryUserStore(auth),
        sessions=MemorySessionStore(auth),
        api_tokens=MemoryApiTokenStore(auth),
        invites=MemoryInviteStore(auth),
        attempts=MemoryAttemptStore(),
        audit=MemoryAuditStore(),
        canary=MemoryCanaryStore(),
        preferences=MemoryPreferenceStore(),
        credentials=MemoryCredentialStore(),
    )

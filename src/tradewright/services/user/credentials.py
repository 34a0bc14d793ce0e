"""A person's keys to providers: kept sealed, never shown again, tested at the venue, let go of at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from tradewright.domain.capabilities import Capability
from tradewright.domain.credentials import Credentials, KeyPermissions
from tradewright.domain.errors import (
    AuthenticationPluginError,
    Conflict,
    InvalidInput,
    LimitExceeded,
    NotFound,
    PluginError,
    PluginFeatureNotSupportedError,
    TimeoutPluginError,
)
from tradewright.domain.orders import Balance
from tradewright.domain.people import StoredCredential
from tradewright.domain.people_stores import CredentialStore, UserStore
from tradewright.plugins.base import MarketPlugin
from tradewright.runtime.clock import Clock
from tradewright.runtime.ids import new_id
from tradewright.services.auth.audit import AuditLog
from tradewright.services.auth.visits import Visit
from tradewright.services.market_service import MarketService
from tradewright.services.user.key_fields import checked_fields, hint_of
from tradewright.services.user.vault import CredentialVault

KEPT_MAX: Final = 50
TEST_DEADLINE_S: Final = 30.0
TESTS_MAX: Final = 8
"""So many tests run at once; of one person one."""
BALANCES_MAX: Final = 100
_TRIES_MAX: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCredential:
    """A key as its owner gives it."""

    market: str
    provider: str
    label: str
    testnet: bool
    fields: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialChanges:
    """What is to be changed: None leaves it. ``fields`` are those of a new key in the old one's place."""

    label: str | None = None
    fields: Mapping[str, str] | None = field(default=None, repr=False)
    withdrawal_accepted: bool | None = None


@dataclass(frozen=True, slots=True)
class CredentialCheck:
    """What the venue said of a key: what it may do, and what its account holds (not more than
    ``BALANCES_MAX`` currencies; None where it does not tell)."""

    credential: StoredCredential
    permissions: KeyPermissions
    balances: tuple[Balance, ...] | None


class CredentialDesk:
    """Everything is looked for by user and id: ``NotFound`` where that user has none of that id, whoever
    else has. Nobody is given a secret back."""

    def __init__(
        self,
        store: CredentialStore,
        users: UserStore,
        vault: CredentialVault,
        markets: MarketService,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._store = store
        self._users = users
        self._vault = vault
        self._markets = markets
        self._audit = audit
        self._clock = clock
        self._testing: set[str] = set()

    async def of_user(self, user_id: str) -> tuple[StoredCredential, ...]:
        """A user's, oldest first."""
        return await self._store.of_user(user_id)

    async def get(self, user_id: str, credential_id: str) -> StoredCredential:
        """One of them."""
        found = await self._store.get(user_id, credential_id)
        if found is None:
            raise _unknown()
        return found

    async def add(self, user_id: str, given: NewCredential, visit: Visit) -> StoredCredential:
        """Keep a key, without asking the venue. ``InvalidInput`` where it is none of that provider's,
        ``LimitExceeded`` where the user has ``KEPT_MAX``."""
        info = await self._markets.provider(given.market, given.provider)
        if given.testnet and not info.testnet:
            raise InvalidInput(f"{info.name} has no test network.", {"testnet": "there is none"})
        fields = checked_fields(info, given.fields)
        now_ms = self._clock.now_ms()
        made = StoredCredential(
            id=new_id(),
            user_id=user_id,
            market=given.market,
            provider=given.provider,
            label=given.label,
            testnet=given.testnet,
            sealed=b"",
            key_hint=hint_of(fields),
            created_ms=now_ms,
            changed_ms=now_ms,
        )
        made = replace(made, sealed=self._vault.seal(made, fields))
        if not await self._store.add(made, kept_max=KEPT_MAX):
            raise LimitExceeded(f"You have {KEPT_MAX} keys: delete some first.")
        if await self._users.get(user_id) is None:  # deleted meanwhile: nobody would remove it
            await self._store.delete_all(user_id)
            raise _unknown()
        await self._audit.note("credential.added", visit, user_id=user_id, credential=made.id,
                               provider=made.provider, market=made.market, testnet=made.testnet)  # fmt: skip
        return made

    async def change(
        self, user_id: str, credential_id: str, changes: CredentialChanges, visit: Visit
    ) -> StoredCredential:
        """Change it. With new ``fields`` it counts as never tested, and whatever uses the old key ends."""
        changed = await self._replaced(user_id, credential_id, lambda kept: self._changed(kept, changes))
        if changes.fields is not None:
            await self._markets.retire_account(user_id, credential_id)
        await self._audit.note(
            "credential.changed",
            visit,
            user_id=user_id,
            credential=credential_id,
            key=changes.fields is not None,
            withdrawal_accepted=changes.withdrawal_accepted,
        )
        return changed

    def _changed(self, kept: StoredCredential, changes: CredentialChanges) -> StoredCredential:
        new = kept
        if changes.label is not None:
            new = replace(new, label=changes.label)
        if changes.fields is not None:
            info = self._markets.listed_provider(kept.market, kept.provider)
            fields = checked_fields(info, changes.fields)
            new = replace(
                new,
                sealed=self._vault.seal(kept, fields),
                key_hint=hint_of(fields),
                changed_ms=max(self._clock.now_ms(), kept.changed_ms + 1),
                tested_ms=None,
                can_withdraw=None,
                withdrawal_accepted=False,
            )
        if changes.withdrawal_accepted is not None:
            if changes.withdrawal_accepted and new.can_withdraw is not True:
                raise Conflict(
                    "There is nothing to accept: as far as is known the key can't withdraw. Test it."
                )
            new = replace(new, withdrawal_accepted=changes.withdrawal_accepted)
        return new

    async def delete(self, user_id: str, credential_id: str, visit: Visit) -> None:
        """Remove it; whatever uses it ends."""
        if not await self._store.delete(user_id, credential_id):
            raise _unknown()
        await self._markets.retire_account(user_id, credential_id)
        await self._audit.note("credential.deleted", visit, user_id=user_id, credential=credential_id)

    async def forget(self, user_id: str) -> None:
        """Remove all of a user's; whatever uses them ends."""
        await self._store.delete_all(user_id)
        await self._markets.retire_account(user_id)

    # Asking the venue

    async def test(self, user_id: str, credential_id: str, visit: Visit) -> CredentialCheck:
        """Ask the venue with that key what it may do, and what the account holds.

        A plugin's error says why that could not be told; ``AuthenticationPluginError``: the venue does not
        take the key, and it counts as never tested. ``LimitExceeded`` where a test of the user's, or
        ``TESTS_MAX``, run already.
        """
        kept = await self.get(user_id, credential_id)
        if user_id in self._testing or len(self._testing) >= TESTS_MAX:
            raise LimitExceeded("A key is being tested. Try again when that is done.", 5.0)
        self._testing.add(user_id)
        try:
            return await self._test(kept, visit)
        finally:
            self._testing.discard(user_id)

    async def _test(self, kept: StoredCredential, visit: Visit) -> CredentialCheck:
        key = self._vault.open(kept)
        try:
            permissions, balances = await self._ask(kept, key)
        except AuthenticationPluginError:
            await self._note(kept, key, None, None)
            await self._audit.note("credential.refused", visit, user_id=kept.user_id, credential=kept.id)
            raise
        noted = await self._note(kept, key, self._clock.now_ms(), permissions.can_withdraw)
        await self._audit.note("credential.tested", visit, user_id=kept.user_id, credential=kept.id,
                               can_withdraw=permissions.can_withdraw)  # fmt: skip
        return CredentialCheck(noted, permissions, balances)

    async def _ask(
        self, kept: StoredCredential, key: Credentials
    ) -> tuple[KeyPermissions, tuple[Balance, ...] | None]:
        try:
            async with (
                asyncio.timeout(TEST_DEADLINE_S),
                self._markets.account_plugin(kept.user_id, kept.id) as plugin,
            ):
                return await _answers(plugin)
        except TimeoutError:
            raise TimeoutPluginError(f"{kept.provider} did not answer in time.") from None
        except PluginError as error:
            # The venue's own words may repeat what it was sent.
            raise type(error)(key.hide_in(error.message), error.retry_after_s) from None

    async def _note(
        self, kept: StoredCredential, key: Credentials, tested_ms: int | None, can_withdraw: bool | None
    ) -> StoredCredential:
        """Keep what was found of that key; ``Conflict`` where another took its place meanwhile."""

        def noted(now: StoredCredential) -> StoredCredential:
            if self._vault.open(now).fingerprint() != key.fingerprint():
                raise Conflict("The key was changed while it was tested. Test it again.")
            accepted = now.withdrawal_accepted and can_withdraw is True
            return replace(now, tested_ms=tested_ms, can_withdraw=can_withdraw, withdrawal_accepted=accepted)

        return await self._replaced(kept.user_id, kept.id, noted)

    # What both need

    async def _replaced(
        self, user_id: str, credential_id: str, change: Callable[[StoredCredential], StoredCredential]
    ) -> StoredCredential:
        """The record, changed in one step: where somebody else changes it meanwhile, made anew of theirs."""
        for _ in range(_TRIES_MAX):
            kept = await self.get(user_id, credential_id)
            new = change(kept)
            if new == kept or await self._store.replace(kept, new):
                return new
        raise Conflict("The key is being changed by somebody else at the same time. Try again.")


async def _answers(plugin: MarketPlugin) -> tuple[KeyPermissions, tuple[Balance, ...] | None]:
    permissions = await plugin.key_permissions()
    if not plugin.supports(Capability.FETCH_BALANCES):
        if permissions == KeyPermissions():
            raise PluginFeatureNotSupportedError(
                f"{plugin.provider} offers nothing by which a key could be tested."
            )
        return permissions, None
    held = [one for one in await plugin.fetch_balances() if one.total]
    return permissions, tuple(sorted(held, key=lambda one: one.currency)[:BALANCES_MAX])


def _unknown() -> NotFound:
    return NotFound("There is no such credential.")

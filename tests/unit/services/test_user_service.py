"""Whose keys they are: sealed in their place, changed in one step, and watched while they are in use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any

import pytest

from tests.support.accounts import HOME, People, Secrets, key
from tests.support.ledger import LedgerPlugin, ledger_plugin, random_minutes
from tests.support.loaders import loader_of
from tradewright.domain.capabilities import CredentialField, ProviderInfo
from tradewright.domain.credentials import KeyPermissions
from tradewright.domain.errors import (
    Conflict,
    NotFound,
    PluginFeatureNotSupportedError,
    RateLimitPluginError,
    StorageUnavailable,
)
from tradewright.domain.people import StoredCredential, User
from tradewright.services.encryption_service import EncryptionService, SealedUnreadable, SealingKeyMissing
from tradewright.services.key_rotation import SealedStores, reseal_all
from tradewright.services.market_service import MarketService
from tradewright.services.user.credentials import CredentialChanges, NewCredential
from tradewright.services.user.vault import CredentialVault
from tradewright.services.user_service import CHECK_INTERVAL_S, UserService
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore

FIELDS = {"api_key": "a-key-of-the-venue-AB12", "secret": "a-secret-of-the-venue"}
OTHER = {"api_key": "a-key-of-the-venue-CD34", "secret": "b-secret-of-the-venue"}


def keyed_plugin() -> type[LedgerPlugin]:
    """A venue that takes keys, with a test network."""

    class Keyed(ledger_plugin(random_minutes(1, 10))):  # type: ignore[misc]
        @classmethod
        def list_configurable_providers(cls, market: str) -> tuple[ProviderInfo, ...]:
            fields = tuple(CredentialField(name=n, secret=True, required=True) for n in FIELDS)  # type: ignore[arg-type]
            return tuple(
                ProviderInfo(
                    provider=name,
                    name=name,
                    market=market,
                    plugin="ledger",
                    timeframes=("1m",),
                    capabilities=(),
                    credential_fields=fields,
                    testnet=True,
                )
                for name in ("ledger", "ledger2")
                if market == cls.market
            )

    return Keyed


@dataclass
class House:
    """The services over stores in memory."""

    people: People = field(default_factory=People)
    secrets: Secrets = field(default_factory=lambda: Secrets(key("seal")))
    plugin: type[LedgerPlugin] = field(default_factory=keyed_plugin)

    def __post_init__(self) -> None:
        stores, clock = self.people.stores, self.people.clock
        self.encryption = EncryptionService(self.secrets)
        self.vault = CredentialVault(stores, self.encryption, clock)
        self.markets = MarketService(
            loader_of(self.plugin),
            MemoryInstrumentStore(MemoryBarStore()),
            clock,
            provider_options={},
            user_credentials=self.vault,
        )
        self.users = UserService(stores, self.vault, self.markets, clock)
        self.desk = self.users.credentials
        self.store = stores.credentials

    async def add(self, user: User, **changes: Any) -> StoredCredential:
        given = NewCredential(
            **{
                "market": "crypto",
                "provider": "ledger",
                "label": "mine",
                "testnet": False,
                "fields": FIELDS,
                **changes,
            }
        )
        return await self.desk.add(user.id, given, HOME)


@pytest.fixture
def house() -> House:
    return House()


async def test_a_record_in_the_place_of_another_never_opens(house: House) -> None:
    anna, ben = await house.people.add(), await house.people.add("ben", "trader")
    kept = [
        await house.add(anna),
        await house.add(anna),
        await house.add(ben),
        await house.add(ben, provider="ledger2"),
        await house.add(ben, testnet=True),
    ]
    for here, there in permutations(kept, 2):
        moved = replace(here, sealed=there.sealed)
        assert await house.store.replace(here, moved)
        with pytest.raises(SealedUnreadable):
            await house.vault.get(here.user_id, here.id)
        with pytest.raises(SealedUnreadable):
            async with house.markets.account_plugin(here.user_id, here.id):
                pass
        assert await house.store.replace(moved, here)
        for changed in (
            {"provider": "ledger2"},
            {"testnet": True},
            {"market": "stocks"},
            {"user_id": ben.id},
        ):
            other = replace(here, **changed)
            if other != here:
                with pytest.raises(SealedUnreadable):
                    house.vault.open(other)
    assert house.plugin.made == [], "no instance ever saw one"
    assert house.vault.open(kept[0]).reveal("secret") == FIELDS["secret"]


async def test_without_the_right_key_nothing_opens_and_nothing_is_lost(house: House) -> None:
    anna = await house.people.add()
    kept = await house.add(anna)
    house.secrets.keys = (key("wrong"),)
    for attempt in (house.vault.get(anna.id, kept.id), house.desk.test(anna.id, kept.id, HOME)):
        with pytest.raises(SealingKeyMissing, match="operator can put it back"):
            await attempt
    renamed = await house.desk.change(anna.id, kept.id, CredentialChanges(label="still here"), HOME)
    assert renamed.sealed == kept.sealed
    house.secrets.keys = (key("seal"),)
    assert (await house.vault.get(anna.id, kept.id)).credentials.reveal("api_key") == FIELDS["api_key"]


async def test_what_is_found_of_a_key_is_not_said_of_its_successor(house: House) -> None:
    anna = await house.people.add()
    kept = await house.add(anna)
    asked, answered = asyncio.Event(), asyncio.Event()

    async def slowly(_plugin: object) -> KeyPermissions:
        asked.set()
        await answered.wait()
        return KeyPermissions(permissions=("read",), can_withdraw=False)

    house.plugin.key_permissions = slowly  # type: ignore[method-assign, assignment]
    testing = asyncio.ensure_future(house.desk.test(anna.id, kept.id, HOME))
    await asked.wait()
    changed = await house.desk.change(anna.id, kept.id, CredentialChanges(fields=OTHER), HOME)
    answered.set()
    with pytest.raises(Conflict, match="changed while it was tested"):
        await testing
    found = await house.desk.get(anna.id, kept.id)
    assert (found.tested_ms, found.may_trade, found.sealed) == (None, False, changed.sealed)


async def test_what_a_venue_repeats_of_a_key_is_not_told(house: House) -> None:
    anna = await house.people.add()
    kept = await house.add(anna)

    async def tells(plugin: LedgerPlugin) -> KeyPermissions:
        key_ = plugin.setup.credentials
        assert key_ is not None
        raise RateLimitPluginError(f"{key_.reveal('api_key')} asks too often: {key_.reveal('secret')}", 7.0)

    house.plugin.key_permissions = tells  # type: ignore[method-assign, assignment]
    with pytest.raises(RateLimitPluginError) as raised:
        await house.desk.test(anna.id, kept.id, HOME)
    assert (raised.value.message, raised.value.retry_after_s) == ("*** asks too often: ***", 7.0)
    assert raised.value.__suppress_context__


async def test_a_venue_that_offers_nothing_to_test_a_key_by(house: House) -> None:
    anna = await house.people.add()
    kept = await house.add(anna)
    with pytest.raises(PluginFeatureNotSupportedError):
        await house.desk.test(anna.id, kept.id, HOME)
    assert (await house.desk.get(anna.id, kept.id)).tested_ms is None


class Rival:
    """A store in which somebody else does something between a read and the write that follows it."""

    def __init__(self, store: Any, act: Any) -> None:
        self._store = store
        self._act = act

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def replace(self, old: StoredCredential, new: StoredCredential) -> bool:
        act, self._act = self._act, None
        if act is not None:
            await act()
        return bool(await self._store.replace(old, new))


async def test_who_changes_a_name_undoes_no_renewal_of_keys_and_no_new_key(house: House) -> None:
    anna = await house.people.add()
    kept = await house.add(anna)

    async def renew() -> None:
        house.secrets.keys = (key("new"), key("seal"))
        stores = house.people.stores
        report = await reseal_all(
            SealedStores(stores.users, stores.credentials, stores.canary), house.encryption
        )
        assert (report.resealed, report.complete) == (1, True)

    async def put_another() -> None:
        await house.desk.change(anna.id, kept.id, CredentialChanges(fields=OTHER), HOME)

    for act, secret in ((renew, FIELDS["secret"]), (put_another, OTHER["secret"])):
        house.desk._store = Rival(house.store, act)
        label = act.__name__
        changed = await house.desk.change(anna.id, kept.id, CredentialChanges(label=label), HOME)
        house.secrets.keys = (key("new"),)
        assert changed.label == label
        assert await house.store.get(anna.id, kept.id) == changed
        assert (await house.vault.get(anna.id, kept.id)).credentials.reveal("secret") == secret


async def test_who_never_comes_to_his_turn_is_told(house: House) -> None:
    anna = await house.people.add()
    kept = await house.add(anna)

    class Busy(Rival):
        async def replace(self, old: StoredCredential, new: StoredCredential) -> bool:
            return False

    house.desk._store = Busy(house.store, None)
    with pytest.raises(Conflict):
        await house.desk.change(anna.id, kept.id, CredentialChanges(label="x"), HOME)


async def test_a_key_of_who_was_deleted_meanwhile_does_not_stay(house: House) -> None:
    anna, ben = await house.people.add(), await house.people.add("ben", "trader")
    await house.add(anna)
    await house.people.stores.users.delete(ben.id)
    with pytest.raises(NotFound):
        await house.add(ben)
    assert [each.user_id for each in await house.store.all()] == [anna.id]


async def test_the_use_of_a_key_is_noted_once_a_minute(house: House) -> None:
    anna = await house.people.add()
    kept = await house.add(anna)
    times = set()
    for _ in range(5):
        await house.vault.get(anna.id, kept.id)
        times.add((await house.desk.get(anna.id, kept.id)).last_used_ms)
        await house.people.clock.advance(20)
    assert len(times) == 2

    class Full(Rival):
        async def replace(self, old: StoredCredential, new: StoredCredential) -> bool:
            raise StorageUnavailable("full")

    house.vault._store = Full(house.store, None)
    await house.people.clock.advance(120)
    assert (await house.vault.get(anna.id, kept.id)).provider == "ledger", "that is no reason to fail"


@pytest.fixture
async def started(house: House) -> AsyncIterator[House]:
    house.users.start()
    yield house
    await house.users.close()
    await house.users.close()
    await house.markets.close()


async def test_the_use_of_a_key_stands_in_the_audit_log_once_an_hour(house: House) -> None:
    anna = await house.people.add()
    kept, other = await house.add(anna), await house.add(anna)
    for _ in range(150):
        await house.vault.get(anna.id, kept.id)
        await house.people.clock.advance(60)
    await house.vault.get(anna.id, other.id)
    await house.vault.peek(anna.id, other.id)
    used = [each async for each in house.people.stores.audit.all() if each.kind == "credential.used"]
    assert [each.details["credential"] for each in used] == [kept.id] * 3 + [other.id]
    assert used[0].details == {
        "credential": kept.id, "market": "crypto", "provider": "ledger", "testnet": False,
    }  # fmt: skip
    assert used[0].user_id == anna.id


async def test_what_was_changed_elsewhere_ends_soon(started: House) -> None:
    house, clock = started, started.people.clock
    people = [await house.people.add(name, "trader") for name in ("ada", "ben", "cara", "dora", "emil")]
    kept = [await house.add(user) for user in people]
    plugins = []
    for each in kept:
        async with house.markets.account_plugin(each.user_id, each.id) as plugin:
            plugins.append(plugin)
    # As another process would do it: past the services of this one.
    await house.store.delete(kept[0].user_id, kept[0].id)
    await house.people.stores.users.set_disabled(people[1].id, True)
    await house.people.stores.users.delete(people[2].id)
    other = replace(kept[3], sealed=house.vault.seal(kept[3], OTHER))  # type: ignore[arg-type]
    (now,) = await house.store.of_user(people[3].id)
    assert await house.store.replace(now, other)
    await asyncio.sleep(0)
    await clock.advance(CHECK_INTERVAL_S)
    assert [plugin.closed for plugin in plugins] == [1, 1, 1, 1, 0]  # type: ignore[attr-defined]
    house.secrets.keys = (key("wrong"),)
    await clock.advance(CHECK_INTERVAL_S)
    assert plugins[4].closed == 0, "where nothing can be told nothing ends"  # type: ignore[attr-defined]

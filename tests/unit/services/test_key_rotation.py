"""Renewing the encryption key: ended at any row and begun again, every row stays readable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.support.accounts import People, Secrets, key
from tradewright.domain.people import StoredCredential
from tradewright.services.encryption_service import EncryptionService, SealingContext
from tradewright.services.key_rotation import SealedStores, reseal_all
from tradewright.storage.memory_canary import MemoryCanaryStore
from tradewright.storage.memory_user_configs import MemoryCredentialStore

ROWS = 120  # more than one page


class Killed(BaseException):
    """The process ends here."""


class Killing:
    """A store whose process ends at the n-th change, before it or after it."""

    def __init__(self, store: Any, budget: list[int], *, after: bool) -> None:
        self._store = store
        self._budget = budget
        self._after = after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if not name.startswith("reseal"):
            return method

        async def change(*arguments: Any) -> Any:
            self._budget[0] -= 1
            if self._budget[0] == 0 and not self._after:
                raise Killed
            answer = await method(*arguments)
            if self._budget[0] == 0:
                raise Killed
            return answer

        return change


class House:
    """Sealed records of every kind."""

    def __init__(self) -> None:
        self.secrets = Secrets(key("old"))
        self.sealing = EncryptionService(self.secrets)
        self.people = People(encryption=self.sealing)
        self.credentials = MemoryCredentialStore()
        self.canary = MemoryCanaryStore()

    async def fill(self, rows: int = ROWS) -> None:
        await self.sealing.check_canary(self.canary)
        await self.people.add()
        await self.people.with_totp()
        for number in range(rows):
            await self.add(number)

    async def add(self, number: int) -> None:
        context = SealingContext("credential", "u", f"{number:05}", "binance")
        sealed = self.sealing.seal(context, {"secret": f"s{number}"})
        await self.credentials.add(
            StoredCredential(
                id=f"{number:05}", user_id="u", market="crypto", provider="binance", label="x", testnet=False,
                sealed=sealed, key_hint="1234", created_ms=number, changed_ms=number,
            ),
            kept_max=10_000,
        )  # fmt: skip

    def stores(self, budget: list[int] | None = None, *, after: bool = False) -> SealedStores:
        found: Sequence[Any] = (self.people.stores.users, self.credentials, self.canary)
        if budget is not None:
            found = [Killing(store, budget, after=after) for store in found]
        return SealedStores(*found)

    async def unreadable(self, sealing: EncryptionService) -> int:
        await sealing.check_canary(self.canary)
        wrong = 0
        for credential in await self.credentials.of_user("u"):
            context = SealingContext("credential", "u", credential.id, "binance")
            wrong += sealing.open(context, credential.sealed) != {"secret": f"s{int(credential.id)}"}
        record = await self.people.stores.users.find("anna")
        assert record is not None
        assert record.totp_secret is not None
        sealing.open(SealingContext("totp", record.user.id, record.user.id), record.totp_secret)
        return wrong


async def test_every_record_comes_under_the_new_key() -> None:
    house = House()
    await house.fill()
    house.secrets.keys = (key("new"), key("old"))
    report = await reseal_all(house.stores(), house.sealing)
    assert (report.resealed, report.current, report.complete) == (ROWS + 2, 0, True)
    assert await house.unreadable(EncryptionService(Secrets(key("new")))) == 0
    again = await reseal_all(house.stores(), house.sealing)
    assert (again.resealed, again.current) == (0, ROWS + 2)


async def test_killed_at_any_row_nothing_is_lost_and_it_goes_on() -> None:
    rows = 6
    for after in (False, True):
        for killed_at in range(1, rows + 3):
            house = House()
            await house.fill(rows)
            house.secrets.keys = (key("new"), key("old"))
            try:
                await reseal_all(house.stores([killed_at], after=after), house.sealing)
            except Killed:
                pass
            else:
                raise AssertionError(f"not killed at {killed_at}")
            assert await house.unreadable(house.sealing) == 0
            done = killed_at if after else killed_at - 1
            report = await reseal_all(house.stores(), house.sealing)
            assert (report.resealed, report.current) == (rows + 2 - done, done)
            assert await house.unreadable(EncryptionService(Secrets(key("new")))) == 0


async def test_a_record_that_changes_meanwhile_is_not_undone() -> None:
    house = House()
    await house.fill(1)
    house.secrets.keys = (key("new"), key("old"))
    context = SealingContext("credential", "u", "00000", "binance")

    class Busy:
        """Somebody stores another key just before ours is replaced."""

        def __init__(self) -> None:
            self.all, self.get = house.credentials.all, house.credentials.get

        async def reseal(self, credential_id: str, old: bytes, new: bytes) -> bool:
            [found] = await house.credentials.of_user("u")
            if found.sealed == old:
                newer = EncryptionService(Secrets(key("old"))).seal(context, {"secret": "newer"})
                await house.credentials.reseal(credential_id, old, newer)
                self.reseal = house.credentials.reseal  # type: ignore[method-assign]
                return False
            return await house.credentials.reseal(credential_id, old, new)

    stores: Any = SealedStores(house.people.stores.users, Busy(), house.canary)  # type: ignore[arg-type]
    report = await reseal_all(stores, house.sealing)
    assert report.complete
    [found] = await house.credentials.of_user("u")
    assert EncryptionService(Secrets(key("new"))).open(context, found.sealed) == {"secret": "newer"}


async def test_what_cannot_be_opened_is_named_and_left() -> None:
    house = House()
    await house.fill(2)
    stranger = EncryptionService(Secrets(key("stranger")))
    context = SealingContext("credential", "u", "00001", "binance")
    [_, second] = await house.credentials.of_user("u")
    foreign = stranger.seal(context, {"secret": "s1"})
    await house.credentials.reseal("00001", second.sealed, foreign)
    house.secrets.keys = (key("new"), key("old"))
    report = await reseal_all(house.stores(), house.sealing)
    assert report.unreadable == ("credential 00001 of user u",)
    [_, second] = await house.credentials.of_user("u")
    assert second.sealed == foreign

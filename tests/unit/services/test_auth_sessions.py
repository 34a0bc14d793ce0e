"""Refresh tokens that race, are stolen, or come too late; sessions that end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.support.accounts import AWAY, CHEAP, HOME, PASSWORD, People
from tradewright.domain.errors import NotFound, StorageUnavailable
from tradewright.domain.people import InvalidLogin, InvalidToken, RefreshToken
from tradewright.services.auth.refresh_tokens import token_hash
from tradewright.services.auth.sessions import GRACE_MS, IDLE_MS, KEPT_MAX, LIFETIME_MS
from tradewright.services.auth_service import AuthService, AuthSettings
from tradewright.storage.memory_bus import MemoryBus


@pytest.fixture
async def people() -> People:
    people = People()
    await people.add()
    return people


async def refused(people: People, token: str) -> bool:
    try:
        await people.auth.refresh(token, HOME)
    except InvalidToken:
        return True
    return False


async def test_ten_tabs_that_refresh_at_once_get_one_successor(people: People) -> None:
    token = (await people.login()).granted.refresh_token
    for _ in range(1_000):
        granted = await asyncio.gather(*(people.auth.refresh(token, HOME) for _ in range(10)))
        successors = {each.refresh_token for each in granted}
        assert len(successors) == 1
        assert token not in successors
        [token] = successors
    assert "refresh.reused" not in await people.kinds()


async def test_within_the_grace_the_same_and_after_it_the_end(people: People) -> None:
    for ending_ms in (GRACE_MS, GRACE_MS + 1, 3_600_000):
        first = (await people.login()).granted
        second = await people.auth.refresh(first.refresh_token, HOME)
        await people.clock.advance((GRACE_MS - 1) / 1000)
        again = await people.auth.refresh(first.refresh_token, AWAY)
        assert again.refresh_token == second.refresh_token
        await people.clock.advance((ending_ms - GRACE_MS + 1) / 1000)
        assert await refused(people, first.refresh_token)
        assert await refused(people, second.refresh_token), "the whole family is dead"
        with pytest.raises(InvalidToken):
            await people.auth.authenticate(second.access_token)
    assert (await people.kinds()).count("refresh.reused") == 3


async def test_any_old_token_of_the_family_ends_it(people: People) -> None:
    for used in range(4):
        token = (await people.login()).granted.refresh_token
        family = [token]
        for _ in range(4):
            await people.clock.advance(60)
            family.append((await people.auth.refresh(family[-1], HOME)).refresh_token)
        await people.clock.advance(60)
        assert await refused(people, family[used])
        assert await refused(people, family[-1])


async def test_other_sessions_live_on_when_one_was_stolen(people: People) -> None:
    stolen, other = (await people.login()).granted, (await people.login()).granted
    await people.auth.refresh(stolen.refresh_token, HOME)
    await people.clock.advance(60)
    assert await refused(people, stolen.refresh_token)
    await people.auth.refresh(other.refresh_token, HOME)


async def test_only_hashes_are_kept(people: People) -> None:
    first = (await people.login()).granted
    second = await people.auth.refresh(first.refresh_token, HOME)
    kept = repr(vars(people.stores.sessions)["_auth"]).encode() + b"".join(
        (each.successor or b"") + each.token_hash
        for each in vars(people.stores.sessions)["_auth"].tokens.values()
    )
    for token in (first.refresh_token, second.refresh_token, first.access_token):
        assert token.encode() not in kept
    assert first.refresh_token not in repr(first)


async def test_a_session_ends_when_it_is_idle_and_at_last_by_age(people: People) -> None:
    token = (await people.login()).granted.refresh_token
    await people.clock.advance(IDLE_MS / 1000)
    assert await refused(people, token)
    token = (await people.login()).granted.refresh_token
    for _ in range(LIFETIME_MS // 86_400_000 - 1):
        await people.clock.advance(86_400)
        token = (await people.auth.refresh(token, HOME)).refresh_token
    await people.clock.advance(86_400)
    assert await refused(people, token)


async def test_nothing_else_is_a_refresh_token(people: People) -> None:
    granted = (await people.login()).granted
    for token in ("", "x", granted.access_token, "a" * 10_000, "\ud800", granted.refresh_token + "x"):
        assert await refused(people, token)
    with pytest.raises(InvalidToken):
        await people.auth.authenticate(granted.refresh_token)


async def test_what_ends_a_session_is_felt_at_once(people: People) -> None:
    admin = await people.caller()
    other = await people.add("berta", "trader")

    async def logout(token: str, refresh: str) -> None:
        caller = await people.auth.authenticate(token)
        await people.auth.logout(HOME, caller=caller, refresh_token=None)

    async def logout_by_cookie(token: str, refresh: str) -> None:
        await people.auth.logout(HOME, caller=None, refresh_token=refresh)

    async def logout_all(token: str, refresh: str) -> None:
        await people.auth.logout_all(await people.auth.authenticate(token), HOME)

    async def change_password(token: str, refresh: str) -> None:
        await people.auth.change_password(await people.caller("berta"), PASSWORD, PASSWORD + "!", HOME)
        await people.auth.reset_password(other.id, PASSWORD, HOME, keep_totp=True)

    async def disable(token: str, refresh: str) -> None:
        await people.auth.administration.set_disabled(other.id, True, admin.user_id, HOME)

    for end in (logout, logout_by_cookie, logout_all, change_password, disable):
        granted = (await people.login("berta")).granted
        await people.auth.authenticate(granted.access_token)
        await end(granted.access_token, granted.refresh_token)
        with pytest.raises(InvalidToken):
            await people.auth.authenticate(granted.access_token)
        assert await refused(people, granted.refresh_token), end


async def test_a_session_of_who_is_shut_out_is_worth_nothing(people: People) -> None:
    """However it came to be there: by a login that overtook, or with a database that was put back."""
    await people.add("berta", "trader")
    granted = (await people.login("berta")).granted
    session = granted.session
    await people.auth.administration.set_disabled(session.user_id, True, None, HOME)
    token = RefreshToken(token_hash(granted.refresh_token), session.id, session.created_ms)
    await people.stores.sessions.add(session, token, kept_max=9)
    with pytest.raises(InvalidToken):
        await people.auth.authenticate(granted.access_token)
    assert not await people.auth.is_alive(session.user_id, session.id)
    assert await refused(people, granted.refresh_token)
    assert await people.stores.sessions.of_user(session.user_id) == (), "and it is gone for good"


async def test_what_ends_elsewhere_is_felt_within_a_second(people: People) -> None:
    granted = (await people.login()).granted
    elsewhere = People(people.clock, people.jwt, people.encryption, people.stores)
    await people.auth.authenticate(granted.access_token)
    await elsewhere.auth.logout_all(await elsewhere.auth.authenticate(granted.access_token), HOME)
    await people.clock.advance(1)
    with pytest.raises(InvalidToken):
        await people.auth.authenticate(granted.access_token)


async def test_changing_the_password_ends_the_others(people: People) -> None:
    other = (await people.login()).granted
    own = (await people.login()).granted
    caller = await people.auth.authenticate(own.access_token)
    await people.auth.change_password(caller, PASSWORD, "quite another 7 phrase", HOME)
    await people.auth.authenticate(own.access_token)
    with pytest.raises(InvalidToken):
        await people.auth.authenticate(other.access_token)


async def test_sessions_are_one_s_own(people: People) -> None:
    await people.add("berta", "trader")
    anna, berta = await people.caller(), await people.caller("berta")
    assert berta.session_id is not None
    with pytest.raises(NotFound):
        await people.auth.end_session(anna, berta.session_id, HOME)
    assert [each.id for each in await people.auth.sessions(berta)] == [berta.session_id]
    await people.auth.end_session(berta, berta.session_id, HOME)
    assert await people.auth.sessions(berta) == ()


async def test_so_many_sessions_and_no_more(people: People) -> None:
    granted = []
    for _ in range(KEPT_MAX + 3):
        granted.append((await people.login()).granted)
        await people.clock.advance(1)
    alive = 0
    for each in granted:
        try:
            await people.auth.authenticate(each.access_token)
        except InvalidToken:
            continue
        alive += 1
    assert alive == KEPT_MAX


async def test_who_keeps_something_open_hears_of_the_end(people: People) -> None:
    bus = MemoryBus()
    here, elsewhere = (
        AuthService(
            people.stores,
            people.jwt,
            people.encryption,
            people.clock,
            AuthSettings(password_cost=CHEAP),
            bus=bus,
        )
        for _ in range(2)
    )
    heard: dict[str, list[str]] = {"here": [], "elsewhere": []}
    here.watch_endings(heard["here"].append)
    elsewhere.watch_endings(heard["elsewhere"].append)
    here.start()
    elsewhere.start()
    await people.clock.settle()
    granted = (await here.login("anna", PASSWORD, None, "browser", HOME)).granted
    caller = await here.authenticate(granted.access_token)
    token, text = await here.make_token(caller, "bot", ["read"], 1, HOME)
    program = await here.authenticate(text)
    for who in (caller, program):
        assert await elsewhere.is_alive(who.user_id, who.holder)
        assert not await elsewhere.is_alive("somebody-else", who.holder)
    await here.delete_token(caller, token.id, HOME)
    await here.logout(HOME, caller=caller, refresh_token=None)
    await people.clock.advance(1)
    assert set(heard["here"]) == {caller.holder, program.holder}
    assert set(heard["elsewhere"]) == {caller.holder, program.holder}
    for who in (caller, program):
        assert not await elsewhere.is_alive(who.user_id, who.holder)
    await here.close()
    await elsewhere.close()


async def test_an_end_holds_though_nobody_can_be_told(people: People) -> None:
    class Dead:
        async def publish(self, channel: str, message: bytes) -> None:
            raise StorageUnavailable("The bus does not answer.")

        def subscribe(self, channel: str) -> Any:
            raise NotImplementedError

    auth = AuthService(people.stores, people.jwt, people.encryption, people.clock,
                       AuthSettings(password_cost=CHEAP), bus=Dead())  # fmt: skip
    granted = (await auth.login("anna", PASSWORD, None, "browser", HOME)).granted
    await auth.logout(HOME, caller=await auth.authenticate(granted.access_token), refresh_token=None)
    with pytest.raises(InvalidToken):
        await auth.authenticate(granted.access_token)


@pytest.mark.parametrize("what", ["reset", "disable"])
async def test_a_login_that_overtakes_what_ends_sessions_gets_none(people: People, what: str) -> None:
    user = await people.auth.find_user("anna")
    await people.add("berta", "admin")

    class Slow:
        """Between the look at the password and the session, somebody ends all sessions."""

        def __init__(self) -> None:
            self._sessions = people.stores.sessions
            self.ended = False

        def __getattr__(self, name: str) -> Any:
            return getattr(self._sessions, name)

        async def add(self, *arguments: Any, **named: Any) -> Any:
            if not self.ended:
                self.ended = True
                people.clock.jump_wall(1)
                if what == "reset":
                    await people.auth.reset_password(user.id, PASSWORD + "!", HOME, keep_totp=False)
                else:
                    await people.auth.administration.set_disabled(user.id, True, None, HOME)
            return await self._sessions.add(*arguments, **named)

    stores = replace(people.stores, sessions=Slow())
    auth = AuthService(stores, people.jwt, people.encryption, people.clock, AuthSettings(password_cost=CHEAP))
    with pytest.raises(InvalidLogin):
        await auth.login("anna", PASSWORD, None, "browser", HOME)
    assert await people.stores.sessions.of_user(user.id) == ()

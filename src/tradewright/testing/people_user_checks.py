"""What every ``UserStore`` must keep to, and ``InviteStore`` with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

import msgspec

from tradewright.domain.errors import Conflict, NotFound, TradewrightError
from tradewright.domain.people import LoginRecord, NameTaken, RegistrationClosed, User
from tradewright.domain.people_stores import PeopleStores
from tradewright.testing.people_material import (
    DAY,
    NOW,
    api_token,
    hashed,
    invite,
    record,
    session,
    token,
)


async def check_first_user(people: PeopleStores) -> None:
    """However many ask at once, one is the first."""
    assert await people.users.count() == 0, "the stores are empty"
    answers = await asyncio.gather(
        *(people.users.add_first(record(f"first{number}", "admin")) for number in range(100))
    )
    assert sorted(answers) == [False] * 99 + [True], "exactly one of a hundred is the first"
    assert await people.users.count() == 1, "and nobody else is kept"
    assert not await people.users.add_first(record("late", "admin"))
    assert await people.users.find("late") is None


async def check_users_found(people: PeopleStores) -> None:
    """What is kept is found, by id, name and address, whatever their case."""
    users = people.users
    full = replace(
        record("Grüße", "viewer", email="Grüße+1@Example.COM", last_login_ms=NOW + 1, totp_enabled=True),
        totp_secret=b"\x00\xff sealed",
        totp_last_step=7,
        recovery_hashes=("a", "b"),
    )
    await users.add(full)
    assert await users.get(full.user.id) == full, "all of it is kept"
    for login in ("Grüße", "GRÜSSE", "grüsse", "gRU\u0308ße", "ＧRÜSSE", "grÜSSe+1@EXAMPLE.com"):
        assert await users.find(login) == full, f"found as {login!r}"
    for login in ("", "Gruesse", "grüße+1", "Grüße\0", "\ud800", "x" * 100_000, "%", "'; DROP TABLE users"):
        assert await users.find(login) is None, f"not found as {login[:20]!r}"
    assert await users.get("nobody\0") is None
    others = [record(name, id=name) for name in ("b", "B", "a", "C")]
    for other in others:
        await users.add(replace(other, user=_named(other, f"n-{ord(other.user.username)}")))
    ids = sorted([full.user.id, "b", "B", "a", "C"])
    assert [user.id for user in await users.users()] == ids, "by id, whatever the language"
    assert [user.id for user in await users.users(after=ids[1], limit=2)] == ids[2:4], "in pages"
    assert await users.count() == 5


def _named(other: LoginRecord, name: str) -> User:
    return msgspec.structs.replace(other.user, username=name, email=f"{name}@x.example")


async def check_names_are_one(people: PeopleStores) -> None:
    """A name is one person's, whatever its case and whether it is a name or an address."""
    users = people.users
    await users.add(record("anna"))
    for taken in (
        record("ANNA", email="other@example.com"),
        record("other", email="Anna@Example.com"),
        record("other", username="anna@example.com"),
        record("other", email="anna"),
    ):
        await _refused(NameTaken, users.add(taken))
    assert await users.count() == 1, "and nothing is kept"
    clashes = await asyncio.gather(
        *(
            users.add(record(name, id=f"id-{number}"))
            for number, name in enumerate(("Ben", "bEN", "ben", "BEN"))
        ),
        return_exceptions=True,
    )
    assert sum(clash is None for clash in clashes) == 1, "one of four who ask at once"
    assert sum(isinstance(clash, NameTaken) for clash in clashes) == 3, "and the others are told"
    changed = await users.set_profile("id-anna", username="ANNA", email="new@example.com")
    assert changed is not None
    assert (changed.username, changed.email) == ("ANNA", "new@example.com"), "one's own name in another case"
    assert await users.find("anna@example.com") is None, "what was given up"
    await users.add(record("anna2", email="anna@example.com"))
    await _refused(NameTaken, users.set_profile("id-anna", email="anna@example.com"))
    kept = await users.get("id-anna")
    assert kept is not None
    assert kept.user == changed, "a refused change changes nothing"
    assert await users.find("new@example.com") == kept
    assert await users.set_profile("nobody", username="x") is None


async def check_invitations(people: PeopleStores) -> None:
    """An invitation lets one person in, and who has none learns nothing."""
    users, invites = people.users, people.invites
    await users.add(record("host", "admin"))
    for number, name in enumerate(("one", "two", "three")):
        assert await invites.add(invite("id-host", name, NOW + number), hashed(name), open_max=3)
    assert not await invites.add(invite("id-host", "four"), hashed("four"), open_max=3), "no more than that"
    assert [each.id for each in await invites.invites(limit=2)] == ["invite-three", "invite-two"]
    for number, name in enumerate(("b", "a", "c")):
        assert await invites.add(
            invite("id-host", f"same-{name}", NOW - 9), hashed(f"same-{number}"), open_max=9
        )
    seen = [each.id for each in await invites.invites(behind=(NOW + 1, "invite-two"))]
    assert seen == ["invite-one", *(f"invite-same-{name}" for name in "abc")], "in pages"
    page = await invites.invites(behind=(NOW - 9, "invite-same-a"), limit=1)
    assert [each.id for each in page] == ["invite-same-b"], "those of one time by id"
    for name in "abc":
        assert await invites.delete(f"invite-same-{name}")
    later = NOW + DAY + 1
    await _refused(RegistrationClosed, users.add(record("late", created_ms=later), invite_hash=hashed("two")))
    await _refused(RegistrationClosed, users.add(record("stray"), invite_hash=hashed("four")))
    await _refused(RegistrationClosed, users.add(record("host", id="x"), invite_hash=hashed("four")))
    await _refused(NameTaken, users.add(record("host", id="x"), invite_hash=hashed("one")))
    rush = await asyncio.gather(
        *(users.add(record(f"guest{number}"), invite_hash=hashed("one")) for number in range(8)),
        return_exceptions=True,
    )
    assert sum(each is None for each in rush) == 1, "one of many who use it at once"
    assert sum(isinstance(each, RegistrationClosed) for each in rush) == 7
    assert await users.count() == 2
    used = [each for each in await invites.invites() if each.used_by]
    assert [each.id for each in used] == ["invite-one"]
    guest = used[0].used_by
    assert guest is not None
    assert guest.startswith("id-guest")
    assert await users.delete(guest)
    await _refused(RegistrationClosed, users.add(record("again"), invite_hash=hashed("one")))
    assert await invites.delete("invite-two")
    assert not await invites.delete("invite-two")
    assert await invites.add(invite("id-host", "five"), hashed("five"), open_max=2)
    assert await invites.add(invite("id-host", "six", later), hashed("six"), open_max=2), (
        "what has ended takes no room"
    )
    await _refused(NotFound, invites.add(invite("nobody", "seven"), hashed("seven"), open_max=99))
    await users.add(record("deputy", "admin"))
    for change in (users.set_role("id-host", "trader"), users.set_disabled("id-host", True)):
        await change
        await _refused(RegistrationClosed, users.add(record("crony"), invite_hash=hashed("five")))
        await users.set_role("id-host", "admin")
    await users.set_disabled("id-host", False)
    await users.add(record("friend"), invite_hash=hashed("five"))


async def check_passwords(people: PeopleStores) -> None:
    """Passwords and logins are noted for whom they are meant."""
    users = people.users
    await users.add(record("anna"))
    await users.add(record("ben"))
    assert await users.set_password("id-anna", "new", NOW + 5) == ()
    assert await users.set_password("nobody", "new", NOW + 5) is None
    assert await users.update_hash("id-anna", "new", "better")
    assert not await users.update_hash("id-anna", "new", "worse"), "not when it is another by now"
    assert not await users.update_hash("nobody", "new", "worse")
    await users.note_login("id-anna", NOW + 9)
    await users.note_login("nobody", NOW + 9)
    anna = await users.get("id-anna")
    assert anna is not None
    assert anna.password_hash == "better"  # noqa: S105  a hash in name only
    assert (anna.user.password_changed_ms, anna.user.last_login_ms) == (NOW + 5, NOW + 9)
    assert await users.get("id-ben") == record("ben"), "nobody else's changes"


async def check_password_ends_sessions(people: PeopleStores) -> None:
    """With a new password all of the user's sessions end but one, in the same step."""
    for owner, names in (("anna", "abc"), ("ben", "d")):
        await people.users.add(record(owner))
        for name in names:
            made = session(f"id-{owner}", name)
            await people.sessions.add(made, token(made.id, name), kept_max=9)
    ended = await people.users.set_password("id-anna", "new", NOW + 5, but="session-b")
    assert ended is not None
    assert set(ended) == {"session-a", "session-c"}
    assert await people.sessions.token(hashed("a")) is None, "with its tokens"
    assert [each.id for each in await people.sessions.of_user("id-anna")] == ["session-b"]
    assert [each.id for each in await people.sessions.of_user("id-ben")] == ["session-d"], "nobody else's"
    assert await people.users.set_password("id-anna", "newer", NOW + 6) == ("session-b",)


async def check_shutting_out_ends_sessions(people: PeopleStores) -> None:
    """Who is shut out has no session in the same step, and none comes back with them."""
    for owner, names in (("anna", "ab"), ("ben", "c")):
        await people.users.add(record(owner))
        for name in names:
            made = session(f"id-{owner}", name)
            await people.sessions.add(made, token(made.id, name), kept_max=9)
    out = await people.users.set_disabled("id-anna", True)
    assert out is not None
    assert out[0].disabled
    assert set(out[1]) == {"session-a", "session-b"}
    assert await people.sessions.of_user("id-anna") == ()
    assert await people.sessions.token(hashed("a")) is None, "with its tokens"
    assert [each.id for each in await people.sessions.of_user("id-ben")] == ["session-c"], "nobody else's"
    again = await people.users.set_disabled("id-anna", False)
    assert again is not None
    assert (again[0].disabled, again[1]) == (False, ())
    assert await people.sessions.of_user("id-anna") == ()
    made = session("id-anna", "d")
    await people.sessions.add(made, token(made.id, "d"), kept_max=9)
    kept = await people.users.set_disabled("id-anna", False)
    assert kept is not None
    assert kept[1] == ()
    assert [each.id for each in await people.sessions.of_user("id-anna")] == ["session-d"]


async def check_second_factor(people: PeopleStores) -> None:
    """A code and a recovery code open something once."""
    users = people.users
    await users.add(record("anna"))
    assert await users.set_totp("id-anna", b"sealed", enabled=False)
    waiting = await users.get("id-anna")
    assert waiting is not None
    assert (waiting.totp_secret, waiting.user.totp_enabled) == (b"sealed", False), "waits to be confirmed"
    assert not await users.reseal_totp("id-anna", b"other", b"anew")
    assert not await users.reseal_totp("nobody", b"sealed", b"anew")
    assert await users.reseal_totp("id-anna", b"sealed", b"sealed anew")
    anew = await users.get("id-anna")
    assert anew is not None
    assert (anew.totp_secret, anew.user.totp_enabled) == (b"sealed anew", False), "nothing else changes"
    answers = await asyncio.gather(*(users.take_totp_step("id-anna", 100) for _ in range(20)))
    assert sorted(answers) == [False] * 19 + [True], "one of many with the same code"
    assert not await users.take_totp_step("id-anna", 99), "nor an earlier one"
    assert await users.take_totp_step("id-anna", 101)
    assert await users.set_totp("id-anna", b"resealed", enabled=True, recovery_hashes=["a", "b", "c"])
    assert not await users.take_totp_step("id-anna", 101), "the code that confirmed it opens nothing"
    answers = await asyncio.gather(*(users.take_recovery_code("id-anna", "b") for _ in range(10)))
    assert sorted(answers) == [False] * 9 + [True], "one of many with the same recovery code"
    assert not await users.take_recovery_code("id-anna", "d")
    assert not await users.take_recovery_code("nobody", "a")
    enabled = await users.get("id-anna")
    assert enabled is not None
    assert enabled.user.totp_enabled
    assert (enabled.totp_secret, enabled.recovery_hashes) == (b"resealed", ("a", "c"))
    assert await users.set_totp("id-anna", None, enabled=True)
    removed = await users.get("id-anna")
    assert removed == record("anna"), "all of it is gone, and a factor without a secret is none"
    assert await users.take_totp_step("id-anna", 1)
    assert not await users.take_totp_step("nobody", 1)
    assert not await users.set_totp("nobody", None, enabled=False)


async def check_last_administrator(people: PeopleStores) -> None:
    """There is always an administrator who is enabled, however many resign at once."""
    users = people.users
    for name in ("anna", "ben"):
        await users.add(record(name, "admin"))
    await users.add(record("carl"))
    rush = await asyncio.gather(
        users.set_role("id-anna", "viewer"),
        users.set_disabled("id-ben", True),
        users.delete("id-anna"),
        users.delete("id-ben"),
        return_exceptions=True,
    )
    assert any(isinstance(each, Conflict) for each in rush), "not both of them"
    left = await users.users()
    assert [user.role == "admin" and not user.disabled for user in left].count(True) == 1
    (last,) = (user.id for user in left if user.role == "admin" and not user.disabled)
    for attempt in (users.set_role(last, "trader"), users.set_disabled(last, True), users.delete(last)):
        await _refused(Conflict, attempt)
    raised = await users.set_role("id-carl", "admin")
    assert raised is not None
    assert raised.role == "admin"
    lowered = await users.set_role(last, "viewer")
    assert lowered is not None
    disabled = await users.set_disabled(last, True)
    assert disabled is not None
    assert disabled[0].disabled
    stored = await users.get(last)
    assert stored is not None
    assert stored.user == disabled[0]
    assert await users.set_disabled("id-carl", False) == (raised, ()), "what changes nothing is no conflict"
    assert await users.set_role("nobody", "admin") is None
    assert await users.set_disabled("nobody", True) is None
    for user in await users.users():
        if user.id != "id-carl":
            assert await users.delete(user.id)
    assert await users.delete("id-carl"), "the very last one may go"
    assert not await users.delete("id-carl")
    assert await users.count() == 0


async def check_deleted_user(people: PeopleStores) -> None:
    """With a user goes all that lets them in, and nobody else's."""
    for name in ("anna", "ben"):
        user_id = f"id-{name}"
        await people.users.add(record(name, "admin"))
        await people.sessions.add(
            session(user_id, name, device_id="laptop"), token(f"session-{name}", name), kept_max=9
        )
        assert await people.api_tokens.add(api_token(user_id, name), hashed(f"api {name}"), kept_max=9)
        assert await people.invites.add(invite(user_id, name), hashed(f"invite {name}"), open_max=9)
    assert await people.users.delete("id-anna")
    assert await people.users.find("anna") is None
    assert await people.users.find("anna@example.com") is None
    assert await people.sessions.get("session-anna") is None
    assert await people.sessions.token(hashed("anna")) is None
    assert await people.api_tokens.find(hashed("api anna")) is None
    assert not await people.sessions.known_device("id-anna", "laptop", 0)
    assert [each.id for each in await people.invites.invites()] == ["invite-ben"]
    assert await people.sessions.get("session-ben") is not None
    assert await people.sessions.token(hashed("ben")) is not None
    assert await people.api_tokens.find(hashed("api ben")) is not None
    await people.users.add(record("anna"))
    assert await people.sessions.of_user("id-anna") == (), "a name that is used anew brings nothing back"


async def _refused(kind: type[TradewrightError], attempt: Awaitable[object]) -> None:
    try:
        await attempt
    except kind:
        return
    raise AssertionError(f"not refused with {kind.__name__}")

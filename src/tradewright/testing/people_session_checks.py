"""What every ``SessionStore`` and ``ApiTokenStore`` must keep to."""

from __future__ import annotations

import asyncio

import msgspec

from tradewright.domain.errors import NotFound
from tradewright.domain.people import DEVICES_KEPT
from tradewright.domain.people_stores import PeopleStores
from tradewright.testing.people_material import DAY, NOW, api_token, hashed, record, session, token


async def check_sessions_kept(people: PeopleStores) -> None:
    """Sessions are kept whole, the newest of each user, until they end."""
    sessions = people.sessions
    for name in ("anna", "ben"):
        await people.users.add(record(name))
    whole = session("id-anna", "a", NOW + 1, client="api", agent="curl\0/8", device_id="laptop")
    assert await sessions.add(whole, token(whole.id, "a"), kept_max=3) == ()
    kept = await sessions.get(whole.id)
    assert kept is not None
    assert msgspec.structs.replace(kept, agent=whole.agent) == whole, "all of it, as far as it can be kept"
    for number, name in enumerate("bc", start=2):
        made = session("id-anna", name, NOW + number)
        assert await sessions.add(made, token(made.id, name), kept_max=3) == ()
    theirs = session("id-ben", "ben")
    assert await sessions.add(theirs, token(theirs.id, "ben"), kept_max=3) == ()
    fourth = session("id-anna", "d")
    assert await sessions.add(fourth, token(fourth.id, "d"), kept_max=3) == (whole.id,), (
        "the one that was not used for longest goes, never the new one"
    )
    assert await sessions.token(hashed("a")) is None, "with its tokens"
    ids = [each.id for each in await sessions.of_user("id-anna")]
    assert ids == ["session-c", "session-b", "session-d"], "the last used first"
    assert await sessions.verify("session-b", NOW + 77)
    verified = await sessions.get("session-b")
    assert verified is not None
    assert verified.verified_ms == NOW + 77
    assert not await sessions.verify("session-a", NOW)
    assert await sessions.end("session-b")
    assert not await sessions.end("session-b")
    assert await sessions.token(hashed("b")) is None
    assert set(await sessions.end_all("id-anna", but="session-d")) == {"session-c"}
    assert await sessions.get("session-d") is not None
    assert await sessions.end_all("id-anna") == ("session-d",)
    assert await sessions.end_all("nobody") == ()
    assert [each.id for each in await sessions.of_user("id-ben")] == [theirs.id], "nobody else's ended"
    try:
        await sessions.add(session("nobody", "x"), token("session-x", "x"), kept_max=3)
    except NotFound:
        pass
    else:
        raise AssertionError("a user who is gone has no sessions")
    assert await sessions.token(hashed("x")) is None
    rush = [session("id-anna", f"rush{number}") for number in range(12)]
    await asyncio.gather(*(sessions.add(each, token(each.id, each.id), kept_max=5) for each in rush))
    assert len(await sessions.of_user("id-anna")) == 5, "however many come at once"


async def check_rotation(people: PeopleStores) -> None:
    """A token is used once: of those who try at once one is told so, and there is one successor."""
    sessions = people.sessions
    await people.users.add(record("anna"))
    mine = session("id-anna", "s")
    await sessions.add(mine, token(mine.id, "token 0"), kept_max=9)
    present = "token 0"
    for turn in range(4):
        names = [f"token {turn + 1} {n}" for n in range(10)]
        answers = await asyncio.gather(
            *(
                sessions.rotate(
                    hashed(present), token(mine.id, name), b"sealed %d" % n, NOW + turn, f"192.0.2.{n}"
                )
                for n, name in enumerate(names)
            )
        )
        assert sorted(answers) == [False] * 9 + [True], "exactly one of ten"
        winner = answers.index(True)
        used = await sessions.token(hashed(present))
        assert used is not None
        assert (used.used_ms, used.successor) == (NOW + turn, b"sealed %d" % winner), "it keeps its successor"
        found = [await sessions.token(hashed(name)) for name in names]
        assert [each is not None for each in found] == answers, "and no other one is kept"
        noted = await sessions.get(mine.id)
        assert noted is not None
        assert (noted.last_used_ms, noted.address) == (NOW + turn, f"192.0.2.{winner}")
        present = names[winner]
    assert not await sessions.rotate(hashed("none"), token(mine.id, "new"), b"", NOW, "")
    await asyncio.gather(
        *(sessions.rotate(hashed(present), token(mine.id, f"last {n}"), b"", NOW, "") for n in range(5)),
        sessions.end(mine.id),
    )
    for name in ("token 0", present, *(f"last {n}" for n in range(5))):
        assert await sessions.token(hashed(name)) is None, "nothing of it outlives its session"


async def check_devices(people: PeopleStores) -> None:
    """A device is known beyond the session, to its user alone, and only the newest are."""
    sessions = people.sessions
    for name in ("anna", "ben"):
        await people.users.add(record(name))

    async def log_in(name: str, device: str, time_ms: int) -> None:
        made = session("id-anna", name, device_id=device, created_ms=time_ms)
        await sessions.add(made, token(made.id, name), kept_max=3)
        await sessions.end(made.id)

    await log_in("a", "laptop", NOW + 9)
    await log_in("b", "laptop", NOW)
    assert await sessions.known_device("id-anna", "laptop", NOW + 9), "since its last login"
    assert not await sessions.known_device("id-anna", "laptop", NOW + 10)
    assert not await sessions.known_device("id-anna", "phone", 0)
    assert not await sessions.known_device("id-ben", "laptop", 0), "not to somebody else"
    for number in range(DEVICES_KEPT):
        await log_in(f"more{number}", f"device {number}", NOW + 100 + number)
    assert not await sessions.known_device("id-anna", "laptop", 0), "the oldest is forgotten"
    assert await sessions.known_device("id-anna", "device 0", 0)


async def check_forgetting_sessions(people: PeopleStores) -> None:
    """What has ended by age or by idleness is removed, and no more."""
    sessions = people.sessions
    await people.users.add(record("anna"))
    for name, used_ms, expires_ms in (
        ("old", NOW, NOW + 10),
        ("idle", NOW - DAY - 1, NOW + DAY),
        ("good", NOW - DAY, NOW + 11),
    ):
        made = session("id-anna", name, used_ms, expires_ms=expires_ms)
        await sessions.add(made, token(made.id, name), kept_max=9)
    assert await sessions.forget_ended(NOW + 10, DAY + 10) == 2
    assert [each.id for each in await sessions.of_user("id-anna")] == ["session-good"]
    assert await sessions.token(hashed("old")) is None
    assert await sessions.token(hashed("good")) is not None


async def check_api_tokens(people: PeopleStores) -> None:
    """A program's token is found by its hash, and is its owner's alone."""
    tokens = people.api_tokens
    for name in ("anna", "ben"):
        await people.users.add(record(name))
    made = [api_token("id-anna", f"t{number}", NOW + number) for number in range(8)]
    answers = await asyncio.gather(*(tokens.add(each, hashed(each.id), kept_max=3) for each in made))
    assert sorted(answers) == [False] * 5 + [True] * 3, "so many and no more, however many come at once"
    kept = [each for each, answer in zip(made, answers, strict=True) if answer]
    assert await tokens.of_user("id-anna") == tuple(reversed(kept)), "newest first"
    assert [await tokens.find(hashed(each.id)) for each in kept] == kept
    assert await tokens.find(hashed("none")) is None
    assert await tokens.add(api_token("id-ben", "theirs"), hashed("theirs"), kept_max=3)
    await tokens.note_use(kept[0].id, NOW + 5)
    await tokens.note_use("none", NOW + 5)
    assert await tokens.find(hashed(kept[0].id)) == msgspec.structs.replace(kept[0], last_used_ms=NOW + 5)
    assert not await tokens.delete("id-anna", "token-theirs"), "not somebody else's"
    assert await tokens.delete("id-anna", kept[0].id)
    assert not await tokens.delete("id-anna", kept[0].id)
    assert await tokens.find(hashed(kept[0].id)) is None
    try:
        await tokens.add(api_token("nobody", "x"), hashed("x"), kept_max=3)
    except NotFound:
        return
    raise AssertionError("a user who is gone has no tokens")

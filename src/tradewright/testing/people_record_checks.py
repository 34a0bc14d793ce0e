"""What every ``AttemptStore``, ``AuditStore``, ``PreferenceStore`` and ``CredentialStore`` must keep to."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tradewright.domain.errors import Conflict
from tradewright.domain.people import AUDIT_BEGINNING, AuditEvent, NewAuditEvent
from tradewright.domain.people_stores import PeopleStores
from tradewright.testing.people_material import NOW, credential


async def check_attempts(people: PeopleStores) -> None:
    """Failures are counted exactly, whatever the keys are and however many fail at once."""
    attempts = people.attempts
    keys = ["account:anna\0", "address:192.0.2.1", "account:" + "x" * 70_000, "account:\ud800"]
    assert await attempts.failures(keys) == {}
    await asyncio.gather(
        *(
            attempts.add_failure((keys if number % 2 else keys[::-1])[: 2 + number % 3], NOW + number)
            for number in range(60)
        )
    )
    wanted = dict.fromkeys(keys, 0)
    for number in range(60):
        for key in (keys if number % 2 else keys[::-1])[: 2 + number % 3]:
            wanted[key] += 1
    found = await attempts.failures([*keys, "another"])
    assert {key: count for key, (count, _) in found.items()} == wanted, "each of them is counted"
    assert max(last_ms for _, last_ms in found.values()) == NOW + 59, "with the time of the last"
    await attempts.add_failure([keys[0]], NOW)
    assert (await attempts.failures([keys[0]]))[keys[0]] == (wanted[keys[0]] + 1, found[keys[0]][1])
    await attempts.take_back({keys[1]: 1, keys[2]: wanted[keys[2]], keys[3]: 10_000, "another": 1})
    left = await attempts.failures([*keys, "another"])
    assert left.keys() == {keys[0], keys[1]}, "nothing less than nothing"
    assert left[keys[1]] == (wanted[keys[1]] - 1, found[keys[1]][1])
    await attempts.take_back({})
    await asyncio.gather(*(attempts.take_back({keys[1]: 1}) for _ in range(5)))
    assert (await attempts.failures(keys))[keys[1]][0] == wanted[keys[1]] - 6, "each of them"
    await attempts.add_failure(keys[2:], NOW)
    await attempts.clear([keys[0], "another"])
    assert set(await attempts.failures(keys)) == set(keys[1:])
    await attempts.add_failure(["early"], NOW - 2)
    await attempts.add_failure(["late"], NOW - 1)
    await attempts.forget(NOW - 1)
    assert await attempts.failures(["early", "late"]) == {"late": (1, NOW - 1)}
    await attempts.add_failure([], NOW)
    assert await attempts.failures([]) == {}


async def check_audit(people: PeopleStores) -> None:
    """Events stand behind each other without a gap, and their digests vouch for all of them."""
    audit = people.audit
    assert [event async for event in audit.all()] == []
    details = {"a": 1, "b": [True, None, 1.5], "text": "line\r\nline\0 ü", "c": {"z": 1, "a": 2}}
    first = await audit.append(
        NewAuditEvent(
            time_ms=NOW,
            kind="login.failed",
            user_id="anna",
            actor_id="ben",
            address="192.0.2.1\r\nforged\0",
            request_id="r1",
            details=details,
        )
    )
    assert first.position == 1
    assert first.details == details
    await asyncio.gather(
        *(
            audit.append(NewAuditEvent(time_ms=NOW - number, kind="x", user_id=("anna", None)[number % 2]))
            for number in range(40)
        )
    )
    events = [event async for event in audit.all()]
    assert events[0] == first
    assert [event.position for event in events] == list(range(1, 42)), "no gap, nobody twice"
    check_chain(events)
    assert await audit.newest(limit=3) == tuple(events[:-4:-1])
    assert await audit.newest(limit=2, before=3) == (events[1], events[0])
    hers = [event for event in reversed(events) if event.user_id == "anna"]
    assert await audit.newest(user_id="anna") == tuple(hers)
    assert await audit.newest(user_id="anna", before=hers[0].position, limit=1) == (hers[1],)
    assert await audit.newest(user_id="nobody") == ()


def check_chain(events: list[AuditEvent]) -> None:
    """``AssertionError`` where a digest is not what the events before it make it."""
    before = AUDIT_BEGINNING
    for event in events:
        assert event.digest == event.expected_digest(before), f"event {event.position} was changed"
        before = event.digest


async def check_canary(people: PeopleStores) -> None:
    """The first record stays, however many come at once; it is replaced only by who knows it."""
    canary = people.canary
    assert await canary.kept() is None
    kept = await asyncio.gather(*(canary.keep_first(b"sealed %d" % number) for number in range(20)))
    assert len(set(kept)) == 1, "all are told the one that is kept"
    (first,) = set(kept)
    assert await canary.kept() == first
    assert not await canary.reseal(b"other", b"new")
    assert await canary.reseal(first, b"new \x00\xff")
    assert not await canary.reseal(first, b"newer")
    assert await canary.keep_first(b"late") == await canary.kept() == b"new \x00\xff"


async def check_preferences(people: PeopleStores) -> None:
    """A user's object changes key by key, and stays as large as it may be."""
    preferences = people.preferences
    assert await preferences.get("anna") == {}
    first = await preferences.merge("anna", {"theme": "dark", "list": [1, "ü\0"]}, bytes_max=1_000)
    assert first == {"theme": "dark", "list": [1, "ü\0"]}
    assert await preferences.get("anna") == first
    assert await preferences.merge("anna", {"theme": None, "none": None}, bytes_max=1_000) == {
        "list": [1, "ü\0"]
    }
    assert await preferences.merge("anna", {"long": "x" * 1_000}, bytes_max=1_000) is None
    assert await preferences.get("anna") == {"list": [1, "ü\0"]}, "what is too long changes nothing"
    assert await preferences.merge("ben", {"a": 1}, bytes_max=7) == {"a": 1}, "as long as is allowed"
    assert await preferences.merge("ben", {"a": 10}, bytes_max=7) is None, "and no longer"
    await asyncio.gather(
        *(preferences.merge("anna", {f"key{number}": number}, bytes_max=10_000) for number in range(20))
    )
    merged = await preferences.get("anna")
    assert merged == {"list": [1, "ü\0"], **{f"key{number}": number for number in range(20)}}, (
        "nobody's change is lost"
    )
    merged["mine"] = 1
    assert "mine" not in await preferences.get("anna")
    await preferences.delete("anna")
    await preferences.delete("nobody")
    assert await preferences.get("anna") == {}
    assert await preferences.get("ben") == {"a": 1}


async def check_credentials(people: PeopleStores) -> None:
    """A key is kept sealed, for its owner alone."""
    credentials = people.credentials
    made = [credential("anna", f"c{number}", NOW + number) for number in range(8)]
    answers = await asyncio.gather(*(credentials.add(each, kept_max=3) for each in made))
    assert sorted(answers) == [False] * 5 + [True] * 3, "so many and no more, however many come at once"
    kept = [each for each, answer in zip(made, answers, strict=True) if answer]
    theirs = credential("ben", "B")
    assert await credentials.add(theirs, kept_max=3)
    assert await credentials.of_user("anna") == tuple(kept), "oldest first"
    assert await credentials.get("anna", kept[0].id) == kept[0]
    assert await credentials.get("ben", kept[0].id) is None, "not to be reached by its id"
    assert not await credentials.delete("ben", kept[0].id)
    stolen = replace(kept[0], user_id="ben")
    assert not await credentials.replace(stolen, replace(stolen, label="mine"))
    assert not await credentials.replace(kept[0], stolen), "a credential does not change hands"
    try:
        await credentials.add(credential("ben", kept[0].label), kept_max=3)
    except Conflict:
        pass
    else:
        raise AssertionError("an id is one credential's")
    changed = replace(
        kept[0],
        label="other",
        sealed=b"new",
        tested_ms=NOW + 1,
        can_withdraw=False,
        withdrawal_accepted=True,
        last_used_ms=NOW + 2,
        testnet=False,
    )
    assert await credentials.replace(kept[0], changed)
    assert await credentials.get("anna", changed.id) == changed, "all of it is kept"
    assert not await credentials.replace(kept[0], replace(kept[0], label="late")), "it is another one by now"
    rivals = [replace(changed, label=f"by {number}") for number in range(5)]
    answers = await asyncio.gather(*(credentials.replace(changed, rival) for rival in rivals))
    assert sorted(answers) == [False] * 4 + [True], "one of those who change it at once"
    changed = rivals[answers.index(True)]
    assert await credentials.get("anna", changed.id) == changed
    assert not await credentials.reseal(changed.id, b"old", b"newer")
    answers = await asyncio.gather(*(credentials.reseal(changed.id, b"new", b"%d" % n) for n in range(5)))
    assert sorted(answers) == [False] * 4 + [True], "one of those who seal it anew at once"
    ids = sorted([theirs.id, *(each.id for each in kept)])
    assert [each.id for each in await credentials.all(limit=3)] == ids[:3], "by id, whatever the language"
    assert [each.id for each in await credentials.all(after=ids[2])] == ids[3:]
    assert await credentials.delete("anna", changed.id)
    assert not await credentials.delete("anna", changed.id)
    assert set(await credentials.delete_all("anna")) == {each.id for each in kept[1:]}
    assert await credentials.delete_all("anna") == ()
    assert await credentials.of_user("ben") == (theirs,)

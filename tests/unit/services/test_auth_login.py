"""Guessing: how many tries are looked at, what a try shows, and whom an attack does not hold back."""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import replace

import pytest

from tests.support.accounts import AWAY, HOME, PASSWORD, People
from tests.support.login_attack import area_under_curve, refusal_times
from tradewright.domain.errors import InvalidInput, StorageUnavailable
from tradewright.domain.people import InvalidLogin, TooManyLogins
from tradewright.services.auth.held_back import TOLD_AFTER_S
from tradewright.services.auth.passwords import (
    AT_ONCE,
    WAITING_MAX,
    PasswordCost,
    Passwords,
    check_new_password,
)
from tradewright.services.auth.throttle import (
    BY_ACCOUNT,
    BY_ADDRESS,
    BY_PAIR,
    DELAY_MS_MAX,
    Throttle,
    guess_of_device,
)
from tradewright.services.auth.visits import Visit


@pytest.fixture
async def people() -> People:
    people = People()
    await people.add()
    return people


async def guess(people: People, name: str, visit: Visit, password: str = "wrong") -> bool:
    """Whether the try was looked at; the password must be wrong."""
    try:
        await people.login(name, password, visit=visit)
    except InvalidLogin:
        return True
    except TooManyLogins as refused:
        wait_s = refused.retry_after_s or 0
    else:
        raise AssertionError("a wrong password was taken")
    assert 0 < wait_s <= DELAY_MS_MAX / 1000
    return False


async def test_a_login_by_name_or_address_whatever_the_case(people: People) -> None:
    for name in ("anna", "ANNA", "Anna@Example.COM"):
        caller = await people.caller(name)
        assert (caller.role, caller.is_admin) == ("admin", True)
    assert "login.ok" in await people.kinds()


async def test_ten_thousand_guesses_in_ten_minutes(people: People) -> None:
    looked_at = 0
    for _ in range(1_000):
        looked_at += sum([await guess(people, "anna", AWAY) for _ in range(10)])
        await people.clock.advance(0.6)
    assert looked_at <= 30
    assert looked_at >= BY_PAIR.free


async def test_guessing_at_many_accounts_from_one_address(people: People) -> None:
    looked_at = 0
    for number in range(1_000):
        looked_at += await guess(people, f"user{number}", AWAY)
        await people.clock.advance(0.6)
    assert looked_at <= BY_ADDRESS.free + 10


async def test_guessing_from_many_addresses_at_one_account(people: People) -> None:
    looked_at = 0
    for number in range(5_000):
        looked_at += await guess(
            people, "anna", replace(AWAY, address=f"203.0.{number // 250}.{number % 250}")
        )
        await people.clock.advance(0.12)
    assert looked_at <= BY_ACCOUNT.free + 11


async def test_one_network_of_ipv6_is_one_address(people: People) -> None:
    looked_at = 0
    for number in range(200):
        visit = replace(AWAY, address=f"2001:db8:1:2:{number:x}::1")
        looked_at += await guess(people, f"user{number}", visit)
    assert looked_at == BY_ADDRESS.free
    assert await guess(people, "anna", replace(AWAY, address="2001:db8:1:3::1"))
    assert replace(AWAY, address="::ffff:198.51.100.7").network == AWAY.network
    assert replace(AWAY, address="fe80::1%eth0").network == "fe80::"


async def test_two_hundred_at_once_are_counted_one_by_one(people: People) -> None:
    answers = await asyncio.gather(*(guess(people, "anna", AWAY) for _ in range(200)))
    assert sum(answers) == BY_PAIR.free
    spread = [replace(AWAY, address=f"203.0.113.{number}") for number in range(200)]
    answers = await asyncio.gather(*(guess(people, "nobody", visit) for visit in spread))
    assert sum(answers) == BY_ACCOUNT.free


async def test_the_owner_comes_in_while_one_address_attacks(people: People) -> None:
    for _ in range(400):
        await guess(people, "anna", AWAY)
        await people.clock.advance(0.1)
    elsewhere = replace(AWAY, address="192.0.2.44")
    await people.login(visit=elsewhere)


async def test_one_address_never_shuts_the_owner_out_however_long_it_goes_on(people: People) -> None:
    looked_at = 0
    for number in range(60):
        looked_at += await guess(people, "anna", AWAY)
        if number % 20 == 19:
            await people.login(visit=replace(AWAY, address="192.0.2.44"))
        await people.clock.advance(DELAY_MS_MAX / 1000)
    assert looked_at == 60, "each after the longest wait"
    for _ in range(30):
        assert await guess(people, "cleo", AWAY)
        await people.clock.advance(DELAY_MS_MAX / 1000)
    assert await guess(people, "cleo", AWAY)
    assert await guess(people, "cleo", replace(AWAY, address="192.0.2.44")), (
        "nor somebody else a moment later"
    )


async def test_a_known_device_comes_in_while_the_whole_world_attacks(people: People) -> None:
    device = (await people.login(visit=AWAY)).device
    for number in range(500):
        await guess(people, "anna", replace(AWAY, address=f"203.0.113.{number % 250}"))
        await guess(people, "anna", AWAY)
    with pytest.raises(TooManyLogins):
        await people.login(visit=replace(AWAY, address="192.0.2.44"))
    await people.login(visit=replace(AWAY, device=device))


async def test_a_device_helps_its_owner_alone_and_not_to_guess(people: People) -> None:
    await people.add("berta", "trader")
    device = (await people.login("berta", visit=AWAY)).device
    looked_at = 0
    for _ in range(100):
        looked_at += await guess(people, "anna", replace(AWAY, device=device))
    assert looked_at == BY_PAIR.free, "somebody else's device is none"
    looked_at = 0
    for _ in range(100):
        looked_at += await guess(people, "berta", replace(HOME, device=device))
    assert looked_at == 5
    for forged in ("", "x", "a.b.c.d", device[:-1] + "0", device.replace(".", "..", 1), "é" * 40, "." * 300):
        looked_at = await guess(people, "anna", replace(AWAY, device=forged))
        assert not looked_at


async def test_a_device_from_before_the_password_changed_is_unknown(people: People) -> None:
    device = (await people.login(visit=AWAY)).device
    await people.clock.advance(1)
    user = await people.auth.find_user("anna")
    await people.auth.reset_password(user.id, PASSWORD + "!", HOME, keep_totp=False)
    looked_at = 0
    for _ in range(50):
        looked_at += await guess(people, "anna", replace(AWAY, device=device))
    assert looked_at == BY_PAIR.free


async def test_a_right_password_forgets_the_account_s_count_but_not_the_address_s(people: People) -> None:
    for _ in range(10):
        for _ in range(2):
            assert await guess(people, "anna", AWAY)
        if await guess_is_right(people):
            continue
        break
    assert not await guess(people, "user1", AWAY), (
        "20 wrong tries came from there, whatever was right between"
    )


async def guess_is_right(people: People) -> bool:
    try:
        await people.login(visit=AWAY)
    except TooManyLogins:
        return False
    return True


async def seen(people: People, name: str, visit: Visit) -> tuple[str, str, float | None]:
    """What a wrong password is answered."""
    try:
        await people.login(name, "wrong", visit=visit)
    except InvalidLogin as refused:
        return refused.code, refused.message, None
    except TooManyLogins as refused:
        return refused.code, refused.message, refused.retry_after_s
    raise AssertionError("a wrong password was taken")


async def test_the_two_names_of_an_account_look_like_two_names_that_nobody_has(people: People) -> None:
    """Whoever guesses by turns is answered step by step as if nobody had either name: neither that they are
    somebody's nor that they are the same person's shows."""
    own, nobodys = ("anna", "anna@example.com"), ("cleo", "cleo@example.com")
    elsewhere = [replace(AWAY, address=f"203.0.113.{number}") for number in range(8)]
    held_back = 0
    for step in range(120):
        which = (step // 12) % 2 if step < 60 else step % 2
        visit = elsewhere[step % 8] if step % 3 else elsewhere[0]
        one = await seen(people, own[which], visit)
        other = await seen(people, nobodys[which], replace(visit, address=f"{visit.address}0"))
        assert one == other, step
        held_back += one[0] == "too_many_logins"
        await people.clock.advance(step % 5 * 0.7)
    assert 40 < held_back < 110
    assert await seen(people, own[0], AWAY) == await seen(people, nobodys[0], replace(AWAY, address="::1"))


async def test_an_account_has_one_budget_for_both_its_names(people: People) -> None:
    """Each try by one name counts for the other, silently: even the right password is wrong then."""
    for number in range(BY_ACCOUNT.free):
        assert await guess(people, "anna", replace(AWAY, address=f"203.0.113.{number}"))
    with pytest.raises(InvalidLogin):
        await people.login("anna@example.com", visit=AWAY)
    (event, *_) = await people.stores.audit.newest(limit=1)
    assert (event.kind, event.details) == ("login.failed", {"why": "held back"})
    for _ in range(BY_PAIR.free):
        with pytest.raises(InvalidLogin):
            await people.login("ANNA@example.com", visit=replace(AWAY, address="192.0.2.44"))
    await people.clock.advance(1)
    await people.login("anna@example.com", visit=AWAY)


async def test_what_the_owner_does_does_not_show_to_who_guesses(people: People) -> None:
    for number in range(BY_ACCOUNT.free + 1):
        await guess(people, "anna", replace(AWAY, address=f"203.0.113.{number}"))
        await guess(people, "cleo", replace(AWAY, address=f"203.0.114.{number}"))
        await people.clock.advance(1.1)
    await people.clock.advance(2)
    await people.login("anna", visit=replace(AWAY, address="192.0.2.44"))
    for number in range(20, 23):
        one = await seen(people, "anna", replace(AWAY, address=f"203.0.113.{number}"))
        assert one == await seen(people, "cleo", replace(AWAY, address=f"203.0.114.{number}"))


async def test_a_try_that_is_broken_off_is_a_failed_one(people: People) -> None:
    throttle, guessed = Throttle(people.stores.attempts, people.clock), guess_of_device("laptop")

    async def leave() -> None:
        async with throttle.attempt(guessed):
            await asyncio.Event().wait()

    for _ in range(5):
        leaving = asyncio.ensure_future(leave())
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    with pytest.raises(TooManyLogins):
        await asyncio.wait_for(leave(), 5)


async def held_back(people: People) -> list[tuple[str, str | None, object]]:
    """What the audit log says of tries that were held back, oldest first."""
    events = [event async for event in people.stores.audit.all() if event.kind.endswith("held_back")]
    return [(event.kind, event.user_id, event.details["tries"]) for event in events]


async def test_what_is_held_back_stands_in_the_audit_log_in_sums(people: People) -> None:
    """Soon, for each account, and no more than a line for it every ten minutes."""
    people.auth.start()
    anna = (await people.auth.find_user("anna")).id
    for name in ("anna", "nobody"):
        for _ in range(BY_PAIR.free + 7):
            await guess(people, name, replace(AWAY, address=f"198.51.100.{len(name)}"))
    assert await held_back(people) == []
    await people.clock.advance(TOLD_AFTER_S)
    assert await held_back(people) == [("login.held_back", anna, 7), ("login.held_back", None, 7)]
    refused = 0
    for number in range(2_000):
        refused += not await guess(people, f"anyone{number % 50}", AWAY)
        await people.clock.advance(1)
    lines = (await held_back(people))[2:]
    assert len(lines) <= 2_000 // 600 + 1
    await people.auth.close()
    assert sum(int(str(tries)) for _, _, tries in (await held_back(people))[2:]) == refused, "none is lost"


async def test_a_step_up_that_is_held_back_is_told_as_well(people: People) -> None:
    caller = await people.caller()
    for _ in range(8):
        with pytest.raises((InvalidLogin, TooManyLogins)):
            await people.auth.step_up(caller, "wrong", None, HOME)
        with pytest.raises((InvalidLogin, TooManyLogins)):
            await people.auth.change_password(caller, "wrong", PASSWORD + "!", HOME)
    people.auth.start()
    await people.clock.advance(TOLD_AFTER_S)
    await people.auth.close()
    assert {kind for kind, _, _ in await held_back(people)} == {"step_up.held_back", "password.held_back"}


async def test_waiting_helps_and_a_day_forgets(people: People) -> None:
    for _ in range(BY_PAIR.free):
        assert await guess(people, "anna", AWAY)
    assert not await guess(people, "anna", AWAY)
    await people.clock.advance(1)
    assert await guess(people, "anna", AWAY)
    await people.clock.advance(1)
    assert not await guess(people, "anna", AWAY), "each wait is twice as long"
    await people.clock.advance(86_400)
    for _ in range(BY_PAIR.free):
        assert await guess(people, "anna", AWAY)
    assert not await guess(people, "anna", AWAY)


@pytest.mark.parametrize(
    ("dead", "password"),
    [("failures", PASSWORD), ("failures", "wrong"), ("add_failure", "wrong"), ("take_back", PASSWORD)],
)
async def test_without_the_counts_nobody_comes_in_nor_learns_anything(
    people: People, dead: str, password: str
) -> None:
    class Dead:
        def __getattr__(self, name: str) -> object:
            if name == dead:
                raise StorageUnavailable("The database does not answer.")
            return getattr(people.stores.attempts, name)

    stores = replace(people.stores, attempts=Dead())  # type: ignore[arg-type]
    broken = People(people.clock, people.jwt, people.encryption, stores)
    user = await people.auth.find_user("anna")
    with pytest.raises(StorageUnavailable):
        await broken.login(password=password)
    assert await people.stores.sessions.of_user(user.id) == ()


async def test_an_unknown_name_a_wrong_password_and_a_disabled_user_look_alike(people: People) -> None:
    berta = await people.add("berta", "trader")
    await people.auth.administration.set_disabled(berta.id, True, None, HOME)
    seen = set()
    for name, password in (
        ("nobody", PASSWORD),
        ("anna", "wrong"),
        ("berta", PASSWORD),
        ("", ""),
        ("a" * 128, "x"),
    ):
        with pytest.raises(InvalidLogin) as refused:
            await people.login(name, password)
        seen.add((refused.value.code, refused.value.message))
    assert len(seen) == 1


async def test_a_refused_name_does_not_show_in_time() -> None:
    """A fifth of what the soak measures, at a lower cost."""
    known, unknown = await refusal_times(100, PasswordCost(time=1, memory_kib=8 * 1024, lanes=1))
    assert 0.4 < area_under_curve(known, unknown) < 0.6
    assert statistics.median(unknown) > 0.5 * statistics.median(known)


async def test_hashes_are_of_the_strength_that_we_say() -> None:
    passwords = Passwords()
    kept = await passwords.make(PASSWORD)
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await passwords.check(kept, PASSWORD)
    assert not await passwords.check(kept, PASSWORD + " ")
    assert not await passwords.check(None, "")
    assert not await passwords.check("no hash", PASSWORD)
    assert not passwords.is_outdated(kept)
    passwords.close()


async def test_a_weaker_hash_is_made_anew_at_the_next_login(people: People) -> None:
    stronger = People(
        people.clock, people.jwt, people.encryption, people.stores, cost=PasswordCost(2, 128, 1)
    )
    before = await people.stores.users.find("anna")
    await stronger.login()
    after = await people.stores.users.find("anna")
    assert before is not None
    assert after is not None
    assert "m=64,t=1" in before.password_hash
    assert "m=128,t=2" in after.password_hash
    await stronger.login()


async def test_passwords_are_checked_beside_the_loop_and_few_at_once() -> None:
    passwords = Passwords(PasswordCost(time=1, memory_kib=8 * 1024, lanes=1))
    checks = [asyncio.ensure_future(passwords.check(None, "x")) for _ in range(WAITING_MAX + 20)]
    turns = 0
    while not all(check.done() for check in checks):
        await asyncio.sleep(0)
        turns += 1
    refused = [check for check in checks if isinstance(check.exception(), TooManyLogins)]
    assert len(refused) == 20
    assert turns > 100
    assert passwords._pool._max_workers == AT_ONCE
    passwords.close()


@pytest.mark.parametrize(
    "password",
    [
        "", "short", "elevenchars", "x" * 129, "password1234", "Password!2024", "P4ssw0rd2023!",
        "qwertyuiop12",
        "aaaaaaaaaaaa", "abcabcabcabc", "123456789012", "abcdefghijkl", "letmeinletmein", "iloveyou1234",
        "Summer2024!!", "welcome-admin-1", "bitcoinwallet",
        "tradewright1", "tradewright2024!", "anna-lena1234", "anna.lena@example.com", "dragondragon99",
        "zaq12wsxzaq12wsx", "passwordpassword", "111111222222", "adminadmin123",
    ],
)  # fmt: skip
def test_a_password_that_is_guessed_first_is_refused(password: str) -> None:
    with pytest.raises(InvalidInput):
        check_new_password(password, ("anna-lena", "anna.lena", "example", "anna.lena@example.com"))


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD, "correct horse battery staple", "kq8ZV2mX7tRp",
        "Der Hund frisst 3 Äpfel", "パスワードは長いほうがいい",
        "mfk zwl qqt ubn", "x7-lantern-verdict", "👍 thumbs for the parrot",
    ],
)  # fmt: skip
def test_an_ordinary_long_password_is_taken(password: str) -> None:
    check_new_password(password, ("anna", "example"))


async def test_the_same_letters_are_the_same_password(people: People) -> None:
    await people.add("cleo", password="naïve café lantern")
    await people.login("cleo", "nai\u0308ve cafe\u0301 lantern")


async def test_nothing_secret_stands_in_the_audit_log(people: People) -> None:
    await people.login()
    for name, password in (("anna", "typed-secret"), ("typed-secret", "x"), ("no\r\nbody", "y")):
        await guess(people, name, replace(AWAY, address="1.2.3.4\r\nforged", request_id="a\nb"), password)
    events = [event async for event in people.stores.audit.all()]
    for event in events:
        assert "typed-secret" not in repr(event)
        assert PASSWORD not in repr(event)
        assert all(
            text.isprintable()
            for text in (event.address, event.request_id, *map(str, event.details.values()))
        )
    assert events[-1].address == "1.2.3.4\\r\\nforged"
    assert await people.auth.first_broken_event() is None

"""The second factor: each code good once, few guesses, and a way back for who loses it."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.accounts import AWAY, HOME, PASSWORD, People
from tradewright.domain.errors import Conflict, InvalidInput
from tradewright.domain.people import TooManyLogins, TotpRequired


@pytest.fixture
async def people() -> People:
    people = People()
    await people.add()
    return people


async def comes_in(people: People, code: str | None) -> bool:
    try:
        await people.login(code=code)
    except (TotpRequired, TooManyLogins):
        return False
    return True


async def test_a_code_is_needed_once_it_was_confirmed(people: People) -> None:
    caller = await people.caller()
    enrolment = await people.auth.enrol_totp(caller, HOME)
    assert enrolment.uri.startswith("otpauth://totp/")
    assert enrolment.image.startswith("data:image/svg+xml")
    assert enrolment.secret not in repr(enrolment)
    assert await comes_in(people, None), "not before it is confirmed"
    with pytest.raises(InvalidInput):
        await people.auth.confirm_totp(caller, "000000", HOME)
    generator, codes = await people.with_totp()
    assert len(set(codes)) == 10
    assert not await comes_in(people, None)
    assert await comes_in(people, people.code(generator))
    with pytest.raises(Conflict):
        await people.auth.enrol_totp(caller, HOME)
    with pytest.raises(Conflict):
        await people.auth.confirm_totp(caller, people.code(generator, 1), HOME)
    user, left = await people.auth.me(caller)
    assert (user.totp_enabled, left) == (True, 10)


async def test_the_same_code_a_thousand_times(people: People) -> None:
    generator, _ = await people.with_totp()
    code = people.code(generator)
    answers = await asyncio.gather(*(comes_in(people, code) for _ in range(100)))
    assert sum(answers) == 1
    for _ in range(900):
        assert not await comes_in(people, code)


async def test_only_codes_of_now_and_of_one_step_around(people: People) -> None:
    generator, _ = await people.with_totp()
    for steps, good in ((-3, False), (-2, False), (2, False), (3, False), (-1, True), (0, True), (1, True)):
        assert await comes_in(people, people.code(generator, steps)) == good, steps
        await people.clock.advance(86_400)


async def test_an_older_code_is_not_good_after_a_newer_one(people: People) -> None:
    generator, _ = await people.with_totp()
    older, newer = people.code(generator, 0), people.code(generator, 1)
    assert await comes_in(people, newer)
    assert not await comes_in(people, older)


async def test_five_wrong_codes_and_then_one_waits(people: People) -> None:
    generator, _ = await people.with_totp()
    for number in range(5):
        with pytest.raises(TotpRequired):
            await people.login(code=f"{number:06}")
    with pytest.raises(TooManyLogins):
        await people.login(code=people.code(generator))
    await people.clock.advance(1)
    assert await comes_in(people, people.code(generator))


async def test_guessing_codes_for_ten_minutes(people: People) -> None:
    await people.with_totp()
    looked_at = 0
    for number in range(600):
        try:
            await people.login(code=f"{number * 7919 % 1_000_000:06}", visit=AWAY)
        except TotpRequired:
            looked_at += 1
        except TooManyLogins:
            pass
        await people.clock.advance(1)
    assert looked_at <= 15


async def test_a_recovery_code_is_good_once(people: People) -> None:
    _, codes = await people.with_totp()
    spelled = codes[0].upper().replace("-", " ")
    answers = await asyncio.gather(*(comes_in(people, spelled) for _ in range(20)))
    assert sum(answers) == 1
    await people.clock.advance(86_400)
    assert not await comes_in(people, codes[0])
    assert await comes_in(people, codes[1])
    _, left = await people.auth.me(await people.caller(code=codes[2]))
    assert left == 7
    record = await people.stores.users.find("anna")
    assert not any(code in repr(record) or code.replace("-", "") in repr(record) for code in codes)
    assert record is not None
    assert all(len(each) == 64 for each in record.recovery_hashes)


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "１２３４５６", "000000\n", "-" * 30, "\ud800", "a" * 500]
)
async def test_what_is_no_code_is_none(people: People, code: str) -> None:
    await people.with_totp()
    assert not await comes_in(people, code)


async def test_the_secret_is_sealed_and_bound_to_its_user(people: People) -> None:
    generator, _ = await people.with_totp()
    record = await people.stores.users.find("anna")
    assert record is not None
    assert record.totp_secret is not None
    assert generator.secret.encode() not in record.totp_secret


async def test_a_wrong_password_says_nothing_of_the_second_factor(people: People) -> None:
    generator, _ = await people.with_totp()
    with pytest.raises(Exception, match="Name or password is wrong") as refused:
        await people.login(password="wrong", code=people.code(generator))
    assert getattr(refused.value, "code", "") == "invalid_login"
    assert await comes_in(people, people.code(generator)), "and uses no code up"


async def test_proving_oneself_anew_needs_it_too(people: People) -> None:
    generator, _ = await people.with_totp()
    caller = await people.caller(code=people.code(generator))
    with pytest.raises(TotpRequired):
        await people.auth.step_up(caller, PASSWORD, None, HOME)
    await people.clock.advance(60)
    await people.auth.step_up(caller, PASSWORD, people.code(generator), HOME)


async def test_it_can_be_removed_by_its_owner_and_by_the_operator(people: People) -> None:
    generator, codes = await people.with_totp()
    caller = await people.caller(code=people.code(generator))
    await people.auth.disable_totp(caller, HOME)
    assert await comes_in(people, None)
    await people.with_totp()
    user = await people.auth.find_user("anna")
    await people.auth.reset_password(user.id, PASSWORD, HOME, keep_totp=False)
    assert await comes_in(people, None)
    assert codes

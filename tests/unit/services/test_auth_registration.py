"""Who may come in: the first one, invited ones, and nobody else; what they may do then."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.support.accounts import AWAY, HOME, PASSWORD, People
from tradewright.domain.errors import Conflict, InvalidInput, NotFound
from tradewright.domain.people import (
    InvalidToken,
    MissingScope,
    NameTaken,
    RegistrationClosed,
    Role,
    StepUpRequired,
    TooManyLogins,
    User,
)
from tradewright.services.auth.registration import INVITE_MS, SETUP_TOKEN_MS, Applicant
from tradewright.services.auth.socket_accounts import SocketAccounts
from tradewright.services.auth.visits import Visit


def applicant(name: str, **more: str) -> Applicant:
    return Applicant(email=f"{name}@example.com", username=name, password=PASSWORD, **more)


async def try_to_register(people: People, who: Applicant, visit: Visit) -> User | None:
    try:
        return await people.auth.register(who, visit)
    except (RegistrationClosed, TooManyLogins):
        return None


@pytest.mark.parametrize("token", [False, True])
async def test_a_hundred_set_ups_at_once_make_one_administrator(token: bool) -> None:
    people = People(trusts_loopback=not token)
    text = await people.auth.registration.new_setup_token()
    visit = AWAY if token else HOME
    more = {"setup_token": text} if text else {}
    made = await asyncio.gather(
        *(try_to_register(people, applicant(f"user{number}", **more), visit) for number in range(100))
    )
    first = [user for user in made if user is not None]
    assert len(first) == 1
    assert first[0].role == "admin"
    assert await people.stores.users.count() == 1
    assert await try_to_register(people, applicant("late", **more), visit) is None
    assert (await people.kinds()).count("user.first") == 1


async def test_the_first_user_from_elsewhere_needs_the_token() -> None:
    people = People(trusts_loopback=False)
    token = await people.auth.registration.new_setup_token()
    assert token is not None
    for visit in (AWAY, HOME):
        for given in (None, "", "x", token[:-1], token + "x", "\ud800"):
            more = {} if given is None else {"setup_token": given}
            assert await try_to_register(people, applicant("eve", **more), visit) is None
    await people.clock.advance(SETUP_TOKEN_MS / 1000)
    assert await try_to_register(people, applicant("anna", setup_token=token), AWAY) is None
    newer = await people.auth.registration.new_setup_token()
    assert newer is not None
    assert await try_to_register(people, applicant("anna", setup_token=token), AWAY) is None
    first = await people.auth.register(applicant("anna", setup_token=newer), AWAY)
    assert first.role == "admin"
    assert await people.auth.registration.new_setup_token() is None
    assert await try_to_register(people, applicant("eve", setup_token=newer), AWAY) is None


async def test_on_loopback_only_this_machine_is_trusted() -> None:
    people = People()
    assert await people.auth.registration.new_setup_token() is None
    assert await try_to_register(people, applicant("eve"), AWAY) is None
    assert await try_to_register(people, applicant("eve"), replace(HOME, local=False)) is None
    assert (await people.auth.register(applicant("anna"), HOME)).role == "admin"


async def test_closed_means_closed_whatever_the_name() -> None:
    people = People()
    await people.add()
    answers = set()
    for who in (applicant("anna"), applicant("berta"), applicant("x", invite="vabc"), applicant("b" * 99)):
        with pytest.raises(RegistrationClosed) as refused:
            await people.auth.register(who, HOME)
        answers.add(refused.value.message)
    assert len(answers) == 1


async def test_open_makes_traders_and_not_at_will() -> None:
    people = People(registration="open")
    await people.add()
    assert (await people.auth.register(applicant("berta"), AWAY)).role == "trader"
    with pytest.raises(NameTaken):
        await people.auth.register(applicant("BERTA"), AWAY)
    for number in range(40):
        await try_to_register(people, applicant(f"bot{number}"), AWAY)
    assert await people.stores.users.count() <= 21


@pytest.mark.parametrize("role", ["viewer", "trader", "admin"])
async def test_an_invitation_lets_one_in_as_it_says(role: Role) -> None:
    people = People(registration="invite")
    admin = await people.add()
    invite, code = await people.auth.registration.invite(role, admin.id, HOME)
    assert code not in repr(invite)
    for other in {"v", "t", "a"} - {role[0]}:
        assert await try_to_register(people, applicant("eve", invite=other + code[1:]), AWAY) is None
    assert await try_to_register(people, applicant("eve"), AWAY) is None
    made = await asyncio.gather(
        *(try_to_register(people, applicant(f"guest{n}", invite=code), AWAY) for n in range(10))
    )
    assert [user.role for user in made if user is not None] == [role]
    _, late = await people.auth.registration.invite(role, admin.id, HOME)
    await people.clock.advance(INVITE_MS / 1000)
    assert await try_to_register(people, applicant("late", invite=late), AWAY) is None


async def test_an_invitation_can_be_taken_back() -> None:
    people = People(registration="invite")
    admin = await people.add()
    invite, code = await people.auth.registration.invite("trader", admin.id, HOME)
    await people.auth.registration.delete_invite(invite.id, admin.id, HOME)
    assert await try_to_register(people, applicant("eve", invite=code), AWAY) is None
    with pytest.raises(NotFound):
        await people.auth.registration.delete_invite(invite.id, admin.id, HOME)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "ab"), ("username", "a" * 33), ("username", "anna b"), ("username", "anna@b"),
        ("username", "аnna"), ("username", ".anna"), ("username", "anna\n"), ("email", "anna"),
        ("email", "a@b"),
        ("email", "a b@example.com"), ("email", "a@example.com\r\nx: y"),
        ("email", "a@" + "b" * 300 + ".com"),
        ("email", "a@b@example.com"), ("password", "short"), ("password", "anna12345678"),
    ],
)  # fmt: skip
async def test_a_wrong_field_is_named(field: str, value: str) -> None:
    people = People()
    with pytest.raises(InvalidInput) as refused:
        await people.auth.register(replace(applicant("anna"), **{field: value}), HOME)
    assert set(refused.value.fields) == {field}
    assert await people.stores.users.count() == 0


async def test_an_api_token_does_what_it_says_and_no_more() -> None:
    people = People()
    await people.add()
    anna = await people.caller()
    token, text = await people.auth.make_token(anna, "bot", ["read", "trade"], 30, HOME)
    assert text.startswith("tw_")
    assert text not in repr(token)
    program = await people.auth.authenticate(text)
    assert (program.scopes, program.is_admin) == (("read", "trade"), False)
    assert not people.auth.has_proved_lately(program)
    _, reading = await people.auth.make_token(anna, "reader", ["read"], 30, HOME)
    assert (await people.auth.authenticate(reading)).scopes == ("read",)
    for wrong in ("tw_", text[:-1], text + "x", "tw_" + "a" * 43, text.replace("tw_", "TW_")):
        with pytest.raises(InvalidToken):
            await people.auth.authenticate(wrong)
    with pytest.raises(InvalidToken):
        await people.auth.step_up(program, PASSWORD, None, HOME)
    await people.clock.advance(30 * 86_400)
    with pytest.raises(InvalidToken):
        await people.auth.authenticate(text)


async def test_a_token_ends_with_itself_its_user_or_their_role() -> None:
    people = People()
    await people.add()
    berta = await people.add("berta", "trader")
    caller = await people.caller("berta")
    token, text = await people.auth.make_token(caller, "bot", ["read", "trade"], 30, HOME)
    await people.auth.authenticate(text)
    await people.auth.administration.set_role(berta.id, "viewer", None, HOME)
    assert (await people.auth.authenticate(text)).scopes == ("read",)
    await people.auth.administration.set_disabled(berta.id, True, None, HOME)
    with pytest.raises(InvalidToken):
        await people.auth.authenticate(text)
    await people.auth.administration.set_disabled(berta.id, False, None, HOME)
    await people.auth.authenticate(text)
    with pytest.raises(NotFound):
        await people.auth.delete_token(await people.caller("anna"), token.id, HOME)
    await people.auth.delete_token(caller, token.id, HOME)
    with pytest.raises(InvalidToken):
        await people.auth.authenticate(text)


async def test_no_token_outlives_a_password_that_the_operator_resets() -> None:
    people = People()
    anna = await people.add()
    _, text = await people.auth.make_token(await people.caller(), "thief", ["trade"], 365, HOME)
    await people.auth.reset_password(anna.id, PASSWORD + "!", HOME, keep_totp=True)
    with pytest.raises(InvalidToken):
        await people.auth.authenticate(text)


async def test_a_program_goes_on_when_its_owner_changes_the_password() -> None:
    people = People()
    await people.add()
    caller = await people.caller()
    _, text = await people.auth.make_token(caller, "bot", ["read"], 30, HOME)
    await people.auth.change_password(caller, PASSWORD, "quite another 7 phrase", HOME)
    assert (await people.auth.authenticate(text)).scopes == ("read",)


async def test_nobody_makes_a_token_for_more_than_they_may() -> None:
    people = People()
    await people.add()
    await people.add("vera", "viewer")
    with pytest.raises(MissingScope):
        await people.auth.make_token(await people.caller("vera"), "bot", ["trade"], 30, HOME)


async def test_a_token_that_is_not_for_reading_opens_no_socket() -> None:
    people = People()
    await people.add()
    anna, accounts = await people.caller(), SocketAccounts(people.auth)
    _, trading = await people.auth.make_token(anna, "bot", ["trade"], 30, HOME)
    _, reading = await people.auth.make_token(anna, "eye", ["read"], 30, HOME)
    with pytest.raises(MissingScope):
        await accounts.authenticate(trading)
    identity = await accounts.authenticate(reading)
    assert identity.user == anna.user_id
    assert await accounts.is_current(identity)


async def test_the_last_administrator_stays() -> None:
    people = People()
    anna = await people.add()
    berta = await people.add("berta", "trader")
    manage = people.auth.administration
    with pytest.raises(Conflict):
        await manage.set_role(anna.id, "viewer", anna.id, HOME)
    with pytest.raises(Conflict):
        await manage.set_disabled(anna.id, True, anna.id, HOME)
    with pytest.raises(Conflict):
        await people.auth.delete_me(await people.caller(), HOME)
    await manage.set_role(berta.id, "admin", anna.id, HOME)
    await people.auth.delete_me(await people.caller(), HOME)
    with pytest.raises(NotFound):
        await manage.user(anna.id)
    await people.auth.delete_me(await people.caller("berta"), HOME)
    assert await people.stores.users.count() == 0


async def test_a_user_who_goes_takes_everything_along() -> None:
    forgotten: list[tuple[str, bool]] = []
    people = People()
    anna = await people.add()

    async def forget(user_id: str) -> None:
        forgotten.append((user_id, await people.stores.users.get(user_id) is not None))

    people.auth._forget_user = forget
    caller = await people.caller()
    _, text = await people.auth.make_token(caller, "bot", ["read"], 1, HOME)
    granted = (await people.login()).granted
    await people.auth.delete_me(caller, HOME)
    assert forgotten == [(anna.id, True), (anna.id, False)], "others forget first, and once more at the end"
    for token in (text, granted.access_token):
        with pytest.raises(InvalidToken):
            await people.auth.authenticate(token)
    with pytest.raises(InvalidToken):
        await people.auth.refresh(granted.refresh_token, HOME)
    assert (await people.kinds())[-1] == "user.deleted"


async def test_proving_oneself_anew_lasts_five_minutes() -> None:
    people = People()
    await people.add()
    granted = (await people.login()).granted
    assert people.auth.has_proved_lately(await people.auth.authenticate(granted.access_token))
    await people.clock.advance(300)
    caller = await people.auth.authenticate(granted.access_token)
    assert not people.auth.has_proved_lately(caller)
    until = await people.auth.step_up(caller, PASSWORD, None, HOME)
    assert until == people.clock.now_ms() + 300_000
    assert people.auth.has_proved_lately(await people.auth.authenticate(granted.access_token))
    assert StepUpRequired.code == "step_up_required"


async def test_every_tampered_event_shows() -> None:
    import msgspec

    people = People()
    await people.add()
    for _ in range(5):
        await people.login()
    events = vars(people.stores.audit)["_events"]
    assert await people.auth.first_broken_event() is None
    for place in range(len(events)):
        kept = events[place]
        for changed in (
            {"kind": "nothing"}, {"user_id": "x"}, {"address": "1.1.1.1"}, {"time_ms": 1},
            {"details": {"x": 1}}, {"digest": "0" * 64}, {"actor_id": None}, {"request_id": "z"},
        ):  # fmt: skip
            events[place] = msgspec.structs.replace(kept, **changed)
            assert await people.auth.first_broken_event() is not None
        events[place] = kept
        if place + 1 < len(events):
            del events[place]
            assert await people.auth.first_broken_event() is not None
            events.insert(place, kept)
    assert await people.auth.first_broken_event() is None

"""What the stores of people must keep to, whatever they stand on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeAlias

from tradewright.domain.people_stores import PeopleStores
from tradewright.testing.people_record_checks import (
    check_attempts,
    check_audit,
    check_canary,
    check_chain,
    check_credentials,
    check_preferences,
)
from tradewright.testing.people_session_checks import (
    check_api_tokens,
    check_devices,
    check_forgetting_sessions,
    check_rotation,
    check_sessions_kept,
)
from tradewright.testing.people_user_checks import (
    check_deleted_user,
    check_first_user,
    check_invitations,
    check_last_administrator,
    check_names_are_one,
    check_password_ends_sessions,
    check_passwords,
    check_second_factor,
    check_shutting_out_ends_sessions,
    check_users_found,
)

__all__ = ["PEOPLE_CHECKS", "OpenPeople", "PeopleCheck", "check_chain", "check_people_stores"]

PeopleCheck: TypeAlias = Callable[[PeopleStores], Awaitable[None]]
OpenPeople: TypeAlias = Callable[[str], AbstractAsyncContextManager[PeopleStores]]
"""Opens the stores of that name for a while; those of a new name are empty."""

PEOPLE_CHECKS: Final[tuple[PeopleCheck, ...]] = (
    check_first_user,
    check_users_found,
    check_names_are_one,
    check_invitations,
    check_password_ends_sessions,
    check_shutting_out_ends_sessions,
    check_passwords,
    check_second_factor,
    check_last_administrator,
    check_deleted_user,
    check_sessions_kept,
    check_rotation,
    check_devices,
    check_forgetting_sessions,
    check_api_tokens,
    check_attempts,
    check_audit,
    check_canary,
    check_preferences,
    check_credentials,
)


async def check_people_stores(open_people: OpenPeople) -> None:
    """Raise ``AssertionError`` where the stores break a promise of ``domain.people_stores``."""
    for check in PEOPLE_CHECKS:
        async with open_people(check.__name__) as people:
            await check(people)

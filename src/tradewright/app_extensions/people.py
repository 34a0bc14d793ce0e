"""The stores of people that the configuration names, opened and closed together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from tradewright.app_extensions.auth_db_setup import AuthDatabase, auth_db_of
from tradewright.app_extensions.user_configs_db_setup import UserConfigsDatabase, user_configs_db_of
from tradewright.config import BaseConfig
from tradewright.domain.errors import TradewrightError
from tradewright.domain.people_stores import PeopleStores
from tradewright.runtime.clock import Clock

Check = Callable[[], Awaitable[None]]


class People(Protocol):
    """Stores of people with what they stand on. Unusable before ``open`` and after ``close``."""

    stores: PeopleStores

    @property
    def checks(self) -> Mapping[str, Check]:
        """For each database by name what returns where it can be written to, and else raises
        ``StorageUnavailable``."""
        ...

    async def open(self) -> None:
        """Bring the databases up; may be called again. ``ConfigError`` and ``StorageUnavailable`` say why
        they can't be."""
        ...

    async def close(self) -> None:
        """Let go of them; may be called twice."""
        ...


class GivenPeople:
    """Stores that somebody else opens and closes."""

    def __init__(self, stores: PeopleStores) -> None:
        self.stores = stores
        self.checks: Mapping[str, Check] = {}

    async def open(self) -> None:
        """They are open."""

    async def close(self) -> None:
        """Whoever opened them closes them."""


class PeopleDatabases:
    """The stores in ``auth_db`` and ``user_configs_db``."""

    def __init__(self, auth: AuthDatabase, user_configs: UserConfigsDatabase) -> None:
        self.databases = (auth.database, user_configs.database)
        self.stores = PeopleStores(
            users=auth.users,
            sessions=auth.sessions,
            api_tokens=auth.api_tokens,
            invites=auth.invites,
            attempts=auth.attempts,
            audit=auth.audit,
            canary=auth.canary,
            preferences=user_configs.preferences,
            credentials=user_configs.credentials,
        )

    @property
    def checks(self) -> Mapping[str, Check]:
        return {database.layout.name: database.check for database in self.databases}

    async def open(self) -> None:
        try:
            for database in self.databases:
                await database.open()
        except TradewrightError:
            await self.close()
            raise

    async def close(self) -> None:
        for database in reversed(self.databases):
            await database.close()


def people_of(config: BaseConfig, clock: Clock) -> PeopleDatabases:
    """The stores as the settings name them. ``ConfigError`` where an address can't be used."""
    return PeopleDatabases(auth_db_of(config, clock), user_configs_db_of(config, clock))

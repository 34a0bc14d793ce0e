"""``user_configs_db``: what users like, and their keys to providers."""

from __future__ import annotations

from typing import Final

from tradewright.config import BaseConfig
from tradewright.domain.people_stores import CredentialStore, PreferenceStore
from tradewright.runtime.clock import Clock, SystemClock
from tradewright.storage.people import (
    CALL_TIMEOUT_S,
    USER_CONFIGS,
    PeopleDatabase,
    Place,
    SqlCredentialStore,
    SqlPreferenceStore,
    place_of,
)

USER_CONFIGS_FILE: Final = "user_configs.sqlite3"


class UserConfigsDatabase:
    """The stores that stand on ``user_configs_db``: the file ``user_configs.sqlite3`` of the data directory,
    or a schema of a PostgreSQL database.

    Made without I/O. Until ``open`` and after ``close`` the stores
    raise ``StorageUnavailable``, and at any time ``timeout_s`` after a call began.
    """

    def __init__(
        self, place: Place, clock: Clock | None = None, *, timeout_s: float = CALL_TIMEOUT_S
    ) -> None:
        self.database = PeopleDatabase(place, USER_CONFIGS, timeout_s=timeout_s, clock=clock or SystemClock())
        self.preferences: PreferenceStore = SqlPreferenceStore(self.database)
        self.credentials: CredentialStore = SqlCredentialStore(self.database)


def user_configs_db_of(config: BaseConfig, clock: Clock) -> UserConfigsDatabase:
    """``user_configs_db`` as ``TRADEWRIGHT_USER_CONFIGS_DATABASE_URL`` names it; without it, in the data
    directory. ``ConfigError`` where that is no address."""
    place = place_of(
        config.data_dir / USER_CONFIGS_FILE, config.user_configs_database_url, USER_CONFIGS.schema
    )
    return UserConfigsDatabase(place, clock)

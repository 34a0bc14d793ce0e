"""The two databases: their tables, their history, and what marks a file as theirs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import MetaData

from tradewright.storage.people.auth_models import AuthBase
from tradewright.storage.people.user_configs_models import UserConfigsBase

MIGRATIONS: Final = Path(__file__).with_name("migrations")


@dataclass(frozen=True, slots=True)
class Layout:
    """What one database holds. ``application_id`` is SQLite's mark; tables and version table of the two
    have names of their own, so that both may stand in one schema."""

    name: str
    metadata: MetaData
    folder: Path
    version_table: str
    schema: str
    application_id: int

    @property
    def revisions(self) -> tuple[str, ...]:
        """The versions of the schema, oldest first, as the files are numbered: ``v0001_…`` is ``0001``."""
        return tuple(sorted(path.name[1:5] for path in self.folder.glob("v[0-9][0-9][0-9][0-9]_*.py")))


AUTH: Final = Layout(
    "auth_db", AuthBase.metadata, MIGRATIONS / "auth", "auth_version", "tradewright_auth", 0x74776175
)
USER_CONFIGS: Final = Layout(
    "user_configs_db",
    UserConfigsBase.metadata,
    MIGRATIONS / "user_configs",
    "user_configs_version",
    "tradewright_user_configs",
    0x74777563,
)

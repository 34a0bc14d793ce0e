"""The tables of ``user_configs_db``, for SQLite and PostgreSQL alike. Users are only ids here."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, LargeBinary, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tradewright.storage.people.columns import StoredId, StoredText


class UserConfigsBase(DeclarativeBase):
    """What belongs to ``user_configs_db``."""

    metadata = MetaData()


class PreferencesRow(UserConfigsBase):
    """What a user likes, as a JSON object."""

    __tablename__ = "preferences"

    user_id: Mapped[str] = mapped_column(StoredId, primary_key=True)
    document: Mapped[str] = mapped_column(StoredText)


class CredentialRow(UserConfigsBase):
    """A user's key to a provider, sealed."""

    __tablename__ = "credentials"
    __table_args__ = (Index("credentials_by_user", "user_id", "created_ms"),)

    id: Mapped[str] = mapped_column(StoredId, primary_key=True)
    user_id: Mapped[str] = mapped_column(StoredId)
    market: Mapped[str] = mapped_column(StoredText)
    provider: Mapped[str] = mapped_column(StoredText)
    label: Mapped[str] = mapped_column(StoredText)
    testnet: Mapped[bool]
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    key_hint: Mapped[str] = mapped_column(StoredText)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    changed_ms: Mapped[int] = mapped_column(BigInteger)
    tested_ms: Mapped[int | None] = mapped_column(BigInteger)
    can_withdraw: Mapped[bool | None]
    withdrawal_accepted: Mapped[bool]
    last_used_ms: Mapped[int | None] = mapped_column(BigInteger)

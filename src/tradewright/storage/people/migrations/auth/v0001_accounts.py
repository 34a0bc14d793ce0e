"""Users with their names, sessions, tokens, devices and invitations, and counted failures."""

import sqlalchemy as sa
from alembic import op

from tradewright.storage.people.columns import StoredId, StoredText

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    _people()
    _logins()
    _programs_and_invitations()
    op.create_table(
        "attempts",
        sa.Column("key_hash", sa.LargeBinary(), primary_key=True),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
    )
    op.create_index("attempts_by_time", "attempts", ["last_ms"])


def _of_user(name: str = "user_id", *, primary_key: bool = False) -> sa.Column[str]:
    owner = sa.ForeignKey("users.id", ondelete="CASCADE")
    return sa.Column(name, StoredId(), owner, primary_key=primary_key, nullable=False)


def _people() -> None:
    op.create_table(
        "users",
        sa.Column("id", StoredId(), primary_key=True),
        sa.Column("email", StoredText(), nullable=False),
        sa.Column("username", StoredText(), nullable=False),
        sa.Column("role", StoredText(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("totp_enabled", sa.Boolean(), nullable=False),
        sa.Column("last_login_ms", sa.BigInteger()),
        sa.Column("password_changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("password_hash", StoredText(), nullable=False),
        sa.Column("totp_secret", sa.LargeBinary()),
        sa.Column("totp_last_step", sa.BigInteger()),
        sa.Column("recovery_hashes", StoredText(), nullable=False),
    )
    op.create_table("login_names", sa.Column("key", StoredId(), primary_key=True), _of_user())
    op.create_index("login_names_by_user", "login_names", ["user_id"])


def _logins() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", StoredId(), primary_key=True),
        _of_user(),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_used_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("verified_ms", sa.BigInteger(), nullable=False),
        sa.Column("client", StoredText(), nullable=False),
        sa.Column("address", StoredText(), nullable=False),
        sa.Column("agent", StoredText(), nullable=False),
        sa.Column("device_id", StoredId()),
    )
    op.create_index("sessions_by_user", "sessions", ["user_id", "last_used_ms"])
    op.create_index("sessions_by_use", "sessions", ["last_used_ms"])
    op.create_index("sessions_by_end", "sessions", ["expires_ms"])
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.LargeBinary(), primary_key=True),
        sa.Column("session_id", StoredId(), sa.ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger()),
        sa.Column("successor", sa.LargeBinary()),
    )
    op.create_index("refresh_tokens_by_session", "refresh_tokens", ["session_id"])
    op.create_table(
        "known_devices",
        _of_user(primary_key=True),
        sa.Column("device_id", StoredId(), primary_key=True),
        sa.Column("last_login_ms", sa.BigInteger(), nullable=False),
    )


def _programs_and_invitations() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", StoredId(), primary_key=True),
        _of_user(),
        sa.Column("token_hash", sa.LargeBinary(), unique=True, nullable=False),
        sa.Column("label", StoredText(), nullable=False),
        sa.Column("scopes", StoredText(), nullable=False),
        sa.Column("hint", StoredText(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_used_ms", sa.BigInteger()),
    )
    op.create_index("api_tokens_by_user", "api_tokens", ["user_id"])
    op.create_table(
        "invites",
        sa.Column("id", StoredId(), primary_key=True),
        sa.Column("code_hash", sa.LargeBinary(), unique=True, nullable=False),
        sa.Column("role", StoredText(), nullable=False),
        sa.Column("hint", StoredText(), nullable=False),
        _of_user("created_by"),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_by", StoredId()),
    )
    op.create_index("invites_by_time", "invites", ["created_ms"])
    op.create_index("invites_by_maker", "invites", ["created_by"])

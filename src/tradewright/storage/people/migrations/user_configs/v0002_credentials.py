"""Users' keys to providers, sealed."""

import sqlalchemy as sa
from alembic import op

from tradewright.storage.people.columns import StoredId, StoredText

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "credentials",
        sa.Column("id", StoredId(), primary_key=True),
        sa.Column("user_id", StoredId(), nullable=False),
        sa.Column("market", StoredText(), nullable=False),
        sa.Column("provider", StoredText(), nullable=False),
        sa.Column("label", StoredText(), nullable=False),
        sa.Column("testnet", sa.Boolean(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("key_hint", StoredText(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("tested_ms", sa.BigInteger()),
        sa.Column("can_withdraw", sa.Boolean()),
        sa.Column("withdrawal_accepted", sa.Boolean(), nullable=False),
        sa.Column("last_used_ms", sa.BigInteger()),
    )
    op.create_index("credentials_by_user", "credentials", ["user_id", "created_ms"])

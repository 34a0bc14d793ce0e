"""What users like."""

import sqlalchemy as sa
from alembic import op

from tradewright.storage.people.columns import StoredId, StoredText

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "preferences",
        sa.Column("user_id", StoredId(), primary_key=True),
        sa.Column("document", StoredText(), nullable=False),
    )

"""The audit log, whose rows nobody changes or removes: the database itself refuses."""

import sqlalchemy as sa
from alembic import op

from tradewright.storage.people.columns import StoredId, StoredText

revision = "0002"
down_revision = "0001"

_ON_SQLITE = (
    # INSERT OR REPLACE removes a row without asking the triggers of DELETE, so this one asks before it.
    """CREATE TRIGGER audit_events_are_appended BEFORE INSERT ON audit_events
    WHEN NEW.position <> (SELECT coalesce(max(position), 0) + 1 FROM audit_events)
    BEGIN SELECT RAISE(ABORT, 'audit events are only appended'); END""",
    """CREATE TRIGGER audit_events_never_change BEFORE UPDATE ON audit_events
    BEGIN SELECT RAISE(ABORT, 'audit events never change'); END""",
    """CREATE TRIGGER audit_events_stay BEFORE DELETE ON audit_events
    BEGIN SELECT RAISE(ABORT, 'audit events stay'); END""",
)
_ON_POSTGRESQL = (
    """CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'audit events never change and stay'; END $$""",
    """CREATE TRIGGER audit_events_never_change BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change()""",
    """CREATE TRIGGER audit_events_stay BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()""",
    "REVOKE UPDATE, DELETE, TRUNCATE ON audit_events FROM PUBLIC",
)


def upgrade() -> None:
    """Make the table, and what refuses changes to it."""
    op.create_table(
        "audit_events",
        sa.Column("position", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("kind", StoredText(), nullable=False),
        sa.Column("user_id", StoredId()),
        sa.Column("actor_id", StoredId()),
        sa.Column("address", StoredText(), nullable=False),
        sa.Column("request_id", StoredText(), nullable=False),
        sa.Column("details", StoredText(), nullable=False),
        sa.Column("digest", StoredText(), nullable=False),
    )
    op.create_index("audit_events_by_user", "audit_events", ["user_id", "position"])
    embedded = op.get_context().dialect.name == "sqlite"
    for statement in _ON_SQLITE if embedded else _ON_POSTGRESQL:
        op.execute(statement)

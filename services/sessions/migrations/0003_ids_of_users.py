"""Session ids per user: messages are stored under a key other than the id. And the size of a session's messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

Name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.drop_index("sessions_by_use", "sessions")
    op.drop_index("sessions_by_user", "sessions")
    # Existing sessions use their ids as keys. SQLite also renames the column in references.
    for table in ("sessions", "messages", "appends"):
        op.execute(f"ALTER TABLE {table} RENAME COLUMN session_id TO session_key")
    op.add_column("sessions", sa.Column("session_id", Name, nullable=False, server_default=""))
    op.add_column("sessions", sa.Column("message_bytes", sa.BigInteger, nullable=False, server_default="0"))
    op.execute(
        "UPDATE sessions SET session_id = session_key, message_bytes = COALESCE("
        "(SELECT SUM(LENGTH(message)) FROM messages WHERE messages.session_key = sessions.session_key), 0)"
    )
    op.create_index("sessions_by_id", "sessions", ["session_id", "user_id"], unique=True)
    op.create_index("sessions_by_use", "sessions", ["update_time", "session_id", "user_id"])
    op.create_index("sessions_by_user", "sessions", ["user_id", "update_time", "session_id"])

"""Sessions, their messages, the request ids of appends, and the memories of users."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Names are compared and ordered by code points, so that the order is the same on every machine.
Name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def session_id() -> sa.Column[str]:
    return sa.Column("session_id", Name, sa.ForeignKey("sessions.session_id", ondelete="CASCADE"), primary_key=True)


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("session_id", Name, primary_key=True),
        sa.Column("user_id", Name, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("metadata_json", sa.LargeBinary, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("update_time", sa.BigInteger, nullable=False),
        sa.Column("lifetime", sa.BigInteger),
        sa.Column("expire_time", sa.BigInteger),
        sa.Column("next_sequence", sa.BigInteger, nullable=False),
    )
    op.create_index("sessions_by_use", "sessions", ["update_time", "session_id"])
    op.create_index("sessions_by_user", "sessions", ["user_id", "update_time", "session_id"])
    op.create_index("sessions_by_expiry", "sessions", ["expire_time"])
    op.create_table(
        "messages",
        session_id(),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("message", sa.LargeBinary, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "appends",
        session_id(),
        sa.Column("request_id", Name, primary_key=True),
        sa.Column("content_hash", sa.LargeBinary, nullable=False),
        sa.Column("first_sequence", sa.BigInteger, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "memories",
        sa.Column("user_id", Name, primary_key=True),
        sa.Column("key", Name, primary_key=True),
        sa.Column("value_json", sa.LargeBinary, nullable=False),
        sa.Column("update_time", sa.BigInteger, nullable=False),
    )

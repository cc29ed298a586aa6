"""Projects of sessions and memories. Existing ones belong to the empty project, as all do where nobody is asked who
calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

Name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    for index in ("sessions_by_id", "sessions_by_use", "sessions_by_user"):
        op.drop_index(index, "sessions")
    op.add_column("sessions", project_id())
    op.create_index("sessions_by_id", "sessions", ["project_id", "session_id", "user_id"], unique=True)
    op.create_index("sessions_by_use", "sessions", ["project_id", "update_time", "session_id", "user_id"])
    op.create_index("sessions_by_user", "sessions", ["project_id", "user_id", "update_time", "session_id"])
    if op.get_bind().dialect.name == "sqlite":
        _copy_memories()
    else:
        op.add_column("memories", project_id())
        op.drop_constraint("memories_pkey", "memories", type_="primary")
        op.create_primary_key("memories_pkey", "memories", ["project_id", "user_id", "key"])


def project_id() -> sa.Column[str]:
    return sa.Column("project_id", Name, nullable=False, server_default="")


def _copy_memories() -> None:
    """Makes the table anew: SQLite cannot change a primary key."""
    op.rename_table("memories", "memories_of_users")
    op.create_table(
        "memories",
        sa.Column("project_id", Name, primary_key=True, server_default=""),
        sa.Column("user_id", Name, primary_key=True),
        sa.Column("key", Name, primary_key=True),
        sa.Column("value_json", sa.LargeBinary, nullable=False),
        sa.Column("update_time", sa.BigInteger, nullable=False),
    )
    op.execute(
        "INSERT INTO memories (user_id, key, value_json, update_time)"
        " SELECT user_id, key, value_json, update_time FROM memories_of_users"
    )
    op.drop_table("memories_of_users")

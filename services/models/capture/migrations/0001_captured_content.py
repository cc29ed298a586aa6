"""The content of chats."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "captured_content",
        sa.Column("call_id", sa.Text, primary_key=True),
        sa.Column("direction", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("captured_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("characters", sa.BigInteger, nullable=False),
        sa.Column("redactions_json", sa.Text, nullable=False),
    )
    op.create_index("captured_content_expiry", "captured_content", ["expires_at"])
    op.create_index("captured_content_of_project", "captured_content", ["project_id", "captured_at"])

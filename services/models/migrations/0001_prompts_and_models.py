"""The versions of prompts, and the registered models with their names."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "prompt_versions",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("metadata_json", sa.Text, nullable=False),
        sa.Column("commit_message", sa.Text, nullable=False),
        sa.Column("defaults_json", sa.Text, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
    )
    op.create_table(
        "registered_models",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("definition_json", sa.Text, nullable=False),
        sa.Column("registered_at", sa.Text, nullable=False),
    )
    op.create_table(
        "registered_model_names",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column(
            "model", sa.Text, sa.ForeignKey("registered_models.name", ondelete="CASCADE"), nullable=False, index=True
        ),
    )

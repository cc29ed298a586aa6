"""The usage of calls: an event for each, and their sums by day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXTS = (
    *("verb", "request_id", "team_id", "project_id", "key_id", "user_id", "end_user_hash", "session_id"),
    *("model_asked", "model_served", "provider", "prompt_name"),
)
COUNTS = ("input", "output", "cache_read", "cache_write", "reasoning")
DAILY_KEY = ("day", "team_id", "project_id", "key_id", "user_id", "provider", "model", "tag_key", "tag_value")
DAILY_SUMS = ("calls", "failed", "input", "output", "cache_read", "reasoning", "cost_nano_usd", "unpriced_calls")


def upgrade() -> None:
    op.create_table(
        "usage_events",
        sa.Column("call_id", sa.Text, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in TEXTS),
        sa.Column("prompt_version", sa.Integer, nullable=False),
        sa.Column("prompt_label", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in COUNTS),
        sa.Column("cost_nano_usd", sa.BigInteger),
        sa.Column("price_as_of", sa.Text, nullable=False),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("first_chunk_ms", sa.Integer),
        sa.Column("duration_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("usage_events_by_time", "usage_events", ["at"])
    op.create_table(
        "usage_daily",
        *(sa.Column(name, sa.Text, primary_key=True) for name in DAILY_KEY),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in DAILY_SUMS),
    )
    op.create_index("usage_daily_by_project", "usage_daily", ["project_id", "day"])
    op.create_table(
        "usage_tag_values",
        sa.Column("tag_key", sa.Text, primary_key=True),
        sa.Column("tag_value", sa.Text, primary_key=True),
    )

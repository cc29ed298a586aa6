"""The tables of the ledger, as of the newest script in `migrations`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, Table, Text

metadata = MetaData()

usage_events = Table(
    "usage_events",
    metadata,
    # Made by the platform: callers choose request ids, and may repeat one.
    Column("call_id", Text, primary_key=True),
    # The end of the call, in seconds since 1970.
    Column("at", Float, nullable=False),
    Column("verb", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("team_id", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("end_user_hash", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("model_asked", Text, nullable=False),
    Column("model_served", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("prompt_name", Text, nullable=False),
    Column("prompt_version", Integer, nullable=False),
    Column("prompt_label", Text, nullable=False),
    # A JSON object.
    Column("tags", Text, nullable=False),
    Column("input", BigInteger, nullable=False),
    Column("output", BigInteger, nullable=False),
    Column("cache_read", BigInteger, nullable=False),
    Column("cache_write", BigInteger, nullable=False),
    Column("reasoning", BigInteger, nullable=False),
    # Null: not known.
    Column("cost_nano_usd", BigInteger),
    Column("price_as_of", Text, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("first_chunk_ms", Integer),
    Column("duration_ms", BigInteger, nullable=False),
    # Why the cost is not known. The defaults are for processes of the version before.
    Column("unpriced", Text, nullable=False, server_default=""),
    # A JSON object: the tags under which the call is in usage_daily, if it may still get its price.
    Column("counted_tags", Text, nullable=False, server_default="{}"),
    Index("usage_events_by_time", "at"),
)

usage_daily = Table(
    "usage_daily",
    metadata,
    # In UTC, as 2026-11-30.
    Column("day", Text, primary_key=True),
    Column("team_id", Text, primary_key=True),
    Column("project_id", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    # Both empty in the row of all calls; beside it, a row for each value of a tag that is counted.
    Column("tag_key", Text, primary_key=True),
    Column("tag_value", Text, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("input", BigInteger, nullable=False),
    Column("output", BigInteger, nullable=False),
    Column("cache_read", BigInteger, nullable=False),
    Column("reasoning", BigInteger, nullable=False),
    Column("cost_nano_usd", BigInteger, nullable=False),
    # Calls that have used tokens whose cost is not known.
    Column("unpriced_calls", BigInteger, nullable=False),
    Index("usage_daily_by_project", "project_id", "day"),
)

usage_tag_values = Table(
    "usage_tag_values",
    metadata,
    # The values that have rows of their own in usage_daily.
    Column("tag_key", Text, primary_key=True),
    Column("tag_value", Text, primary_key=True),
)

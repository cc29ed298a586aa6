"""The tables of the Model Service, as the newest script in `migrations` leaves them.

Messages are kept as JSON of their protobuf form: what the contract adds to them needs no new schema. Times are
RFC 3339 in UTC, as the contract tells them.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Text

metadata = MetaData()

prompt_versions = Table(
    "prompt_versions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("content", Text, nullable=False),
    Column("metadata_json", Text, nullable=False),
    Column("commit_message", Text, nullable=False),
    Column("defaults_json", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("created_at", Text, nullable=False),
)

registered_models = Table(
    "registered_models",
    metadata,
    Column("name", Text, primary_key=True),
    Column("definition_json", Text, nullable=False),
    Column("registered_at", Text, nullable=False),
)

# Every name that leads to a registered model, its own and its aliases: no two models share one.
registered_model_names = Table(
    "registered_model_names",
    metadata,
    Column("name", Text, primary_key=True),
    Column("model", Text, ForeignKey("registered_models.name", ondelete="CASCADE"), nullable=False, index=True),
)

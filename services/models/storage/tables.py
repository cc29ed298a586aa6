"""The tables of the Model Service, as of the newest script in `migrations`.

Messages are stored as protobuf JSON, so that new fields in the contract need no new schema. Times are RFC 3339 in UTC,
as in the contract.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, ForeignKeyConstraint, Index, Integer, MetaData, Table, Text, false

metadata = MetaData()

prompt_versions = Table(
    "prompt_versions",
    metadata,
    # Empty where nobody is asked who calls.
    Column("project_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("content", Text, nullable=False),
    Column("metadata_json", Text, nullable=False),
    Column("commit_message", Text, nullable=False),
    Column("defaults_json", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("archived_at", Text),
    # The size of the version as a message.
    Column("bytes", Integer, nullable=False),
    # Queries over many versions read this index only, because rows may have a megabyte each.
    Index(
        "prompt_version_facts", "project_id", "name", "version", "archived_at", "bytes", "content_hash", "created_at"
    ),
)

prompt_labels = Table(
    "prompt_labels",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("label", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    ForeignKeyConstraint(
        ["project_id", "name", "version"],
        ["prompt_versions.project_id", "prompt_versions.name", "prompt_versions.version"],
    ),
)

# Each change of a prompt adds a row here in the same transaction. Prompts have one writer at a time, so a higher id was
# committed later, and the rows after an id are all changes since then.
prompt_events = Table(
    "prompt_events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("type", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("label", Text, nullable=False),
    Column("previous_version", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("time", Text, nullable=False),
    Index("prompt_events_by_name", "project_id", "name", "id"),
    sqlite_autoincrement=True,
)

registered_models = Table(
    "registered_models",
    metadata,
    Column("name", Text, primary_key=True),
    Column("definition_json", Text, nullable=False),
    Column("registered_at", Text, nullable=False),
    # Registered by a stranger, and subject to the rules for strangers.
    Column("untrusted", Boolean, nullable=False, server_default=false()),
)

# All names of registered models, with their aliases; each name belongs to one model.
registered_model_names = Table(
    "registered_model_names",
    metadata,
    Column("name", Text, primary_key=True),
    Column("model", Text, ForeignKey("registered_models.name", ondelete="CASCADE"), nullable=False, index=True),
)

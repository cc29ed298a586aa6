"""Projects of prompts. Existing prompts belong to the empty project, as all do where nobody is asked who calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

VERSION = ["project_id", "name", "version"]
LABEL = ["project_id", "name", "label"]
FACTS = [*VERSION, "archived_at", "bytes", "content_hash", "created_at"]


def upgrade() -> None:
    op.drop_index("prompt_events_by_name", "prompt_events")
    op.add_column("prompt_events", project_id())
    op.create_index("prompt_events_by_name", "prompt_events", ["project_id", "name", "id"])
    op.drop_index("prompt_version_facts", "prompt_versions")
    if op.get_bind().dialect.name == "sqlite":
        _copy_versions_and_labels()
    else:
        _change_keys()
    op.create_index("prompt_version_facts", "prompt_versions", FACTS)


def project_id(*, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column("project_id", sa.Text, nullable=False, server_default="", primary_key=primary_key)


def _change_keys() -> None:
    op.drop_constraint("prompt_labels_name_version_fkey", "prompt_labels", type_="foreignkey")
    for table, key in (("prompt_versions", VERSION), ("prompt_labels", LABEL)):
        op.add_column(table, project_id())
        op.drop_constraint(f"{table}_pkey", table, type_="primary")
        op.create_primary_key(f"{table}_pkey", table, key)
    op.create_foreign_key("prompt_labels_version_fkey", "prompt_labels", "prompt_versions", VERSION, VERSION)


def _copy_versions_and_labels() -> None:
    """Makes the tables anew: SQLite cannot change a primary key."""
    op.rename_table("prompt_labels", "old_labels")
    op.rename_table("prompt_versions", "old_versions")
    op.create_table(
        "prompt_versions",
        project_id(primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("metadata_json", sa.Text, nullable=False),
        sa.Column("commit_message", sa.Text, nullable=False),
        sa.Column("defaults_json", sa.Text, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("archived_at", sa.Text),
        sa.Column("bytes", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_table(
        "prompt_labels",
        project_id(primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("label", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(VERSION, [f"prompt_versions.{column}" for column in VERSION]),
    )
    op.execute(
        "INSERT INTO prompt_versions (name, version, content, metadata_json, commit_message, defaults_json,"
        " content_hash, created_at, archived_at, bytes)"
        " SELECT name, version, content, metadata_json, commit_message, defaults_json,"
        " content_hash, created_at, archived_at, bytes FROM old_versions"
    )
    op.execute("INSERT INTO prompt_labels (name, label, version) SELECT name, label, version FROM old_labels")
    op.drop_table("old_labels")
    op.drop_table("old_versions")

"""Labels, archive state and events of prompts. Existing versions get the event of their registration."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("prompt_versions", sa.Column("archived_at", sa.Text))
    op.create_table(
        "prompt_labels",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("label", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["name", "version"], ["prompt_versions.name", "prompt_versions.version"]),
    )
    events = op.create_table(
        "prompt_events",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("previous_version", sa.Integer, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("time", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("prompt_events_by_name", "prompt_events", ["name", "id"])
    _record_registrations(op.get_bind(), events)


def _record_registrations(connection: sa.Connection, events: sa.Table) -> None:
    names = ("name", "version", "metadata_json", "commit_message", "created_at")
    versions = sa.table("prompt_versions", *(sa.column(name) for name in names))
    query = sa.select(versions).order_by(versions.c.created_at, versions.c.name, versions.c.version)
    registrations = [
        {
            "type": "registered",
            "name": row.name,
            "version": row.version,
            "label": "",
            "previous_version": 0,
            "actor": json.loads(row.metadata_json or "{}").get("author", ""),
            "reason": row.commit_message,
            "time": row.created_at,
        }
        for row in connection.execute(query)
    ]
    if registrations:
        connection.execute(events.insert(), registrations)

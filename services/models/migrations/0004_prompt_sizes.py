"""Sizes of prompt versions, and an index over all columns that queries need except the texts."""

from __future__ import annotations

import functools
import operator

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TEXTS = ("content", "metadata_json", "commit_message", "defaults_json")


def upgrade() -> None:
    op.add_column("prompt_versions", sa.Column("bytes", sa.Integer, nullable=False, server_default="0"))
    versions = sa.table("prompt_versions", *map(sa.column, ("bytes", *TEXTS)))
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    sizes = (
        _size_on_sqlite(versions.c[name]) if on_sqlite else sa.func.octet_length(versions.c[name]) for name in TEXTS
    )
    op.execute(versions.update().values(bytes=functools.reduce(operator.add, sizes)))
    op.create_index(
        "prompt_version_facts",
        "prompt_versions",
        ["name", "version", "archived_at", "bytes", "content_hash", "created_at"],
    )


def _size_on_sqlite(text: sa.ColumnElement[str]) -> sa.ColumnElement[int]:
    return sa.func.length(sa.cast(text, sa.LargeBinary))

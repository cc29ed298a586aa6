"""Sizes of kept answers, and an index over all columns that the bounds need except the answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("kept_answers", sa.Column("size", sa.BigInteger, nullable=False, server_default="0"))
    answers = sa.table("kept_answers", sa.column("size"), sa.column("response"))
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    size = (sa.func.length if on_sqlite else sa.func.octet_length)(answers.c.response)
    op.execute(answers.update().where(answers.c.response.is_not(None)).values(size=size))
    op.create_index("kept_answer_sizes", "kept_answers", ["expires_at", "scope", "request_id", "size"])
    op.drop_index("ix_kept_answers_expires_at", "kept_answers")

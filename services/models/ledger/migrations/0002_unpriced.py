"""Why the cost of a call is not known, and under which tags it is counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("usage_events", sa.Column("unpriced", sa.Text, nullable=False, server_default=""))
    op.add_column("usage_events", sa.Column("counted_tags", sa.Text, nullable=False, server_default="{}"))

"""The running turn of a session."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("turn_id", sa.Text))
    op.add_column("sessions", sa.Column("turn_expire_time", sa.BigInteger))

"""A mark for models that strangers have registered. Existing models are the operator's."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("registered_models", sa.Column("untrusted", sa.Boolean, nullable=False, server_default=sa.false()))

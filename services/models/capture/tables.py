"""The tables of captured content, as of the newest script in `migrations`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, LargeBinary, MetaData, Table, Text

metadata = MetaData()

captured_content = Table(
    "captured_content",
    metadata,
    # The platform's own id of the call, as in the ledger.
    Column("call_id", Text, primary_key=True),
    # `request` or `answer`.
    Column("direction", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    # In seconds since 1970.
    Column("captured_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    # The redacted text as UTF-8, compressed by zlib.
    Column("body", LargeBinary, nullable=False),
    # Those of the whole text; more than the body has where it was cut.
    Column("characters", BigInteger, nullable=False),
    # A JSON object: how much of each kind was taken out.
    Column("redactions_json", Text, nullable=False),
    Index("captured_content_expiry", "expires_at"),
    Index("captured_content_of_project", "project_id", "captured_at"),
)

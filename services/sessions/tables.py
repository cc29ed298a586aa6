"""The tables of the Session Service, as of the newest migration.

Times are in microseconds since 1970, UTC. Messages and JSON are bytes, so that they are returned unchanged.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, MetaData, Table, Text

metadata = MetaData()

sessions = Table(
    "sessions",
    metadata,
    # The key of its messages; callers never see it.
    Column("session_key", Text, primary_key=True),
    # Empty where nobody is asked who calls.
    Column("project_id", Text, nullable=False),
    # Unique among the sessions of its user in the project.
    Column("session_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("metadata_json", LargeBinary, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("update_time", BigInteger, nullable=False),
    # The time to live after a write; NULL: unlimited. Each write moves expire_time.
    Column("lifetime", BigInteger),
    Column("expire_time", BigInteger),
    Column("next_sequence", BigInteger, nullable=False),
    Column("message_bytes", BigInteger, nullable=False),
    # The turn that began last, if it has not ended; other turns are refused until turn_expire_time.
    Column("turn_id", Text),
    Column("turn_expire_time", BigInteger),
)

messages = Table(
    "messages",
    metadata,
    Column("session_key", Text, ForeignKey("sessions.session_key", ondelete="CASCADE"), primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("message", LargeBinary, nullable=False),
    Column("create_time", BigInteger, nullable=False),
)

# One row for each request_id: enough to answer its repetition, which contains the same messages again.
appends = Table(
    "appends",
    metadata,
    Column("session_key", Text, ForeignKey("sessions.session_key", ondelete="CASCADE"), primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("content_hash", LargeBinary, nullable=False),
    Column("first_sequence", BigInteger, nullable=False),
    Column("create_time", BigInteger, nullable=False),
)

memories = Table(
    "memories",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value_json", LargeBinary, nullable=False),
    Column("update_time", BigInteger, nullable=False),
)

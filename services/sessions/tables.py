"""The tables, as the newest migration leaves them.

Times are in microseconds since 1970, UTC. Messages and JSON are bytes, so that they come back as they were given.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, MetaData, Table, Text

metadata = MetaData()

sessions = Table(
    "sessions",
    metadata,
    # What its messages are kept under: no caller ever sees it.
    Column("session_key", Text, primary_key=True),
    # Unique among the sessions of its user.
    Column("session_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("metadata_json", LargeBinary, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("update_time", BigInteger, nullable=False),
    # How long it lives after a write; no value: for ever. Each write moves expire_time.
    Column("lifetime", BigInteger),
    Column("expire_time", BigInteger),
    Column("next_sequence", BigInteger, nullable=False),
    Column("message_bytes", BigInteger, nullable=False),
    # The turn that was begun last and has not ended; others wait for it until turn_expire_time.
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

# One row for each request_id: enough to answer its repetition, because that brings the same messages again.
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
    Column("user_id", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value_json", LargeBinary, nullable=False),
    Column("update_time", BigInteger, nullable=False),
)

"""The tables of the access database, as of the newest script in `migrations`.

Records are messages of the contract as protobuf JSON, so that new fields need no new schema; beside them are columns
for what they are looked up by. Times are in microseconds since 1970, UTC.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, MetaData, Table, Text

metadata = MetaData()

teams = Table(
    "teams",
    metadata,
    Column("id", Text, primary_key=True),
    Column("record_json", Text, nullable=False),
)

projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("team_id", Text, ForeignKey("teams.id"), nullable=False, index=True),
    Column("record_json", Text, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    # Empty for those without a team.
    Column("team_id", Text, nullable=False, index=True),
    Column("record_json", Text, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False, index=True),
    # Empty for those without a user.
    Column("user_id", Text, nullable=False, index=True),
    # SHA-256 of the whole key. The secret itself is stored nowhere.
    Column("hash", LargeBinary, nullable=False),
    # The same of the key before the last rotation.
    Column("previous_hash", LargeBinary),
    # Beside the record, because it is written without an audit event.
    Column("last_used_at", BigInteger),
    Column("record_json", Text, nullable=False),
)

limit_rules = Table(
    "limit_rules",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scope_kind", Text, nullable=False),
    Column("scope_id", Text, nullable=False),
    Column("record_json", Text, nullable=False),
)

bindings = Table(
    "bindings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("record_json", Text, nullable=False),
)

# Triggers refuse to change its rows, and to delete others than the oldest ones in the transaction that records it.
audit_events = Table(
    "audit_events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("source_ip", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("object_kind", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("before_json", Text, nullable=False),
    Column("after_json", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

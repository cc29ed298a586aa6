"""The tables of calls, as of the newest script in `migrations`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, LargeBinary, MetaData, Table, Text

metadata = MetaData()

kept_answers = Table(
    "kept_answers",
    metadata,
    # Whose request ids these are: a key of a project, or a host.
    Column("scope", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    # A hash of the request, which must be the same each time.
    Column("fingerprint", Text, nullable=False),
    # The call that answers, or has answered.
    Column("holder", Text, nullable=False),
    # In seconds since 1970: of a running call its lease, of an answer the day for which it is kept.
    Column("expires_at", Float, nullable=False),
    # A serialized ChatResponse; null while the call runs.
    Column("response", LargeBinary),
    # Its bytes; 0 while the call runs.
    Column("size", BigInteger, nullable=False),
    # All that the bounds need, so that no answer is read for them.
    Index("kept_answer_sizes", "expires_at", "scope", "request_id", "size"),
)

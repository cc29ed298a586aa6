"""Appends: the messages that they insert, and the request ids that make them idempotent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sessions.tables import appends, messages
from services.shared.errors import AlreadyExists
from services.shared.time_slices import TimeSlices

MAX_STATEMENT_ROWS = 100
MAX_STATEMENT_BYTES = 1024 * 1024
"""Limits for one INSERT: the driver blocks other tasks while it encodes the values."""

REMEMBERED_REQUESTS = 1000
"""Request ids that a session keeps at least. When it has twice as many, the older ones are deleted."""

HASHED_BYTES = 1024 * 1024


class Appended(NamedTuple):
    """The first sequence of appended messages and their time; `duplicate`: an earlier call appended them."""

    first_sequence: int
    create_time: int
    duplicate: bool


class AppendedAnswer(NamedTuple):
    """The last message of an append, and the sequence after it."""

    content: bytes
    next_sequence: int


async def insert_messages(
    connection: AsyncConnection, session_key: str, first_sequence: int, contents: Sequence[bytes], now: int
) -> None:
    rows = [
        {"session_key": session_key, "sequence": sequence, "message": content, "create_time": now}
        for sequence, content in enumerate(contents, first_sequence)
    ]
    for start, end in _statements(contents):
        await connection.execute(insert(messages), rows[start:end])


def _statements(contents: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """The start and end of each statement's messages."""
    start = size = 0
    for index, content in enumerate(contents):
        if index > start and (index - start == MAX_STATEMENT_ROWS or size + len(content) > MAX_STATEMENT_BYTES):
            yield start, index
            start, size = index, 0
        size += len(content)
    yield start, len(contents)


async def find_request(
    connection: AsyncConnection, session_key: str, request_id: str, content_hash: bytes
) -> Appended | None:
    """The earlier append with this id, if there was one.

    Raises AlreadyExists REQUEST_ID_REUSED when it had other messages.
    """
    c = appends.c
    result = await connection.execute(
        select(c.first_sequence, c.create_time, c.content_hash).where(
            c.session_key == session_key, c.request_id == request_id
        )
    )
    row = result.one_or_none()
    if row is None:
        return None
    if row.content_hash != content_hash:
        raise AlreadyExists(
            "request_id was used before, with other messages; use a new one for each append",
            reason="REQUEST_ID_REUSED",
        )
    return Appended(row.first_sequence, row.create_time, duplicate=True)


async def find_answer(
    connection: AsyncConnection, session_key: str, request_id: str, count: int
) -> AppendedAnswer | None:
    """The last of the `count` messages that an earlier append with this id has left in the session, if there was one.

    An append whose last message was truncated is forgotten, so that its id can be used again.
    """
    is_it = (appends.c.session_key == session_key) & (appends.c.request_id == request_id)
    found = select(appends.c.first_sequence, appends.c.create_time).where(is_it)
    row = (await connection.execute(found)).one_or_none()
    if row is None:
        return None
    m, sequence = messages.c, row.first_sequence + count - 1
    # A message that has taken the place of a truncated one has another time.
    is_last = (m.session_key == session_key) & (m.sequence == sequence) & (m.create_time == row.create_time)
    content: bytes | None = await connection.scalar(select(m.message).where(is_last))
    if content is None:
        await connection.execute(delete(appends).where(is_it))
        return None
    return AppendedAnswer(content, sequence + 1)


async def remember_request(
    connection: AsyncConnection, session_key: str, request_id: str, content_hash: bytes, appended: Appended
) -> None:
    await connection.execute(
        insert(appends).values(
            session_key=session_key,
            request_id=request_id,
            content_hash=content_hash,
            first_sequence=appended.first_sequence,
            create_time=appended.create_time,
        )
    )
    c = appends.c
    own = c.session_key == session_key
    count = await connection.scalar(select(func.count()).select_from(appends).where(own))
    if count and count >= 2 * REMEMBERED_REQUESTS:
        newest = select(c.create_time).where(own).order_by(c.create_time.desc())
        oldest_kept = newest.offset(REMEMBERED_REQUESTS - 1).limit(1).scalar_subquery()
        await connection.execute(delete(appends).where(own, c.create_time < oldest_kept))


async def hash_contents(contents: Sequence[bytes]) -> bytes:
    """A hash of an append's messages, which identifies them."""
    digest = hashlib.sha256()
    slices = TimeSlices()
    for content in contents:
        digest.update(len(content).to_bytes(8))
        for start in range(0, len(content), HASHED_BYTES):
            digest.update(memoryview(content)[start : start + HASHED_BYTES])
            await slices.yield_if_over()
    return digest.digest()

"""The store of sessions and their messages in the database. It knows SQL, but neither gRPC nor the fields of a message.

Every change of a session is a write transaction in that session's scope, so that the rows it has read are unchanged
until it commits: sequences have no gaps and no duplicates, however many writers there are. Expired sessions are
invisible; `purge_expired` deletes them.

A session must belong to its `owner`; without a user, to any user of the owner's project.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, delete, func, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sessions.appends import (
    Appended,
    AppendedAnswer,
    find_answer,
    find_request,
    hash_contents,
    insert_messages,
    remember_request,
)
from services.sessions.owners import Owner
from services.sessions.rows import Session, expiry, get_session, is_taken, is_unexpired, touch, update_session
from services.sessions.stored_messages import StoredMessage
from services.sessions.tables import memories, messages, sessions
from services.shared.database import Database
from services.shared.errors import AlreadyExists, Conflict, NotFound
from services.shared.row_pages import RowPage, fetch_page
from services.shared.storage_errors import retried

PURGE_BATCH = 200
PURGE_MESSAGES = 20_000
"""Limits for one transaction of a purge, in sessions and approximately in messages: other writers wait for it."""

TURN_LEASE_SECONDS = 10.0
"""Lease of a turn: a killed Model Service blocks a session for at most this time."""

LARGE_BYTES = 1024 * 1024
LARGE_MESSAGES = 1000
"""Sizes above which a session is large, and only `LARGE_READS` are read at a time: a context has up to 30 MiB."""

LARGE_READS = 2

Position = tuple[int, str, str]
"""A session's position in a list: the time of its last use, its id, and its user."""


class PlannedAppend(NamedTuple):
    """The append that a turn plans."""

    messages: int
    size: int
    """The size in bytes, or of the part that is known."""
    request_id: str = ""
    """The id of the append, if a repeated turn has the same."""


class BegunTurn(NamedTuple):
    session: Session
    answer: AppendedAnswer | None = None
    """The answer that an earlier turn with the same append has left; then no turn has begun."""


class Truncated(NamedTuple):
    deleted: int
    next_sequence: int


def read_clock() -> int:
    """The time in microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class SessionStore:
    """The store of conversations, which are lists of messages without gaps."""

    def __init__(
        self, database: Database, now: Callable[[], int] = read_clock, lease_seconds: float = TURN_LEASE_SECONDS
    ) -> None:
        self._database = database
        self._now = now
        self._lease = int(lease_seconds * 1_000_000)
        self._large_reads = asyncio.Semaphore(LARGE_READS)

    @property
    def lease_seconds(self) -> float:
        """The duration of a turn that is not extended."""
        return self._lease / 1_000_000

    @retried
    async def create(
        self, session_id: str, owner: Owner, title: str, metadata: Mapping[str, str], lifetime: int | None
    ) -> Session:
        """Creates a session. The lifetime is in microseconds.

        Raises AlreadyExists SESSION_EXISTS when the user has a session of this id; without a user, when any user has
        one. With a user, the sessions of other users do not matter: each user has ids of their own.
        """
        async with self._write(session_id, owner) as connection:
            now = self._now()
            if await is_taken(connection, session_id, owner, now):
                raise AlreadyExists(
                    f"session {session_id} exists; choose another id, or none to get a new one", reason="SESSION_EXISTS"
                )
            session = Session(
                session_key=uuid.uuid4().hex,
                project_id=owner.project_id,
                session_id=session_id,
                user_id=owner.user_id,
                title=title,
                metadata_json=msgspec.json.encode(metadata),
                create_time=now,
                update_time=now,
                lifetime=lifetime,
                expire_time=expiry(now, lifetime),
            )
            # An expired session of the same id may not be purged yet.
            await connection.execute(delete(sessions).where(owner.owns(sessions), sessions.c.session_id == session_id))
            await connection.execute(insert(sessions).values(session._asdict()))
        return session

    async def get(self, session_id: str, owner: Owner) -> Session:
        """The session. Raises NotFound SESSION_NOT_FOUND, as every method here that takes a session's id."""
        async with self._database.read() as connection:
            return await get_session(connection, session_id, owner, self._now())

    async def list_sessions(self, owner: Owner, after: Position | None, size: int) -> RowPage[Session]:
        """A page of sessions after the position `after`, the most recently used first."""
        c = sessions.c
        statement = select(sessions).where(c.project_id == owner.project_id, is_unexpired(self._now()))
        if owner.user_id:
            statement = statement.where(c.user_id == owner.user_id)
        if after:
            statement = statement.where(tuple_(c.update_time, c.session_id, c.user_id) < after)
        statement = statement.order_by(c.update_time.desc(), c.session_id.desc(), c.user_id.desc())
        async with self._database.read() as connection:
            rows = await fetch_page(
                connection, statement, func.length(c.metadata_json) + 4 * func.length(c.title), size
            )
        return RowPage([Session(*row) for row in rows.entries], rows.more)

    @retried
    async def delete(self, session_id: str, owner: Owner) -> None:
        """Deletes a session with all its messages."""
        async with self._write(session_id, owner) as connection:
            session = await get_session(connection, session_id, owner, self._now())
            await connection.execute(delete(sessions).where(sessions.c.session_key == session.session_key))

    @retried
    async def append(
        self,
        session_id: str,
        owner: Owner,
        contents: Sequence[bytes],
        request_id: str,
        expected_next_sequence: int | None,
        turn_id: str,
    ) -> Appended:
        """Appends all messages and ends the turn. Does nothing if this `request_id` has already been appended.

        Raises AlreadyExists REQUEST_ID_REUSED when that id came with other messages, Conflict SEQUENCE_CONFLICT, with
        the session's `next_sequence`, when that is not the expected one, Conflict TURN_LOST, and LimitExceeded
        SESSION_FULL.
        """
        content_hash = await hash_contents(contents) if request_id else b""
        size = sum(map(len, contents))
        async with self._write(session_id, owner) as connection:
            now = self._now()
            session = await get_session(connection, session_id, owner, now)
            key = session.session_key
            if request_id and (earlier := await find_request(connection, key, request_id, content_hash)):
                return earlier
            session.require_next_sequence(expected_next_sequence)
            if turn_id:
                _require_turn(session, turn_id)
            session.require_capacity(len(contents), size)
            appended = Appended(session.next_sequence, now, duplicate=False)
            await insert_messages(connection, key, appended.first_sequence, contents, now)
            if request_id:
                await remember_request(connection, key, request_id, content_hash, appended)
            await touch(
                connection,
                session,
                now,
                appended.first_sequence + len(contents),
                message_bytes=session.message_bytes + size,
                turn_id=None if turn_id else session.turn_id,
            )
        return appended

    @contextlib.asynccontextmanager
    async def history(
        self, session_id: str, owner: Owner, expected_next_sequence: int | None = None
    ) -> AsyncIterator[History]:
        """A snapshot of the session's messages, valid inside the block.

        Raises Conflict SEQUENCE_CONFLICT, as `append` does. Only `LARGE_READS` large sessions are read at a time, in
        the order of the calls, so that memory and connections are left for the others.
        """
        async with self._read(session_id, owner, expected_next_sequence) as history:
            session = history.session
            if session.message_bytes < LARGE_BYTES and session.next_sequence <= LARGE_MESSAGES:
                yield history
                return
        async with self._large_reads, self._read(session_id, owner, expected_next_sequence) as history:
            yield history

    @retried
    async def truncate(self, session_id: str, owner: Owner, from_sequence: int) -> Truncated:
        """Deletes the messages from `from_sequence` on, which becomes the next sequence."""
        async with self._write(session_id, owner) as connection:
            now = self._now()
            session = await get_session(connection, session_id, owner, now)
            deleted = session.next_sequence - from_sequence
            if deleted <= 0:
                return Truncated(0, session.next_sequence)
            c = messages.c
            end = (c.session_key == session.session_key) & (c.sequence >= from_sequence)
            size = await connection.scalar(select(func.sum(func.length(c.message))).where(end))
            await connection.execute(delete(messages).where(end))
            left = session.message_bytes - int(size or 0)
            # Ends the running turn: its answer would not fit a history without the deleted messages.
            await touch(connection, session, now, from_sequence, message_bytes=left, turn_id=None)
        return Truncated(deleted, from_sequence)

    @retried
    async def begin_turn(self, session_id: str, owner: Owner, turn_id: str, append: PlannedAppend) -> BegunTurn:
        """Begins a turn with a lease, unless its append is already there.

        Raises Conflict SESSION_BUSY while another turn has the lease, and LimitExceeded SESSION_FULL when the planned
        append does not fit.
        """
        async with self._write(session_id, owner) as connection:
            now = self._now()
            session = await get_session(connection, session_id, owner, now)
            key = session.session_key
            if append.request_id and (answer := await find_answer(connection, key, append.request_id, append.messages)):
                return BegunTurn(session, answer)
            if session.turn_id not in (None, turn_id) and now < (session.turn_expire_time or 0):
                raise Conflict(
                    "another turn of this session is being answered; try again when it has ended", reason="SESSION_BUSY"
                )
            session.require_capacity(append.messages, append.size)
            await update_session(connection, session, turn_id=turn_id, turn_expire_time=now + self._lease)
        return BegunTurn(session)

    @retried
    async def extend_turn(self, session_id: str, owner: Owner, turn_id: str) -> None:
        """Renews the lease of the turn. Raises Conflict TURN_LOST."""
        async with self._write(session_id, owner) as connection:
            now = self._now()
            session = await get_session(connection, session_id, owner, now)
            _require_turn(session, turn_id)
            await update_session(connection, session, turn_expire_time=now + self._lease)

    @retried
    async def end_turn(self, session_id: str, owner: Owner, turn_id: str) -> None:
        """Ends the turn. Does nothing if the session has another turn or does not exist."""
        with contextlib.suppress(NotFound):
            async with self._write(session_id, owner) as connection:
                session = await get_session(connection, session_id, owner, self._now())
                if session.turn_id == turn_id:
                    await update_session(connection, session, turn_id=None)

    async def delete_user(self, owner: Owner) -> tuple[int, int]:
        """Deletes all sessions and memories of a user; returns their numbers, without expired sessions.

        The sessions are deleted in batches, so that other writes wait for one batch only. After a failure, a repeated
        call deletes the rest.
        """
        unexpired = 0
        while deleted := await self._delete_batch(owner.owns(sessions)):
            now = self._now()
            unexpired += sum(row.expire_time is None or row.expire_time > now for row in deleted)
        return unexpired, await self._delete_memories(owner)

    async def purge_expired(self) -> int:
        """Deletes a batch of expired sessions; returns their number."""
        expired = sessions.c.expire_time <= self._now()
        async with self._database.read() as connection:
            if not (await connection.scalars(select(sessions.c.session_key).where(expired).limit(1))).all():
                return 0
        return len(await self._delete_batch(expired))

    @retried
    async def _delete_batch(self, condition: ColumnElement[bool]) -> Sequence[Any]:
        """Deletes a batch of the sessions, with as many messages as a short transaction can delete.

        Returns the rows of the deleted sessions.
        """
        c = sessions.c
        statement = select(c.session_key, c.next_sequence, c.expire_time).where(condition).limit(PURGE_BATCH)
        async with self._database.write() as connection:
            found = (await connection.execute(statement)).all()
            messages_before = itertools.accumulate((row.next_sequence for row in found), initial=0)
            batch = [row for row, before in zip(found, messages_before, strict=False) if before < PURGE_MESSAGES]
            await connection.execute(delete(sessions).where(c.session_key.in_([row.session_key for row in batch])))
        return batch

    @retried
    async def _delete_memories(self, owner: Owner) -> int:
        async with self._database.write(owner.scope("user", owner.user_id)) as connection:
            deleted = await connection.execute(delete(memories).where(owner.owns(memories)))
        return deleted.rowcount

    @contextlib.asynccontextmanager
    async def _read(self, session_id: str, owner: Owner, expected_next_sequence: int | None) -> AsyncIterator[History]:
        async with self._database.read() as connection:
            session = await get_session(connection, session_id, owner, self._now())
            session.require_next_sequence(expected_next_sequence)
            yield History(connection, session)

    def _write(self, session_id: str, owner: Owner) -> contextlib.AbstractAsyncContextManager[AsyncConnection]:
        return self._database.write(owner.scope("session", session_id))


class History:
    """A snapshot of a session and its messages."""

    def __init__(self, connection: AsyncConnection, session: Session) -> None:
        self._connection = connection
        self.session = session

    async def fetch(self, after: int | None, size: int, descending: bool) -> RowPage[StoredMessage]:
        """A page of messages after the sequence `after` in the given order; None: the first page."""
        c = messages.c
        statement = select(c.sequence, c.message, c.create_time).where(c.session_key == self.session.session_key)
        if after is not None:
            statement = statement.where(c.sequence < after if descending else c.sequence > after)
        statement = statement.order_by(c.sequence.desc() if descending else c.sequence)
        rows = await fetch_page(self._connection, statement, func.length(c.message), size)
        return RowPage([StoredMessage(*row) for row in rows.entries], rows.more)


def _require_turn(session: Session, turn_id: str) -> None:
    """Raises Conflict TURN_LOST for a turn that the session no longer has.

    An expired lease stays valid until another turn takes the session.
    """
    if session.turn_id != turn_id:
        raise Conflict(
            "the turn is over: it was not extended in time, or the session was truncated; read the session again",
            reason="TURN_LOST",
        )

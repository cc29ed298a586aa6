"""Sessions and their messages in the database. Knows SQL, and nothing of gRPC or of what is in a message.

Every change of a session happens in a write transaction of that session's scope, so that what was read there holds
until it is committed: sequences have no gaps and no twins, however many write at once. A session that has expired is
as good as gone; `purge_expired` removes it for good.

`user_id` names whose the session must be; empty when that is not to be checked.
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

from services.sessions.appends import Appended, find_request, hash_contents, insert_messages, remember_request
from services.sessions.contents import StoredMessage
from services.sessions.rows import Session, change, expiry, get_session, is_alive, is_taken, touch
from services.sessions.tables import memories, messages, sessions
from services.shared.database import Database
from services.shared.errors import AlreadyExists, Conflict, NotFound
from services.shared.row_pages import RowPage, fetch_page
from services.shared.storage_errors import retried

PURGE_BATCH = 200
PURGE_MESSAGES = 20_000
"""How many sessions one transaction removes, and of how many messages about: others wait for it."""

TURN_LEASE_SECONDS = 10.0
"""How long a turn lasts that is not extended: after a killed Model Service a session is blocked for no longer."""

LARGE_BYTES = 1024 * 1024
LARGE_MESSAGES = 1000
"""From here on the messages of sessions are read by a few at a time: one context has up to 30 MiB."""

LARGE_READS = 2

Position = tuple[int, str, str]
"""A session's place in a list: when it was last used, its id, and whose it is."""


class Appending(NamedTuple):
    """What a turn will append."""

    messages: int
    size: int
    """In bytes, as far as they are known."""


class Truncated(NamedTuple):
    removed: int
    next_sequence: int


def read_clock() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class SessionStore:
    """Conversations, each a gap-free list of messages."""

    def __init__(
        self, database: Database, now: Callable[[], int] = read_clock, lease_seconds: float = TURN_LEASE_SECONDS
    ) -> None:
        self._database = database
        self._now = now
        self._lease = int(lease_seconds * 1_000_000)
        self._large_reads = asyncio.Semaphore(LARGE_READS)

    @property
    def lease_seconds(self) -> float:
        """How long a turn lasts that is not extended."""
        return self._lease / 1_000_000

    @retried
    async def create(
        self, session_id: str, user_id: str, title: str, metadata: Mapping[str, str], lifetime: int | None
    ) -> Session:
        """Raises AlreadyExists SESSION_EXISTS when the user has one of this id; for nobody, when anybody has.

        Whether another user has one is not told: each has ids of their own. The lifetime is in microseconds.
        """
        async with self._write(session_id) as connection:
            now = self._now()
            if await is_taken(connection, session_id, user_id, now):
                raise AlreadyExists(
                    f"session {session_id} exists; choose another id, or none to get a new one", reason="SESSION_EXISTS"
                )
            session = Session(
                session_key=uuid.uuid4().hex,
                session_id=session_id,
                user_id=user_id,
                title=title,
                metadata_json=msgspec.json.encode(metadata),
                create_time=now,
                update_time=now,
                lifetime=lifetime,
                expire_time=expiry(now, lifetime),
            )
            # One of the same id that has expired may still be there.
            c = sessions.c
            await connection.execute(delete(sessions).where(c.session_id == session_id, c.user_id == user_id))
            await connection.execute(insert(sessions).values(session._asdict()))
        return session

    async def get(self, session_id: str, user_id: str) -> Session:
        """Raises NotFound SESSION_NOT_FOUND, as every method here that takes the id of a session."""
        async with self._database.read() as connection:
            return await get_session(connection, session_id, user_id, self._now())

    async def list_sessions(self, user_id: str, after: Position | None, size: int) -> RowPage[Session]:
        """The most recently used first, from behind `after` on."""
        c = sessions.c
        statement = select(sessions).where(is_alive(self._now()))
        if user_id:
            statement = statement.where(c.user_id == user_id)
        if after:
            statement = statement.where(tuple_(c.update_time, c.session_id, c.user_id) < after)
        statement = statement.order_by(c.update_time.desc(), c.session_id.desc(), c.user_id.desc())
        async with self._database.read() as connection:
            rows = await fetch_page(
                connection, statement, func.length(c.metadata_json) + 4 * func.length(c.title), size
            )
        return RowPage([Session(*row) for row in rows.entries], rows.more)

    @retried
    async def delete(self, session_id: str, user_id: str) -> None:
        """Removes a session with everything in it."""
        async with self._write(session_id) as connection:
            session = await get_session(connection, session_id, user_id, self._now())
            await connection.execute(delete(sessions).where(sessions.c.session_key == session.session_key))

    @retried
    async def append(
        self,
        session_id: str,
        user_id: str,
        contents: Sequence[bytes],
        request_id: str = "",
        expected_next_sequence: int | None = None,
        turn_id: str = "",
    ) -> Appended:
        """Appends all of the messages and ends the turn, or, when `request_id` was here before, does nothing.

        Raises AlreadyExists REQUEST_ID_REUSED when that id came with other messages, Conflict SEQUENCE_CONFLICT, with
        the session's `next_sequence`, when that is not the expected one, Conflict TURN_LOST, and LimitExceeded
        SESSION_FULL.
        """
        content_hash = await hash_contents(contents) if request_id else b""
        size = sum(map(len, contents))
        async with self._write(session_id) as connection:
            now = self._now()
            session = await get_session(connection, session_id, user_id, now)
            key = session.session_key
            if request_id and (earlier := await find_request(connection, key, request_id, content_hash)):
                return earlier
            session.expect(expected_next_sequence)
            if turn_id:
                _check_turn(session, turn_id)
            session.require_room(len(contents), size)
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
        self, session_id: str, user_id: str, expected_next_sequence: int | None = None
    ) -> AsyncIterator[History]:
        """The session's messages as they are at one moment, for as long as the block lasts.

        Raises Conflict SEQUENCE_CONFLICT, as `append` does. Of sessions that hold much only a few are read at a time,
        in the order in which they were asked for, so that neither memory nor connections go to them alone.
        """
        async with self._read(session_id, user_id, expected_next_sequence) as history:
            session = history.session
            if session.message_bytes < LARGE_BYTES and session.next_sequence <= LARGE_MESSAGES:
                yield history
                return
        async with self._large_reads, self._read(session_id, user_id, expected_next_sequence) as history:
            yield history

    @retried
    async def truncate(self, session_id: str, user_id: str, from_sequence: int) -> Truncated:
        """Removes the messages from `from_sequence` on; its place is the next one's."""
        async with self._write(session_id) as connection:
            now = self._now()
            session = await get_session(connection, session_id, user_id, now)
            removed = session.next_sequence - from_sequence
            if removed <= 0:
                return Truncated(0, session.next_sequence)
            c = messages.c
            end = (c.session_key == session.session_key) & (c.sequence >= from_sequence)
            size = await connection.scalar(select(func.sum(func.length(c.message))).where(end))
            await connection.execute(delete(messages).where(end))
            left = session.message_bytes - int(size or 0)
            # A turn that answers what is gone is over: appended to what may be said instead, it would make no sense.
            await touch(connection, session, now, from_sequence, message_bytes=left, turn_id=None)
        return Truncated(removed, from_sequence)

    @retried
    async def begin_turn(self, session_id: str, user_id: str, turn_id: str, append: Appending) -> Session:
        """Makes it this turn's session for a lease.

        Raises Conflict SESSION_BUSY while it is another's, and LimitExceeded SESSION_FULL when what the turn will
        append does not fit.
        """
        async with self._write(session_id) as connection:
            now = self._now()
            session = await get_session(connection, session_id, user_id, now)
            if session.turn_id not in (None, turn_id) and now < (session.turn_expire_time or 0):
                raise Conflict(
                    "another turn of this session is being answered; try again when it has ended", reason="SESSION_BUSY"
                )
            session.require_room(append.messages, append.size)
            await change(connection, session, turn_id=turn_id, turn_expire_time=now + self._lease)
        return session

    @retried
    async def extend_turn(self, session_id: str, user_id: str, turn_id: str) -> None:
        """Makes the turn last for another lease. Raises Conflict TURN_LOST."""
        async with self._write(session_id) as connection:
            now = self._now()
            session = await get_session(connection, session_id, user_id, now)
            _check_turn(session, turn_id)
            await change(connection, session, turn_expire_time=now + self._lease)

    @retried
    async def end_turn(self, session_id: str, user_id: str, turn_id: str) -> None:
        """Ends the turn, if it is this one's and the session is there."""
        with contextlib.suppress(NotFound):
            async with self._write(session_id) as connection:
                session = await get_session(connection, session_id, user_id, self._now())
                if session.turn_id == turn_id:
                    await change(connection, session, turn_id=None)

    async def delete_user(self, user_id: str) -> tuple[int, int]:
        """Removes all sessions and memories of a user; returns how many of each there were, expired ones left out.

        It is done by and by, so that no other write waits for all of it; when it fails, what is left can be removed by
        another attempt.
        """
        alive = 0
        while removed := await self._remove_some(sessions.c.user_id == user_id):
            now = self._now()
            alive += sum(row.expire_time is None or row.expire_time > now for row in removed)
        return alive, await self._remove_memories(user_id)

    async def purge_expired(self) -> int:
        """Removes some of the sessions that have expired; returns how many."""
        expired = sessions.c.expire_time <= self._now()
        async with self._database.read() as connection:
            if not (await connection.scalars(select(sessions.c.session_key).where(expired).limit(1))).all():
                return 0
        return len(await self._remove_some(expired))

    @retried
    async def _remove_some(self, which: ColumnElement[bool]) -> Sequence[Any]:
        """Removes some of these sessions, with no more messages than one transaction can remove in a short time.

        Returns the rows of those that it removed.
        """
        c = sessions.c
        wanted = select(c.session_key, c.next_sequence, c.expire_time).where(which).limit(PURGE_BATCH)
        async with self._database.write() as connection:
            found = (await connection.execute(wanted)).all()
            messages_before = itertools.accumulate((row.next_sequence for row in found), initial=0)
            few = [row for row, before in zip(found, messages_before, strict=False) if before < PURGE_MESSAGES]
            await connection.execute(delete(sessions).where(c.session_key.in_([row.session_key for row in few])))
        return few

    @retried
    async def _remove_memories(self, user_id: str) -> int:
        async with self._database.write(f"user/{user_id}") as connection:
            removed = await connection.execute(delete(memories).where(memories.c.user_id == user_id))
        return removed.rowcount

    @contextlib.asynccontextmanager
    async def _read(self, session_id: str, user_id: str, expected_next_sequence: int | None) -> AsyncIterator[History]:
        async with self._database.read() as connection:
            session = await get_session(connection, session_id, user_id, self._now())
            session.expect(expected_next_sequence)
            yield History(connection, session)

    def _write(self, session_id: str) -> contextlib.AbstractAsyncContextManager[AsyncConnection]:
        return self._database.write(f"session/{session_id}")


class History:
    """A session and its messages at one moment."""

    def __init__(self, connection: AsyncConnection, session: Session) -> None:
        self._connection = connection
        self.session = session

    async def fetch(self, after: int | None, size: int, descending: bool) -> RowPage[StoredMessage]:
        """Messages from behind `after` on; None: from the end that the order begins with."""
        c = messages.c
        statement = select(c.sequence, c.message, c.create_time).where(c.session_key == self.session.session_key)
        if after is not None:
            statement = statement.where(c.sequence < after if descending else c.sequence > after)
        statement = statement.order_by(c.sequence.desc() if descending else c.sequence)
        rows = await fetch_page(self._connection, statement, func.length(c.message), size)
        return RowPage([StoredMessage(*row) for row in rows.entries], rows.more)


def _check_turn(session: Session, turn_id: str) -> None:
    """A turn whose lease is over still is the session's until another one begins."""
    if session.turn_id != turn_id:
        raise Conflict(
            "the turn is over: it was not extended in time, or the session was truncated; read the session again",
            reason="TURN_LOST",
        )

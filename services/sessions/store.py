"""Sessions and their messages in the database. Knows SQL, and nothing of gRPC or of what is in a message.

Every change of a session happens in a write transaction of that session's scope, so that what was read there holds
until it is committed: sequences have no gaps and no twins, however many write at once. A session that has expired is
as good as gone; `purge_expired` removes it for good.

`user_id` names whose the session must be; empty when that is not to be checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import delete, func, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sessions.paging import Slice, fetch_slice
from services.sessions.rows import Session, change, expiry, find_session, get_session, is_alive, touch
from services.sessions.tables import appends, memories, messages, sessions
from services.shared.database import Database
from services.shared.errors import AlreadyExists, Conflict
from services.shared.storage_errors import retried

PURGE_BATCH = 200

TURN_LEASE_SECONDS = 10.0
"""How long a turn lasts that is not extended: after a killed Model Service a session is blocked for no longer."""

Position = tuple[int, str]
"""A session's place in a list: when it was last used, and its id."""


class StoredMessage(NamedTuple):
    sequence: int
    message: bytes
    create_time: int


class Appended(NamedTuple):
    """Where appended messages begin, and when that was; `duplicate` when it was an earlier call that appended them."""

    first_sequence: int
    create_time: int
    duplicate: bool


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

    @property
    def lease_seconds(self) -> float:
        """How long a turn lasts that is not extended."""
        return self._lease / 1_000_000

    @retried
    async def create(
        self, session_id: str, user_id: str, title: str, metadata: Mapping[str, str], lifetime: int | None
    ) -> Session:
        """Raises AlreadyExists SESSION_EXISTS. The lifetime is in microseconds."""
        async with self._write(session_id) as connection:
            now = self._now()
            if await find_session(connection, session_id, now):
                raise AlreadyExists(
                    f"session {session_id} exists; choose another id, or none to get a new one", reason="SESSION_EXISTS"
                )
            session = Session(
                session_id=session_id,
                user_id=user_id,
                title=title,
                metadata_json=msgspec.json.encode(metadata),
                create_time=now,
                update_time=now,
                lifetime=lifetime,
                expire_time=expiry(now, lifetime),
                next_sequence=1,
            )
            # One of the same id that has expired may still be there.
            await connection.execute(delete(sessions).where(sessions.c.session_id == session_id))
            await connection.execute(insert(sessions).values(session._asdict()))
        return session

    async def get(self, session_id: str, user_id: str) -> Session:
        """Raises NotFound SESSION_NOT_FOUND, as every method here that takes the id of a session."""
        async with self._database.read() as connection:
            return await get_session(connection, session_id, user_id, self._now())

    async def list_sessions(self, user_id: str, after: Position | None, size: int) -> Slice[Session]:
        """The most recently used first, from behind `after` on."""
        c = sessions.c
        statement = select(sessions).where(is_alive(self._now()))
        if user_id:
            statement = statement.where(c.user_id == user_id)
        if after:
            statement = statement.where(tuple_(c.update_time, c.session_id) < after)
        statement = statement.order_by(c.update_time.desc(), c.session_id.desc())
        async with self._database.read() as connection:
            rows = await fetch_slice(
                connection, statement, func.length(c.metadata_json) + 4 * func.length(c.title), size
            )
        return Slice([Session(*row) for row in rows.entries], rows.more)

    @retried
    async def delete(self, session_id: str, user_id: str) -> None:
        """Removes a session with everything in it."""
        async with self._write(session_id) as connection:
            await get_session(connection, session_id, user_id, self._now())
            await connection.execute(delete(sessions).where(sessions.c.session_id == session_id))

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
        the session's `next_sequence`, when that is not the expected one, and Conflict TURN_LOST.
        """
        content_hash = _hash(contents)
        async with self._write(session_id) as connection:
            now = self._now()
            session = await get_session(connection, session_id, user_id, now)
            if request_id and (earlier := await _find_append(connection, session_id, request_id, content_hash)):
                return earlier
            session.expect(expected_next_sequence)
            if turn_id:
                _check_turn(session, turn_id)
            first = session.next_sequence
            rows = [
                {"session_id": session_id, "sequence": sequence, "message": content, "create_time": now}
                for sequence, content in enumerate(contents, first)
            ]
            await connection.execute(insert(messages), rows)
            if request_id:
                await connection.execute(
                    insert(appends).values(
                        session_id=session_id,
                        request_id=request_id,
                        content_hash=content_hash,
                        first_sequence=first,
                        create_time=now,
                    )
                )
            after = None if turn_id else session.turn_id
            await touch(connection, session, now, first + len(contents), turn_id=after)
        return Appended(first, now, duplicate=False)

    async def list_messages(
        self, session_id: str, user_id: str, after: int | None, size: int, descending: bool
    ) -> Slice[StoredMessage]:
        """Messages by sequence, from behind `after` on."""
        async with self.history(session_id, user_id) as history:
            return await history.fetch(after, size, descending)

    @contextlib.asynccontextmanager
    async def history(
        self, session_id: str, user_id: str, expected_next_sequence: int | None = None
    ) -> AsyncIterator[History]:
        """The session's messages as they are at one moment, for as long as the block lasts.

        Raises Conflict SEQUENCE_CONFLICT, as `append` does.
        """
        async with self._database.read() as connection:
            session = await get_session(connection, session_id, user_id, self._now())
            session.expect(expected_next_sequence)
            yield History(connection, session)

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
            await connection.execute(delete(messages).where(c.session_id == session_id, c.sequence >= from_sequence))
            # A turn that answers what is gone is over: appended to what may be said instead, it would make no sense.
            await touch(connection, session, now, from_sequence, turn_id=None)
        return Truncated(removed, from_sequence)

    @retried
    async def begin_turn(self, session_id: str, user_id: str, turn_id: str) -> None:
        """Makes it this turn's session for a lease. Raises Conflict SESSION_BUSY while it is another's."""
        async with self._write(session_id) as connection:
            now = self._now()
            session = await get_session(connection, session_id, user_id, now)
            if session.turn_id not in (None, turn_id) and now < (session.turn_expire_time or 0):
                raise Conflict(
                    "another turn of this session is being answered; try again when it has ended", reason="SESSION_BUSY"
                )
            await change(connection, session_id, turn_id=turn_id, turn_expire_time=now + self._lease)

    @retried
    async def extend_turn(self, session_id: str, turn_id: str) -> None:
        """Makes the turn last for another lease. Raises Conflict TURN_LOST."""
        async with self._write(session_id) as connection:
            now = self._now()
            _check_turn(await get_session(connection, session_id, "", now), turn_id)
            await change(connection, session_id, turn_expire_time=now + self._lease)

    @retried
    async def end_turn(self, session_id: str, turn_id: str) -> None:
        """Ends the turn, if it is this one's and the session is there."""
        async with self._write(session_id) as connection:
            session = await find_session(connection, session_id, self._now())
            if session and session.turn_id == turn_id:
                await change(connection, session_id, turn_id=None)

    @retried
    async def delete_user(self, user_id: str) -> tuple[int, int]:
        """Removes all sessions and memories of a user; returns how many of each there were, expired ones left out."""
        own = sessions.c.user_id == user_id
        async with self._database.write() as connection:
            alive = select(func.count()).select_from(sessions).where(own, is_alive(self._now()))
            found = await connection.scalar(alive)
            await connection.execute(delete(sessions).where(own))
            removed_memories = await connection.execute(delete(memories).where(memories.c.user_id == user_id))
        return found or 0, removed_memories.rowcount

    async def purge_expired(self) -> int:
        """Removes some of the sessions that have expired; returns how many."""
        c = sessions.c
        expired = select(c.session_id).where(c.expire_time <= self._now()).limit(PURGE_BATCH)
        async with self._database.read() as connection:
            if not (await connection.scalars(expired.limit(1))).all():
                return 0
        async with self._database.write() as connection:
            removed = await connection.execute(delete(sessions).where(c.session_id.in_(expired)))
        return removed.rowcount

    def _write(self, session_id: str) -> contextlib.AbstractAsyncContextManager[AsyncConnection]:
        return self._database.write(f"session/{session_id}")


class History:
    """A session and its messages at one moment."""

    def __init__(self, connection: AsyncConnection, session: Session) -> None:
        self._connection = connection
        self.session = session

    async def fetch(self, after: int | None, size: int, descending: bool) -> Slice[StoredMessage]:
        """Messages from behind `after` on; None: from the end that the order begins with."""
        c = messages.c
        statement = select(c.sequence, c.message, c.create_time).where(c.session_id == self.session.session_id)
        if after is not None:
            statement = statement.where(c.sequence < after if descending else c.sequence > after)
        statement = statement.order_by(c.sequence.desc() if descending else c.sequence)
        rows = await fetch_slice(self._connection, statement, func.length(c.message), size)
        return Slice([StoredMessage(*row) for row in rows.entries], rows.more)


async def _find_append(
    connection: AsyncConnection, session_id: str, request_id: str, content_hash: bytes
) -> Appended | None:
    c = appends.c
    result = await connection.execute(
        select(c.first_sequence, c.create_time, c.content_hash).where(
            c.session_id == session_id, c.request_id == request_id
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


def _hash(contents: Sequence[bytes]) -> bytes:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(len(content).to_bytes(8))
        digest.update(content)
    return digest.digest()


def _check_turn(session: Session, turn_id: str) -> None:
    """A turn whose lease is over still is the session's until another one begins."""
    if session.turn_id != turn_id:
        raise Conflict(
            "the turn is over: it was not extended in time, or the session was truncated; read the session again",
            reason="TURN_LOST",
        )

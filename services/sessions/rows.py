"""A session's own row: how it is found, and what each use of the session changes in it."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sessions.tables import sessions
from services.shared.errors import Conflict, NotFound


class Session(NamedTuple):
    """A row of `sessions`, in the order of its columns."""

    session_id: str
    user_id: str
    title: str
    metadata_json: bytes
    create_time: int
    update_time: int
    lifetime: int | None
    expire_time: int | None
    next_sequence: int
    turn_id: str | None = None
    turn_expire_time: int | None = None

    @property
    def metadata(self) -> dict[str, str]:
        return msgspec.json.decode(self.metadata_json, type=dict[str, str])

    def expect(self, next_sequence: int | None) -> None:
        """Raises Conflict SEQUENCE_CONFLICT, with the session's `next_sequence`, when that is not this one."""
        if next_sequence is None or next_sequence == self.next_sequence:
            return
        facts = {"next_sequence": str(self.next_sequence), "expected_next_sequence": str(next_sequence)}
        raise Conflict(
            f"the session's next sequence is {self.next_sequence}, not {next_sequence}; read it again, then decide",
            reason="SEQUENCE_CONFLICT",
            metadata=facts,
        )


async def find_session(connection: AsyncConnection, session_id: str, now: int) -> Session | None:
    result = await connection.execute(select(sessions).where(sessions.c.session_id == session_id, is_alive(now)))
    row = result.one_or_none()
    return Session(*row) if row else None


async def get_session(connection: AsyncConnection, session_id: str, user_id: str, now: int) -> Session:
    """Raises NotFound SESSION_NOT_FOUND, for a session of another user too."""
    session = await find_session(connection, session_id, now)
    if session is None or (user_id and session.user_id != user_id):
        raise NotFound(f"session {session_id} does not exist; create it first", reason="SESSION_NOT_FOUND")
    return session


async def touch(
    connection: AsyncConnection, session: Session, now: int, next_sequence: int, *, turn_id: str | None
) -> None:
    """Records that the session was written to: where it ends now, and whose turn it is."""
    # A clock that was set back must not make a session that is in use look old.
    used = max(now, session.update_time)
    await change(
        connection,
        session.session_id,
        update_time=used,
        expire_time=expiry(used, session.lifetime),
        next_sequence=next_sequence,
        turn_id=turn_id,
    )


async def change(connection: AsyncConnection, session_id: str, **values: Any) -> None:
    await connection.execute(update(sessions).where(sessions.c.session_id == session_id).values(values))


def is_alive(now: int) -> ColumnElement[bool]:
    return or_(sessions.c.expire_time.is_(None), sessions.c.expire_time > now)


def expiry(now: int, lifetime: int | None) -> int | None:
    return None if lifetime is None else now + lifetime

"""Rows of sessions: their queries, size limits, and updates after each use."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Select, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sessions.owners import Owner
from services.sessions.tables import sessions
from services.shared.errors import Conflict, InvalidRequest, LimitExceeded, NotFound

MAX_SESSION_MESSAGES = 100_000
MAX_SESSION_BYTES = 256 * 1024 * 1024


class Session(NamedTuple):
    """A row of `sessions`, in the order of its columns."""

    session_key: str
    project_id: str
    session_id: str
    user_id: str
    title: str
    metadata_json: bytes
    create_time: int
    update_time: int
    lifetime: int | None
    expire_time: int | None
    next_sequence: int = 1
    message_bytes: int = 0
    turn_id: str | None = None
    turn_expire_time: int | None = None

    @property
    def metadata(self) -> dict[str, str]:
        return msgspec.json.decode(self.metadata_json, type=dict[str, str])

    def require_next_sequence(self, next_sequence: int | None) -> None:
        """Raises Conflict SEQUENCE_CONFLICT, with the session's `next_sequence`, if it differs. None: any."""
        if next_sequence is None or next_sequence == self.next_sequence:
            return
        facts = {"next_sequence": str(self.next_sequence), "expected_next_sequence": str(next_sequence)}
        raise Conflict(
            f"the session's next sequence is {self.next_sequence}, not {next_sequence}; read it again, then decide",
            reason="SEQUENCE_CONFLICT",
            metadata=facts,
        )

    def require_capacity(self, messages: int, size: int) -> None:
        """Raises LimitExceeded SESSION_FULL if `messages` further messages of `size` bytes together do not fit."""
        count = self.next_sequence - 1
        if count + messages > MAX_SESSION_MESSAGES:
            held = f"{count} messages, and holds {MAX_SESSION_MESSAGES}"
        elif self.message_bytes + size > MAX_SESSION_BYTES:
            held = f"{self.message_bytes} bytes of messages, and holds {MAX_SESSION_BYTES}"
        else:
            return
        raise LimitExceeded(
            f"the session has {held} at most; go on in a new session, or truncate this one", reason="SESSION_FULL"
        )


async def is_taken(connection: AsyncConnection, session_id: str, owner: Owner, now: int) -> bool:
    """Whether the owner has a session of this id; without a user, whether any user of the project has one."""
    return bool((await connection.execute(_select_session(session_id, owner, now).limit(1))).all())


async def get_session(connection: AsyncConnection, session_id: str, owner: Owner, now: int) -> Session:
    """The owner's session of this id; without a user, the project's session without one, else its only one.

    Raises NotFound SESSION_NOT_FOUND, for a session of another owner, too, and InvalidRequest SESSION_AMBIGUOUS.
    """
    # The session without a user sorts first.
    found = (
        await connection.execute(_select_session(session_id, owner, now).order_by(sessions.c.user_id).limit(2))
    ).all()
    if not found:
        raise NotFound(f"session {session_id} does not exist; create it first", reason="SESSION_NOT_FOUND")
    session = Session(*found[0])
    if len(found) > 1 and session.user_id:
        raise InvalidRequest.field(
            "user_id", "is required: several users have a session of this id", reason="SESSION_AMBIGUOUS"
        )
    return session


async def touch(
    connection: AsyncConnection,
    session: Session,
    now: int,
    next_sequence: int,
    *,
    message_bytes: int,
    turn_id: str | None,
) -> None:
    """Updates the row after a write: the time of use, next sequence, size, and turn."""
    # A clock that was set back must not make a session in use look old.
    used = max(now, session.update_time)
    await update_session(
        connection,
        session,
        update_time=used,
        expire_time=expiry(used, session.lifetime),
        next_sequence=next_sequence,
        message_bytes=message_bytes,
        turn_id=turn_id,
    )


async def update_session(connection: AsyncConnection, session: Session, **values: Any) -> None:
    await connection.execute(update(sessions).where(sessions.c.session_key == session.session_key).values(values))


def _select_session(session_id: str, owner: Owner, now: int) -> Select[Any]:
    c = sessions.c
    statement = select(sessions).where(c.project_id == owner.project_id, c.session_id == session_id, is_unexpired(now))
    return statement.where(c.user_id == owner.user_id) if owner.user_id else statement


def is_unexpired(now: int) -> ColumnElement[bool]:
    return or_(sessions.c.expire_time.is_(None), sessions.c.expire_time > now)


def expiry(now: int, lifetime: int | None) -> int | None:
    return None if lifetime is None else now + lifetime

"""Kept answers: the store of answers under request ids. Each id has one running call at a time, by a lease."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import ColumnElement, Row, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.models.calls.tables import kept_answers
from services.shared.database import Database
from services.shared.errors import Conflict, InvalidRequest

LEASE_SECONDS = 10.0
"""Time after which another call may take the place of one whose process was killed."""
KEPT_SECONDS = 24 * 3600.0


class Key(NamedTuple):
    """A request id of one caller."""

    scope: str
    request_id: str


class Found(NamedTuple):
    """The state of a request id, after a claim."""

    claimed: bool = False
    """Whether this call is the one that answers."""
    response: bytes | None = None
    """The serialized answer of an earlier call. With neither, another call is running."""


class KeptAnswers:
    """The answers in a database, which all replicas share. `now` is in seconds since 1970."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    async def claim(self, key: Key, fingerprint: str, holder: str) -> Found:
        """Claims the id for the call `holder`, unless an answer is kept or another call is running.

        Raises InvalidRequest (REQUEST_ID_REUSED) for another request under an id that is in use, and Unavailable while
        the storage is away.
        """
        now = self._now()
        async with self._database.write(f"{key.scope}/{key.request_id}") as connection:
            row = await _read(connection, key)
            if row is not None and row.expires_at > now:
                if row.fingerprint != fingerprint:
                    raise _reused()
                return Found(response=row.response)
            await connection.execute(delete(kept_answers).where(_is(key)))
            values = {"fingerprint": fingerprint, "holder": holder, "expires_at": now + LEASE_SECONDS}
            await connection.execute(insert(kept_answers).values(**key._asdict(), **values))
        return Found(claimed=True)

    async def extend(self, key: Key, holder: str) -> None:
        """Extends the lease of a running call."""
        await self._set(key, holder, expires_at=self._now() + LEASE_SECONDS)

    async def keep(self, key: Key, holder: str, response: bytes) -> None:
        """Keeps the answer of a call for a day. Raises Conflict if another call has taken its place."""
        if not await self._set(key, holder, response=response, expires_at=self._now() + KEPT_SECONDS):
            raise Conflict("this call stood still for so long that another one has taken its place")

    async def release(self, key: Key, holder: str) -> None:
        """Frees the id of a call that has failed."""
        async with self._database.write(f"{key.scope}/{key.request_id}") as connection:
            await connection.execute(
                delete(kept_answers).where(_is(key), kept_answers.c.holder == holder, kept_answers.c.response.is_(None))
            )

    async def purge(self) -> int:
        """Deletes what has expired. Returns how many that were."""
        async with self._database.write() as connection:
            result = await connection.execute(delete(kept_answers).where(kept_answers.c.expires_at <= self._now()))
            return result.rowcount

    async def _set(self, key: Key, holder: str, **values: object) -> bool:
        """Changes the entry of a call, and returns whether it still has one."""
        async with self._database.write(f"{key.scope}/{key.request_id}") as connection:
            result = await connection.execute(
                update(kept_answers).where(_is(key), kept_answers.c.holder == holder).values(**values)
            )
        return result.rowcount > 0


def _is(key: Key) -> ColumnElement[bool]:
    return and_(kept_answers.c.scope == key.scope, kept_answers.c.request_id == key.request_id)


async def _read(connection: AsyncConnection, key: Key) -> Row[tuple[object, ...]] | None:
    return (await connection.execute(select(kept_answers).where(_is(key)))).first()


def _reused() -> InvalidRequest:
    return InvalidRequest.field(
        "request_id",
        "was sent with another request before; each request needs an id of its own",
        reason="REQUEST_ID_REUSED",
    )

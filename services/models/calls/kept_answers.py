"""Kept answers: the store of answers under request ids. Each id has one running call at a time, by a lease.

Leases go by the clock of the database: the clocks of replicas may differ by more than a lease.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.models.calls import surplus
from services.models.calls.tables import kept_answers
from services.shared.database import Database
from services.shared.errors import Conflict, InvalidRequest

LEASE_SECONDS = 10.0
"""Time after which another call may take the place of one whose process was killed."""
KEPT_SECONDS = 24 * 3600.0

PURGE_BATCH = 200
"""Answers that one transaction of a purge deletes: other writers wait for it."""

PURGES_PER_BOUND = 20
"""Purges while a process stores as many answers, or as many bytes, as one caller may have."""


class Key(NamedTuple):
    """A request id of one caller, by `Call.answer_scope`."""

    scope: str
    request_id: str


class Found(NamedTuple):
    """The state of a request id."""

    claimed: bool = False
    """Whether this call is the one that answers."""
    response: bytes | None = None
    """The serialized answer of an earlier call. With neither, another call is running."""


class KeptAnswers:
    """The answers in a database, which all replicas share."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._purge_due = asyncio.Event()
        self._stored_answers = 0
        self._stored_bytes = 0
        """Those that this process has stored since the last purge."""

    async def claim(self, key: Key, fingerprint: str, holder: str) -> Found:
        """Claims the id for the call `holder`, unless an answer is kept or another call is running.

        Raises InvalidRequest (REQUEST_ID_REUSED) for another request under an id that is in use, and Unavailable while
        the storage is away.
        """
        async with self._database.write(_scope(key)) as connection:
            if found := await self._find(connection, key, fingerprint):
                return found
            await connection.execute(delete(kept_answers).where(_is(key)))
            lease = self._database.clock() + LEASE_SECONDS
            values = {"fingerprint": fingerprint, "holder": holder, "expires_at": lease, "size": 0}
            await connection.execute(insert(kept_answers).values(**key._asdict(), **values))
        return Found(claimed=True)

    async def find(self, key: Key, fingerprint: str) -> Found | None:
        """The state of an id, or None if it is free. Raises as `claim` does."""
        async with self._database.read() as connection:
            return await self._find(connection, key, fingerprint)

    async def extend(self, key: Key, holder: str) -> bool:
        """Extends the lease of a running call, and returns whether it still has one.

        An answer that was kept meanwhile stays kept for its day.
        """
        lease = self._database.clock() + LEASE_SECONDS
        return await self._set(key, holder, kept_answers.c.response.is_(None), expires_at=lease)

    async def keep(self, key: Key, holder: str, response: bytes) -> None:
        """Keeps the answer of a call for a day. Raises Conflict if another call has taken its place."""
        expiry = self._database.clock() + KEPT_SECONDS
        if not await self._set(key, holder, response=response, size=len(response), expires_at=expiry):
            raise Conflict("this call stood still for so long that another one may have taken its place")
        self._stored_answers += PURGES_PER_BOUND
        self._stored_bytes += PURGES_PER_BOUND * len(response)
        if self._stored_answers >= surplus.CALLER_ANSWERS or self._stored_bytes >= surplus.CALLER_BYTES:
            self._purge_due.set()

    async def release(self, key: Key, holder: str) -> None:
        """Frees the id of a call that has failed."""
        async with self._database.write(_scope(key)) as connection:
            await connection.execute(
                delete(kept_answers).where(_is(key), kept_answers.c.holder == holder, kept_answers.c.response.is_(None))
            )

    async def wait_for_purge(self, seconds: float) -> None:
        """Waits until so many answers were stored that a purge is due, for at most this time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._purge_due.wait()

    async def purge(self) -> None:
        """Deletes what has expired, and the oldest answers beyond the bounds."""
        self._purge_due.clear()
        self._stored_answers = self._stored_bytes = 0
        async with self._database.read() as connection:
            rows = (await connection.execute(surplus.surplus(self._database.clock()))).all()
        keys = [dict(zip(("of_scope", "of_id", "expiry"), row, strict=True)) for row in rows]
        for start in range(0, len(keys), PURGE_BATCH):
            async with self._database.write() as connection:
                await connection.execute(_DELETE, keys[start : start + PURGE_BATCH])

    async def _find(self, connection: AsyncConnection, key: Key, fingerprint: str) -> Found | None:
        c = kept_answers.c
        query = select(c.fingerprint, c.response).where(_is(key), c.expires_at > self._database.clock())
        row = (await connection.execute(query)).first()
        if row is None:
            return None
        if row.fingerprint != fingerprint:
            raise _reused()
        return Found(response=row.response)

    async def _set(self, key: Key, holder: str, *conditions: ColumnElement[bool], **values: object) -> bool:
        """Changes the entry of a call, and returns whether it still has one."""
        async with self._database.write(_scope(key)) as connection:
            result = await connection.execute(
                update(kept_answers).where(_is(key), kept_answers.c.holder == holder, *conditions).values(**values)
            )
        return result.rowcount > 0


# A lease may have been extended since it was read.
_DELETE = delete(kept_answers).where(
    kept_answers.c.scope == bindparam("of_scope"),
    kept_answers.c.request_id == bindparam("of_id"),
    kept_answers.c.expires_at == bindparam("expiry"),
)


def _scope(key: Key) -> str:
    return f"{key.scope}/{key.request_id}"


def _is(key: Key) -> ColumnElement[bool]:
    return and_(kept_answers.c.scope == key.scope, kept_answers.c.request_id == key.request_id)


def _reused() -> InvalidRequest:
    return InvalidRequest.field(
        "request_id",
        "was sent with another request before; each request needs an id of its own",
        reason="REQUEST_ID_REUSED",
    )

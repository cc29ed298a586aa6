"""The audit log: an event for each change, in the transaction of the change, and never changed afterwards.

Each event has the hash of the one before it in its own hash, so that an event that was changed, left out or added later
is noticed. The oldest ones are deleted when their time is over (`audit_retention`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from google.protobuf import json_format
from google.protobuf.message import Message
from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from proto.access_pb2 import (
    AuditEvent,
    AuditPurge,
    ListAuditEventsRequest,
    ListAuditEventsResponse,
    VerifyAuditEventsResponse,
)
from services.access.records import to_json
from services.access.tables import audit_events
from services.access.validation import check_filters
from services.shared.page_tokens import Number, read_page_size, read_page_token
from services.shared.paging import cut_page

FIRST_HASH = "0" * 64
"""The hash before the first event."""

EVENTS_AT_ONCE = 1000

PURGE, PURGED_KIND = "purge", "audit"
"""The action, and the kind of object, of the events that say that older ones were deleted."""

_HASHED = [column.name for column in audit_events.columns if column.name != "hash"]


class Actor(NamedTuple):
    """The author of a change, and the reason that was given for it."""

    kind: str
    id: str
    source_ip: str = ""
    request_id: str = ""
    reason: str = ""


async def add_event(
    connection: AsyncConnection,
    action: str,
    kind: str,
    object_id: str,
    before: Message | None,
    after: Message | None,
    by: Actor,
) -> None:
    """Adds an event, in the transaction of the change."""
    last = (await connection.execute(_NEWEST)).first()
    event = {
        "seq": last.seq + 1 if last else 1,
        "at": int(time.time() * 1e6),
        "actor_kind": by.kind,
        "actor_id": by.id,
        "source_ip": by.source_ip,
        "request_id": by.request_id,
        "action": f"{kind}.{action}",
        "object_kind": kind,
        "object_id": object_id,
        "before_json": to_json(before),
        "after_json": to_json(after),
        "reason": by.reason,
        "previous_hash": last.hash if last else FIRST_HASH,
    }
    event["hash"] = _hash([event[name] for name in _HASHED])
    await connection.execute(audit_events.insert().values(event))


async def newest_seq(connection: AsyncConnection) -> int:
    """The number of the newest event, 0 if there is none. Each change of the database raises it."""
    newest: int | None = await connection.scalar(select(func.max(audit_events.c.seq)))
    return newest or 0


async def changed_since(connection: AsyncConnection, seq: int, kinds: Sequence[str]) -> dict[str, set[str]] | None:
    """The ids of the objects of these kinds that were changed after an event; None if some of that was deleted."""
    if (await connection.scalar(select(func.min(audit_events.c.seq))) or 0) > seq + 1:
        return None
    columns = audit_events.c.object_kind, audit_events.c.object_id
    later = audit_events.c.seq > seq, audit_events.c.object_kind.in_(kinds)
    changed: dict[str, set[str]] = {}
    for kind, object_id in await connection.execute(select(*columns).where(*later).distinct()):
        changed.setdefault(kind, set()).add(object_id)
    return changed


async def read_events(connection: AsyncConnection, request: ListAuditEventsRequest) -> ListAuditEventsResponse:
    """A page of events, newest first."""
    start = read_page_token(request, Number)
    wanted = {name: getattr(request, name) for name in ("object_kind", "object_id", "actor_id")}
    check_filters(wanted)
    conditions = [audit_events.c[name] == value for name, value in wanted.items() if value]
    if start is not None:
        conditions.append(audit_events.c.seq < -start)
    query = select(audit_events).where(*conditions).order_by(audit_events.c.seq.desc())
    rows = await connection.execute(query.limit(read_page_size(request) + 1))
    page = cut_page(((-row.seq, _from_row(row)) for row in rows), request)
    return ListAuditEventsResponse(events=page.entries, next_page_token=page.next_page_token)


async def verify_events(connection: AsyncConnection) -> VerifyAuditEventsResponse:
    """Computes every hash again, and follows the chain from its beginning, or from where older events were deleted."""
    found = VerifyAuditEventsResponse(head_hash=FIRST_HASH, first_seq=1)
    if (first := (await connection.execute(_OLDEST)).first()) and first.seq > 1:
        if not await _was_purged(connection, first.seq - 1, first.previous_hash):
            found.broken_seq = first.seq - 1
            return found
        found.first_seq, found.head_hash = first.seq, first.previous_hash
    expected = found.first_seq
    while rows := (await connection.execute(_from(expected))).all():
        for row in rows:
            values = [getattr(row, name) for name in _HASHED]
            if row.seq != expected or row.previous_hash != found.head_hash or row.hash != _hash(values):
                found.broken_seq = expected
                return found
            found.events, found.head_hash, expected = found.events + 1, row.hash, expected + 1
    return found


async def _was_purged(connection: AsyncConnection, last_seq: int, last_hash: str) -> bool:
    """Whether an event says that all up to one with this number and hash were deleted."""
    about = audit_events.c.object_kind == PURGED_KIND, audit_events.c.object_id == str(last_seq)
    purges = await connection.scalars(select(audit_events.c.after_json).where(*about))
    return any(json_format.Parse(told, AuditPurge()).last_hash == last_hash for told in purges)


_NEWEST = select(audit_events.c.seq, audit_events.c.hash).order_by(audit_events.c.seq.desc()).limit(1)


_OLDEST = select(audit_events.c.seq, audit_events.c.previous_hash).order_by(audit_events.c.seq).limit(1)


def _from(seq: int) -> Any:
    return select(audit_events).where(audit_events.c.seq >= seq).order_by(audit_events.c.seq).limit(EVENTS_AT_ONCE)


def _hash(values: list[Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(values)).hexdigest()


def _from_row(row: Row[Any]) -> AuditEvent:
    fields = {name: value for name, value in row._mapping.items() if name != "at"}
    event = AuditEvent(**fields)
    event.time.FromMicroseconds(row.at)
    return event

"""Events of prompts: an audit log of all changes. Events are added in the transaction of the change, and never
changed."""

from __future__ import annotations

from typing import Any, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from proto import models_pb2
from services.models.prompts.record import PromptId
from services.models.storage.stored_messages import now
from services.models.storage.tables import prompt_events
from services.shared.page_tokens import Number, read_page_size, read_page_token
from services.shared.paging import cut_page

REGISTERED = "registered"
LABEL_SET = "label_set"
LABEL_REMOVED = "label_removed"
ARCHIVED = "archived"
UNARCHIVED = "unarchived"


class Actor(NamedTuple):
    """The actor of a change and the reason, as given by the caller."""

    name: str
    reason: str


async def add_event(
    connection: AsyncConnection,
    kind: str,
    prompt: PromptId,
    version: int,
    by: Actor,
    *,
    label: str = "",
    previous_version: int = 0,
) -> None:
    """Adds an event, in the transaction of the change."""
    event = {
        "type": kind,
        **prompt._asdict(),
        "version": version,
        "label": label,
        "previous_version": previous_version,
        "actor": by.name,
        "reason": by.reason,
        "time": now(),
    }
    await connection.execute(prompt_events.insert().values(event))


async def newest_id(connection: AsyncConnection) -> int:
    """The id of the newest event of all prompts; 0 if there is none."""
    newest: int | None = await connection.scalar(select(func.max(prompt_events.c.id)))
    return newest or 0


async def read_page(
    connection: AsyncConnection, project_id: str, request: models_pb2.ListPromptEventsRequest
) -> models_pb2.ListPromptEventsResponse:
    """A page of one prompt's events, newest first; empty for an unknown prompt."""
    start = read_page_token(request, Number)
    c = prompt_events.c
    query = select(prompt_events).where(c.project_id == project_id, c.name == request.name)
    if start is not None:
        query = query.where(c.id < -start)
    query = query.order_by(c.id.desc()).limit(read_page_size(request) + 1)
    rows = await connection.execute(query)
    page = cut_page(((-row.id, _from_row(row)) for row in rows), request)
    return models_pb2.ListPromptEventsResponse(events=page.entries, next_page_token=page.next_page_token)


def _from_row(row: Row[Any]) -> models_pb2.PromptEvent:
    time = Timestamp()
    time.FromJsonString(row.time)
    return models_pb2.PromptEvent(
        type=row.type,
        name=row.name,
        version=row.version,
        label=row.label,
        previous_version=row.previous_version,
        actor=row.actor,
        reason=row.reason,
        time=time,
    )

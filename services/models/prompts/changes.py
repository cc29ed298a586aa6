"""Changes of prompts: each writes its event in the same transaction.

`record` was read in that transaction, which excludes other writers: the rules are applied to the state of the database,
and not to this process's copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from proto import models_pb2
from proto.models_pb2 import Prompt
from services.models.prompts.events import ARCHIVED, LABEL_REMOVED, LABEL_SET, REGISTERED, UNARCHIVED, Actor, add_event
from services.models.prompts.record import PromptId, PromptRecord
from services.models.prompts.rows import is_archived, is_of, to_row
from services.models.storage.stored_messages import now
from services.models.storage.tables import prompt_labels, prompt_versions
from services.shared.errors import Conflict, PreconditionFailed


class Registered(NamedTuple):
    """The version that has the registered content."""

    version: int
    created: bool
    """False if that version existed before."""


async def register(
    connection: AsyncConnection,
    project_id: str,
    record: PromptRecord | None,
    prompt: Prompt,
    labels: Sequence[str],
) -> Registered:
    """Stores `prompt` as a new version, unless the newest unarchived version is the same, and sets its labels."""
    by = Actor(prompt.metadata.author, prompt.commit_message)
    newest = record.newest_prompt() if record else None
    created = newest is None or newest.content_hash != prompt.content_hash
    if created:
        newest = await _add_version(connection, project_id, record, prompt, by)
    assert newest is not None
    before = record.labels if record else {}
    for label in dict.fromkeys(labels):
        await _move_label(
            connection, PromptId(project_id, prompt.name), newest.version, label, before.get(label, 0), by
        )
    return Registered(newest.version, created)


async def set_label(
    connection: AsyncConnection, record: PromptRecord, request: models_pb2.SetPromptLabelRequest
) -> int:
    """Points a label at a version, or removes it for 0. Returns the version that it pointed at before, or 0.

    Raises NotFound; Conflict when the label does not point at the expected version; PreconditionFailed for an archived
    version.
    """
    if request.version:
        record.require_version(request.version)
    previous = record.labels.get(request.label, 0)
    if request.HasField("expected_version") and request.expected_version != previous:
        raise _moved(request, previous)
    by = Actor(request.actor, request.reason)
    if request.version:
        if await is_archived(connection, (record.id, request.version)):
            raise _archived(record.name, request.version)
        await _move_label(connection, record.id, request.version, request.label, previous, by)
    elif previous:
        await _delete_label(connection, record.id, request.label)
        await add_event(
            connection, LABEL_REMOVED, record.id, previous, by, label=request.label, previous_version=previous
        )
    return previous


async def archive(
    connection: AsyncConnection, record: PromptRecord, request: models_pb2.ArchivePromptRequest
) -> Sequence[int]:
    """Archives or unarchives a version, or all versions for 0. Returns the changed versions, oldest first.

    Raises NotFound, and PreconditionFailed naming the labels that still point at one.
    """
    if request.version:
        record.require_version(request.version)
    if not request.unarchive:
        _refuse_labelled(record, request.version)
    c = prompt_versions.c
    changing = is_of(prompt_versions, record.id)
    changing &= c.archived_at.is_not(None) if request.unarchive else c.archived_at.is_(None)
    if request.version:
        changing &= c.version == request.version
    changed = (await connection.scalars(select(c.version).where(changing).order_by(c.version))).all()
    if changed:
        archived_at = None if request.unarchive else now()
        await connection.execute(update(prompt_versions).where(changing).values(archived_at=archived_at))
        kind = UNARCHIVED if request.unarchive else ARCHIVED
        await add_event(connection, kind, record.id, request.version, Actor(request.actor, request.reason))
    return changed


async def _add_version(
    connection: AsyncConnection, project_id: str, record: PromptRecord | None, prompt: Prompt, by: Actor
) -> Prompt:
    """Stores `prompt`, and sets its number and time."""
    prompt.version = record.count + 1 if record else 1
    prompt.created_at = now()
    await connection.execute(prompt_versions.insert().values(to_row(project_id, prompt)))
    await add_event(connection, REGISTERED, PromptId(project_id, prompt.name), prompt.version, by)
    return prompt


async def _move_label(
    connection: AsyncConnection, prompt: PromptId, version: int, label: str, previous: int, by: Actor
) -> None:
    if version == previous:
        return
    await _delete_label(connection, prompt, label)
    await connection.execute(prompt_labels.insert().values(**prompt._asdict(), label=label, version=version))
    await add_event(connection, LABEL_SET, prompt, version, by, label=label, previous_version=previous)


async def _delete_label(connection: AsyncConnection, prompt: PromptId, label: str) -> None:
    of_prompt = is_of(prompt_labels, prompt)
    await connection.execute(delete(prompt_labels).where(of_prompt, prompt_labels.c.label == label))


def _moved(request: models_pb2.SetPromptLabelRequest, current: int) -> Conflict:
    place = f"points at version {current}" if current else "is not set"
    return Conflict(
        f"label {request.label} of prompt {request.name} {place}; read it again, then decide",
        reason="LABEL_CONFLICT",
        metadata={"prompt": request.name, "label": request.label, "current_version": str(current)},
    )


def _archived(name: str, version: int) -> PreconditionFailed:
    return PreconditionFailed(
        f"version {version} of prompt {name} is archived; bring it back with ArchivePrompt first",
        reason="PROMPT_ARCHIVED",
        metadata={"prompt": name, "version": str(version)},
    )


def _refuse_labelled(record: PromptRecord, version: int) -> None:
    """Raises PreconditionFailed if a label points at the version, or at any version for 0."""
    labels = ", ".join(sorted(label for label, target in record.labels.items() if version in (0, target)))
    if labels:
        raise PreconditionFailed(
            f"labels of prompt {record.name} still point there: {labels}; move or remove them with SetPromptLabel"
            " first",
            reason="PROMPT_LABELED",
            metadata={"prompt": record.name, "labels": labels},
        )

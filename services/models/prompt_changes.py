"""What changes a prompt: each change together with its event, inside one transaction.

`line` has been read in that transaction, and other writers are kept out of it: the rules are decided by what the
database holds, never by what this process remembers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncConnection

from proto import models_pb2
from proto.models_pb2 import Prompt
from services.models.prompt_events import ARCHIVED, LABEL_REMOVED, LABEL_SET, REGISTERED, UNARCHIVED, Account, record
from services.models.prompt_line import PromptLine, is_archived
from services.models.prompt_rows import to_row
from services.models.storage import now
from services.models.tables import prompt_labels, prompt_versions
from services.shared.errors import Conflict, PreconditionFailed


class Registered(NamedTuple):
    """Where a content is kept."""

    version: int
    created: bool
    """False when that version was there before."""


async def register(
    connection: AsyncConnection, line: PromptLine | None, prompt: Prompt, labels: Sequence[str]
) -> Registered:
    """Stores `prompt` as a new version, unless the newest that is not archived is the same, and sets its labels."""
    by = Account(prompt.metadata.author, prompt.commit_message)
    newest = line.newest() if line else None
    created = newest is None or newest.content_hash != prompt.content_hash
    if created:
        newest = await _add_version(connection, line, prompt, by)
    assert newest is not None
    before = line.labels if line else {}
    for label in dict.fromkeys(labels):
        await _move_label(connection, newest, label, before.get(label, 0), by)
    return Registered(newest.version, created)


async def set_label(connection: AsyncConnection, line: PromptLine, request: models_pb2.SetPromptLabelRequest) -> int:
    """Points a label at a version, or removes it for 0. Returns the version that it pointed at before, or 0.

    Raises NotFound; Conflict when the label is not where its mover has seen it; PreconditionFailed for an archived
    version.
    """
    prompt = line.at_version(request.version) if request.version else None
    previous = line.labels.get(request.label, 0)
    if request.HasField("expected_version") and request.expected_version != previous:
        raise _moved(request, previous)
    by = Account(request.actor, request.reason)
    if prompt:
        _refuse_archived(prompt)
        await _move_label(connection, prompt, request.label, previous, by)
    elif previous:
        await _delete_label(connection, line.name, request.label)
        await record(connection, LABEL_REMOVED, line.name, previous, by, label=request.label, previous_version=previous)
    return previous


async def archive(
    connection: AsyncConnection, line: PromptLine, request: models_pb2.ArchivePromptRequest
) -> Sequence[int]:
    """Archives a version, or all there are for 0, or brings them back. Returns those that changed, oldest first.

    Raises NotFound, and PreconditionFailed naming the labels that still point there.
    """
    asked = [line.at_version(request.version)] if request.version else line.versions
    if not request.unarchive:
        _refuse_labelled(line, asked)
    changed = [prompt.version for prompt in asked if is_archived(prompt) == request.unarchive]
    if changed:
        await _set_archived(connection, line.name, request.version, None if request.unarchive else now())
        kind = UNARCHIVED if request.unarchive else ARCHIVED
        await record(connection, kind, line.name, request.version, Account(request.actor, request.reason))
    return changed


async def _add_version(connection: AsyncConnection, line: PromptLine | None, prompt: Prompt, by: Account) -> Prompt:
    """Stores `prompt` with its number and time."""
    prompt.version = len(line.versions) + 1 if line else 1
    prompt.created_at = now()
    await connection.execute(prompt_versions.insert().values(to_row(prompt)))
    await record(connection, REGISTERED, prompt.name, prompt.version, by)
    return prompt


async def _move_label(connection: AsyncConnection, prompt: Prompt, label: str, previous: int, by: Account) -> None:
    if prompt.version == previous:
        return
    await _delete_label(connection, prompt.name, label)
    await connection.execute(prompt_labels.insert().values(name=prompt.name, label=label, version=prompt.version))
    await record(connection, LABEL_SET, prompt.name, prompt.version, by, label=label, previous_version=previous)


async def _delete_label(connection: AsyncConnection, name: str, label: str) -> None:
    columns = prompt_labels.c
    await connection.execute(delete(prompt_labels).where(columns.name == name, columns.label == label))


async def _set_archived(connection: AsyncConnection, name: str, version: int, archived_at: str | None) -> None:
    """Changes a version, or all of them for 0; those that are archived already keep their time."""
    columns = prompt_versions.c
    statement = update(prompt_versions).where(columns.name == name).values(archived_at=archived_at)
    if version:
        statement = statement.where(columns.version == version)
    if archived_at:
        statement = statement.where(columns.archived_at.is_(None))
    await connection.execute(statement)


def _moved(request: models_pb2.SetPromptLabelRequest, current: int) -> Conflict:
    place = f"points at version {current}" if current else "is not set"
    return Conflict(
        f"label {request.label} of prompt {request.name} {place}; read it again, then decide",
        reason="LABEL_CONFLICT",
        metadata={"prompt": request.name, "label": request.label, "current_version": str(current)},
    )


def _refuse_archived(prompt: Prompt) -> None:
    if is_archived(prompt):
        raise PreconditionFailed(
            f"version {prompt.version} of prompt {prompt.name} is archived; bring it back with ArchivePrompt first",
            reason="PROMPT_ARCHIVED",
            metadata={"prompt": prompt.name, "version": str(prompt.version)},
        )


def _refuse_labelled(line: PromptLine, prompts: Sequence[Prompt]) -> None:
    labels = ", ".join(sorted(label for prompt in prompts for label in prompt.labels))
    if labels:
        raise PreconditionFailed(
            f"labels of prompt {line.name} still point there: {labels}; move or remove them with SetPromptLabel first",
            reason="PROMPT_LABELED",
            metadata={"prompt": line.name, "labels": labels},
        )

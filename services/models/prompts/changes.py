"""What changes a prompt: each change together with its event, inside one transaction.

`line` has been read in that transaction, and other writers are kept out of it: the rules are decided by what the
database holds, never by what this process remembers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from proto import models_pb2
from proto.models_pb2 import Prompt
from services.models.prompts.events import ARCHIVED, LABEL_REMOVED, LABEL_SET, REGISTERED, UNARCHIVED, Account, record
from services.models.prompts.record import PromptLine
from services.models.prompts.rows import is_archived, to_row
from services.models.storage.stored_messages import now
from services.models.storage.tables import prompt_labels, prompt_versions
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
    newest = line.newest_prompt() if line else None
    created = newest is None or newest.content_hash != prompt.content_hash
    if created:
        newest = await _add_version(connection, line, prompt, by)
    assert newest is not None
    before = line.labels if line else {}
    for label in dict.fromkeys(labels):
        await _move_label(connection, prompt.name, newest.version, label, before.get(label, 0), by)
    return Registered(newest.version, created)


async def set_label(connection: AsyncConnection, line: PromptLine, request: models_pb2.SetPromptLabelRequest) -> int:
    """Points a label at a version, or removes it for 0. Returns the version that it pointed at before, or 0.

    Raises NotFound; Conflict when the label is not where its mover has seen it; PreconditionFailed for an archived
    version.
    """
    if request.version:
        line.require(request.version)
    previous = line.labels.get(request.label, 0)
    if request.HasField("expected_version") and request.expected_version != previous:
        raise _moved(request, previous)
    by = Account(request.actor, request.reason)
    if request.version:
        if await is_archived(connection, (line.name, request.version)):
            raise _archived(line.name, request.version)
        await _move_label(connection, line.name, request.version, request.label, previous, by)
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
    if request.version:
        line.require(request.version)
    if not request.unarchive:
        _refuse_labelled(line, request.version)
    c = prompt_versions.c
    changing = (c.name == line.name) & (c.archived_at.is_not(None) if request.unarchive else c.archived_at.is_(None))
    if request.version:
        changing &= c.version == request.version
    changed = (await connection.scalars(select(c.version).where(changing).order_by(c.version))).all()
    if changed:
        archived_at = None if request.unarchive else now()
        await connection.execute(update(prompt_versions).where(changing).values(archived_at=archived_at))
        kind = UNARCHIVED if request.unarchive else ARCHIVED
        await record(connection, kind, line.name, request.version, Account(request.actor, request.reason))
    return changed


async def _add_version(connection: AsyncConnection, line: PromptLine | None, prompt: Prompt, by: Account) -> Prompt:
    """Stores `prompt` with its number and time."""
    prompt.version = line.count + 1 if line else 1
    prompt.created_at = now()
    await connection.execute(prompt_versions.insert().values(to_row(prompt)))
    await record(connection, REGISTERED, prompt.name, prompt.version, by)
    return prompt


async def _move_label(
    connection: AsyncConnection, name: str, version: int, label: str, previous: int, by: Account
) -> None:
    if version == previous:
        return
    await _delete_label(connection, name, label)
    await connection.execute(prompt_labels.insert().values(name=name, label=label, version=version))
    await record(connection, LABEL_SET, name, version, by, label=label, previous_version=previous)


async def _delete_label(connection: AsyncConnection, name: str, label: str) -> None:
    columns = prompt_labels.c
    await connection.execute(delete(prompt_labels).where(columns.name == name, columns.label == label))


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


def _refuse_labelled(line: PromptLine, version: int) -> None:
    """Refuses to archive a version, or all of them for 0, while a label points there."""
    labels = ", ".join(sorted(label for label, target in line.labels.items() if version in (0, target)))
    if labels:
        raise PreconditionFailed(
            f"labels of prompt {line.name} still point there: {labels}; move or remove them with SetPromptLabel first",
            reason="PROMPT_LABELED",
            metadata={"prompt": line.name, "labels": labels},
        )

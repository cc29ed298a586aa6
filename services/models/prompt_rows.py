"""Prompts between the tables and memory."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import ColumnElement, Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from proto.models_pb2 import Prompt
from services.models.prompt_events import REGISTERED
from services.models.prompt_line import PromptLine, is_archived
from services.models.storage import from_json, to_json
from services.models.tables import prompt_events, prompt_labels, prompt_versions
from services.models.templates import find_variables

ROWS_AT_ONCE = 100
"""How many versions are made of rows before other calls have their turn."""


async def read_changes(
    connection: AsyncConnection, since: int, known: Mapping[str, PromptLine]
) -> Sequence[PromptLine]:
    """Every prompt that has an event behind the id `since`, as it is now. `known` holds all that was there then."""
    return await _read(connection, prompt_events.c.id > since, known)


async def read_line(connection: AsyncConnection, name: str, known: PromptLine | None) -> PromptLine | None:
    """One prompt as it is now, or None when there is none of this name. `known` is what it was at some time before."""
    since = known.revision if known else 0
    behind = (prompt_events.c.name == name) & (prompt_events.c.id > since)
    changed = await _read(connection, behind, {name: known} if known else {})
    return changed[0] if changed else known


async def _read(
    connection: AsyncConnection, behind: ColumnElement[bool], known: Mapping[str, PromptLine]
) -> Sequence[PromptLine]:
    """Only versions registered by an event `behind` are read whole: those before it are in `known`, and never change
    but for their labels and whether they are archived."""
    newest_event = func.max(prompt_events.c.id).label("revision")
    query = select(prompt_events.c.name, newest_event).where(behind).group_by(prompt_events.c.name)
    revisions = {row.name: row.revision for row in await connection.execute(query)}
    if not revisions:
        return []
    versions = {name: list(known[name].versions) if name in known else [] for name in revisions}
    await _add_versions(connection, behind, versions)
    names = select(prompt_events.c.name).where(behind)
    labels = await _read_labels(connection, prompt_labels.c.name.in_(names))
    archived = await _read_archived(connection, prompt_versions.c.name.in_(names))
    return [
        PromptLine(name, _as_now(versions[name], labels[name], archived[name]), labels[name], revision)
        for name, revision in revisions.items()
    ]


async def _add_versions(
    connection: AsyncConnection, behind: ColumnElement[bool], versions: Mapping[str, list[Prompt]]
) -> None:
    """Adds to the known versions of each name those registered since."""
    registration = (prompt_events.c.name == prompt_versions.c.name) & (
        prompt_events.c.version == prompt_versions.c.version
    )
    query = (
        select(prompt_versions)
        .join(prompt_events, registration)
        .where(prompt_events.c.type == REGISTERED, behind)
        .order_by(prompt_versions.c.name, prompt_versions.c.version)
    )
    for count, row in enumerate(await connection.execute(query)):
        of_this_name = versions[row.name]
        # What this process itself has stored may be in memory already.
        if row.version > len(of_this_name):
            assert row.version == len(of_this_name) + 1
            of_this_name.append(_from_row(row))
        if count % ROWS_AT_ONCE == ROWS_AT_ONCE - 1:
            await asyncio.sleep(0)


async def _read_labels(connection: AsyncConnection, wanted: ColumnElement[bool]) -> Mapping[str, dict[str, int]]:
    labels: dict[str, dict[str, int]] = defaultdict(dict)
    for row in await connection.execute(select(prompt_labels).where(wanted)):
        labels[row.name][row.label] = row.version
    return labels


async def _read_archived(connection: AsyncConnection, wanted: ColumnElement[bool]) -> Mapping[str, dict[int, str]]:
    archived: dict[str, dict[int, str]] = defaultdict(dict)
    columns = (prompt_versions.c.name, prompt_versions.c.version, prompt_versions.c.archived_at)
    for row in await connection.execute(select(*columns).where(wanted, prompt_versions.c.archived_at.is_not(None))):
        archived[row.name][row.version] = row.archived_at
    return archived


def _as_now(versions: Sequence[Prompt], labels: Mapping[str, int], archived: Mapping[int, str]) -> Sequence[Prompt]:
    """The versions with their labels and the time of their archiving. One that differs is copied, never changed."""
    labels_at: dict[int, list[str]] = defaultdict(list)
    for label in sorted(labels):
        labels_at[labels[label]].append(label)
    return [_marked(prompt, labels_at[prompt.version], archived.get(prompt.version)) for prompt in versions]


def _marked(prompt: Prompt, labels: Sequence[str], archived_at: str | None) -> Prompt:
    stamp = Timestamp()
    if archived_at:
        stamp.FromJsonString(archived_at)
    if prompt.labels == labels and is_archived(prompt) == bool(archived_at) and prompt.archived_at == stamp:
        return prompt
    marked = Prompt()
    marked.CopyFrom(prompt)
    marked.ClearField("labels")
    marked.labels.extend(labels)
    marked.ClearField("archived_at")
    if archived_at:
        marked.archived_at.CopyFrom(stamp)
    return marked


def to_row(prompt: Prompt) -> dict[str, Any]:
    """What is kept of a new version."""
    return {
        "name": prompt.name,
        "version": prompt.version,
        "content": prompt.content,
        "metadata_json": to_json(prompt.metadata) if prompt.HasField("metadata") else "",
        "commit_message": prompt.commit_message,
        "defaults_json": to_json(prompt.defaults) if prompt.HasField("defaults") else "",
        "content_hash": prompt.content_hash,
        "created_at": prompt.created_at,
    }


def _from_row(row: Row[Any]) -> Prompt:
    prompt = Prompt(
        name=row.name,
        version=row.version,
        content=row.content,
        commit_message=row.commit_message,
        content_hash=row.content_hash,
        created_at=row.created_at,
        variables=find_variables(row.content),
    )
    if row.metadata_json:
        from_json(row.metadata_json, prompt.metadata)
        prompt.metadata.SetInParent()
    if row.defaults_json:
        from_json(row.defaults_json, prompt.defaults)
    return prompt

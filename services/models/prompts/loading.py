"""Reads prompts into memory as they are in the database: at first all, later those that have changed."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from proto.models_pb2 import Prompt
from services.models.prompts.record import PromptLine
from services.models.prompts.rows import Key, Version, labelled, read_labels, read_outlines, read_versions
from services.models.storage.tables import prompt_events, prompt_labels, prompt_versions
from services.shared.garbage_collection import count_new_entry
from services.shared.time_slices import TimeSlices

LINE_BYTES = 1024
LABEL_BYTES = 256
"""What a prompt, and each of its labels, take in memory beside the versions."""


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
    """Versions that `known` holds are not read again: but for their labels they never change while they are held."""
    newest_event = func.max(prompt_events.c.id).label("revision")
    query = select(prompt_events.c.name, newest_event).where(behind).group_by(prompt_events.c.name)
    revisions = {row.name: row.revision for row in await connection.execute(query)}
    if not revisions:
        return []
    names = select(prompt_events.c.name).where(behind)
    c = prompt_versions.c
    totals = select(
        c.name,
        func.max(c.version).label("last"),
        func.max(case((c.archived_at.is_(None), c.version))).label("newest"),
        func.sum(c.bytes).label("bytes"),
    )
    rows = await connection.execute(totals.where(c.name.in_(names)).group_by(c.name))
    facts = {row.name: row for row in rows}
    labels = await read_labels(connection, prompt_labels.c.name.in_(names))

    slices = TimeSlices()
    held: dict[str, dict[int, Version]] = {}
    missing: list[Key] = []
    for name in revisions:
        wanted = {facts[name].newest, *labels[name].values()} - {None}
        held[name] = _still_held(known.get(name), wanted)
        missing += ((name, version) for version in wanted - held[name].keys())
        await slices.yield_if_over()
    for (name, version), found in (await read_versions(connection, missing)).items():
        held[name][version] = found
    archived = [(name, row.last) for name, row in facts.items() if row.newest is None]
    outlines = await read_outlines(connection, archived, with_metadata=True)
    lines: list[PromptLine] = []
    for name, revision in revisions.items():
        outline = outlines.get((name, facts[name].last))
        lines.append(_make_line(facts[name], labels[name], held[name], outline, revision))
        count_new_entry()
        await slices.yield_if_over()
    return lines


def _still_held(known: PromptLine | None, wanted: Container[int]) -> dict[int, Version]:
    if known is None:
        return {}
    sizes = known.sizes
    return {version: Version(prompt, sizes[version]) for version, prompt in known.held.items() if version in wanted}


def _make_line(
    facts: Any, labels: Mapping[str, int], held: Mapping[int, Version], outline: Prompt | None, revision: int
) -> PromptLine:
    sizes = {version: size for version, (_, size) in held.items()}
    around = LINE_BYTES + LABEL_BYTES * len(labels) + (outline.ByteSize() if outline else 0)
    return PromptLine(
        name=facts.name,
        count=facts.last,
        newest=facts.newest or 0,
        labels=labels,
        held={version: labelled(prompt, labels) for version, (prompt, _) in held.items()},
        sizes=sizes,
        outline=outline,
        stored_bytes=int(facts.bytes),
        held_bytes=around + sum(sizes.values()),
        revision=revision,
    )

"""Loading of prompts from the database into memory: at first all, later those that have changed."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from proto.models_pb2 import Prompt
from services.models.prompts.record import PromptRecord
from services.models.prompts.rows import Key, Version, read_labels, read_summaries, read_versions, with_labels
from services.models.storage.tables import prompt_events, prompt_labels, prompt_versions
from services.shared.garbage_collection import count_new_entry
from services.shared.time_slices import TimeSlices

RECORD_BYTES = 1024
LABEL_BYTES = 256
"""Memory of a prompt, and of each of its labels, in addition to the versions."""


async def read_changes(
    connection: AsyncConnection, since: int, known: Mapping[str, PromptRecord]
) -> Sequence[PromptRecord]:
    """The current records of all prompts with an event after the id `since`. `known` are those of that time."""
    return await _read(connection, prompt_events.c.id > since, known)


async def read_record(connection: AsyncConnection, name: str, known: PromptRecord | None) -> PromptRecord | None:
    """The current record of a prompt, or None if there is no such prompt. `known` is an earlier record of it."""
    since = known.revision if known else 0
    newer_events = (prompt_events.c.name == name) & (prompt_events.c.id > since)
    changed = await _read(connection, newer_events, {name: known} if known else {})
    return changed[0] if changed else known


async def _read(
    connection: AsyncConnection, newer_events: ColumnElement[bool], known: Mapping[str, PromptRecord]
) -> Sequence[PromptRecord]:
    """Reads the prompts with such events. Versions in `known` are not read again: only their labels may have
    changed."""
    newest_event = func.max(prompt_events.c.id).label("revision")
    query = select(prompt_events.c.name, newest_event).where(newer_events).group_by(prompt_events.c.name)
    revisions = {row.name: row.revision for row in await connection.execute(query)}
    if not revisions:
        return []
    names = select(prompt_events.c.name).where(newer_events)
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
    loaded: dict[str, dict[int, Version]] = {}
    missing: list[Key] = []
    for name in revisions:
        needed = {facts[name].newest, *labels[name].values()} - {None}
        loaded[name] = _reusable(known.get(name), needed)
        missing += ((name, version) for version in needed - loaded[name].keys())
        await slices.yield_if_over()
    for (name, version), found in (await read_versions(connection, missing)).items():
        loaded[name][version] = found
    archived = [(name, row.last) for name, row in facts.items() if row.newest is None]
    summaries = await read_summaries(connection, archived, with_metadata=True)
    records: list[PromptRecord] = []
    for name, revision in revisions.items():
        summary = summaries.get((name, facts[name].last))
        records.append(_build_record(facts[name], labels[name], loaded[name], summary, revision))
        count_new_entry()
        await slices.yield_if_over()
    return records


def _reusable(known: PromptRecord | None, needed: Container[int]) -> dict[int, Version]:
    if known is None:
        return {}
    sizes = known.sizes
    return {version: Version(prompt, sizes[version]) for version, prompt in known.loaded.items() if version in needed}


def _build_record(
    facts: Any, labels: Mapping[str, int], loaded: Mapping[int, Version], summary: Prompt | None, revision: int
) -> PromptRecord:
    sizes = {version: size for version, (_, size) in loaded.items()}
    overhead = RECORD_BYTES + LABEL_BYTES * len(labels) + (summary.ByteSize() if summary else 0)
    return PromptRecord(
        name=facts.name,
        count=facts.last,
        newest=facts.newest or 0,
        labels=labels,
        loaded={version: with_labels(prompt, labels) for version, (prompt, _) in loaded.items()},
        sizes=sizes,
        summary=summary,
        stored_bytes=int(facts.bytes),
        memory_bytes=overhead + sum(sizes.values()),
        revision=revision,
    )

"""Loading of prompts from the database into memory: at first all, later those that have changed."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from proto.models_pb2 import Prompt
from services.models.prompts.record import PromptId, PromptRecord
from services.models.prompts.rows import Key, Version, read_labels, read_summaries, read_versions, with_labels
from services.models.storage.tables import prompt_events, prompt_labels, prompt_versions
from services.shared.garbage_collection import count_new_entry
from services.shared.time_slices import TimeSlices

RECORD_BYTES = 1024
LABEL_BYTES = 256
"""Memory of a prompt, and of each of its labels, in addition to the versions."""


async def read_changes(
    connection: AsyncConnection, since: int, known: Mapping[PromptId, PromptRecord]
) -> Sequence[PromptRecord]:
    """The current records of all prompts with an event after the id `since`. `known` are those of that time."""
    return await _read(connection, prompt_events.c.id > since, known)


async def read_record(connection: AsyncConnection, prompt: PromptId, known: PromptRecord | None) -> PromptRecord | None:
    """The current record of a prompt, or None if there is no such prompt. `known` is an earlier record of it."""
    since = known.revision if known else 0
    c = prompt_events.c
    newer_events = (c.project_id == prompt.project_id) & (c.name == prompt.name) & (c.id > since)
    changed = await _read(connection, newer_events, {prompt: known} if known else {})
    return changed[0] if changed else known


async def _read(
    connection: AsyncConnection, newer_events: ColumnElement[bool], known: Mapping[PromptId, PromptRecord]
) -> Sequence[PromptRecord]:
    """Reads the prompts with such events. Versions in `known` are not read again: only their labels may have
    changed."""
    e = prompt_events.c
    query = select(e.project_id, e.name, func.max(e.id).label("revision")).where(newer_events)
    rows = await connection.execute(query.group_by(e.project_id, e.name))
    revisions = {PromptId(row.project_id, row.name): row.revision for row in rows}
    if not revisions:
        return []
    changed = select(e.project_id, e.name).where(newer_events)
    c = prompt_versions.c
    totals = select(
        c.project_id,
        c.name,
        func.max(c.version).label("last"),
        func.max(case((c.archived_at.is_(None), c.version))).label("newest"),
        func.sum(c.bytes).label("bytes"),
    )
    totals = totals.where(tuple_(c.project_id, c.name).in_(changed)).group_by(c.project_id, c.name)
    facts = {PromptId(row.project_id, row.name): row for row in await connection.execute(totals)}
    labelled = tuple_(prompt_labels.c.project_id, prompt_labels.c.name)
    labels = await read_labels(connection, labelled.in_(changed))

    slices = TimeSlices()
    loaded: dict[PromptId, dict[int, Version]] = {}
    missing: list[Key] = []
    for prompt in revisions:
        needed = {facts[prompt].newest, *labels[prompt].values()} - {None}
        loaded[prompt] = _reusable(known.get(prompt), needed)
        missing += ((prompt, version) for version in needed - loaded[prompt].keys())
        await slices.yield_if_over()
    for (prompt, version), found in (await read_versions(connection, missing)).items():
        loaded[prompt][version] = found
    archived = [(prompt, row.last) for prompt, row in facts.items() if row.newest is None]
    summaries = await read_summaries(connection, archived, with_metadata=True)
    records: list[PromptRecord] = []
    for prompt, revision in revisions.items():
        summary = summaries.get((prompt, facts[prompt].last))
        records.append(_build_record(facts[prompt], labels[prompt], loaded[prompt], summary, revision))
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
        project_id=facts.project_id,
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

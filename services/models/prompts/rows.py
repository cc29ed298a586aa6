"""Rows of prompt versions: their queries, and their conversion to messages.

A version may have a megabyte of text, so texts are read only where they are needed, and after their sizes.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import ColumnElement, Row, Select, Table, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from proto import models_pb2
from proto.models_pb2 import Prompt
from services.models.prompts.record import PromptId
from services.models.prompts.templates import find_variables
from services.models.storage.stored_messages import from_json, to_json
from services.models.storage.tables import prompt_labels, prompt_versions
from services.shared.page_tokens import Number, read_page_size, read_page_token, write_page_token
from services.shared.row_pages import fetch_page
from services.shared.time_slices import TimeSlices

KEYS_AT_ONCE = (1, 10, 100)
"""Numbers of versions in a query. Smaller batches are padded with repetitions, so that there are only three queries."""
BYTES_AT_ONCE = 2 * 1024 * 1024
"""Limit for the versions in the result of one query, except the first."""

Key = tuple[PromptId, int]
"""A version: its prompt, and its number."""

_c = prompt_versions.c
_SIZE = (_c.project_id, _c.name, _c.version, _c.bytes)
_SUMMARY = (_c.project_id, _c.name, _c.version, _c.archived_at, _c.content_hash, _c.created_at)
_WHOLE = tuple(_c)


class Version(NamedTuple):
    """A version without its labels, and its size in bytes."""

    prompt: Prompt
    size: int


async def read_version(connection: AsyncConnection, key: Key) -> Prompt | None:
    """One version, with its texts and labels."""
    found = await read_versions(connection, [key])
    if key not in found:
        return None
    labels = await read_labels(connection, is_of(prompt_labels, key[0]))
    return with_labels(found[key].prompt, labels[key[0]])


async def read_page(
    connection: AsyncConnection, project_id: str, request: models_pb2.ListPromptVersionsRequest
) -> models_pb2.ListPromptVersionsResponse:
    """A page of the versions of one prompt, newest first."""
    start = read_page_token(request, Number)
    prompt = PromptId(project_id, request.name)
    query = select(prompt_versions).where(is_of(prompt_versions, prompt)).order_by(_c.version.desc())
    if not request.include_archived:
        query = query.where(_c.archived_at.is_(None))
    if start is not None:
        query = query.where(_c.version < -start)
    rows, more = await fetch_page(connection, query, _c.bytes, read_page_size(request))
    labels = await read_labels(connection, is_of(prompt_labels, prompt))
    response = models_pb2.ListPromptVersionsResponse()
    slices = TimeSlices()
    for row in rows:
        response.prompts.append(with_labels(_from_row(row), labels[prompt]))
        await slices.yield_if_over()
    if more:
        response.next_page_token = write_page_token(request, -rows[-1].version)
    return response


async def read_sizes(connection: AsyncConnection, keys: Sequence[Key]) -> dict[Key, int]:
    """The sizes of versions in bytes."""
    return {_key(row): row.bytes async for row in _rows(connection, _SIZE, keys)}


async def read_versions(connection: AsyncConnection, keys: Sequence[Key]) -> dict[Key, Version]:
    """Versions with their texts, but without their labels."""
    sizes = await read_sizes(connection, keys) if len(keys) > 1 else {}
    rows = _rows(connection, _WHOLE, keys, sizes)
    return {_key(row): Version(_from_row(row), row.bytes) async for row in rows}


async def read_summaries(connection: AsyncConnection, keys: Sequence[Key], *, with_metadata: bool) -> dict[Key, Prompt]:
    """Versions without their texts."""
    columns = (*_SUMMARY, _c.metadata_json) if with_metadata else _SUMMARY
    return {
        _key(row): _summary(row, row.metadata_json if with_metadata else "")
        async for row in _rows(connection, columns, keys)
    }


async def read_labels(connection: AsyncConnection, query: ColumnElement[bool]) -> Mapping[PromptId, dict[str, int]]:
    """The labels of the prompts that fulfil the condition, with the versions that they point at."""
    labels: dict[PromptId, dict[str, int]] = defaultdict(dict)
    for row in await connection.execute(select(prompt_labels).where(query)):
        labels[PromptId(row.project_id, row.name)][row.label] = row.version
    return labels


async def is_archived(connection: AsyncConnection, key: Key) -> bool:
    archived_at = select(_c.archived_at).where(is_of(prompt_versions, key[0]), _c.version == key[1])
    return await connection.scalar(archived_at) is not None


def with_labels(prompt: Prompt, labels: Mapping[str, int]) -> Prompt:
    """The version with its labels, as a copy if they differ."""
    own = sorted(label for label, version in labels.items() if version == prompt.version)
    if prompt.labels == own:
        return prompt
    marked = Prompt()
    marked.CopyFrom(prompt)
    marked.ClearField("labels")
    marked.labels.extend(own)
    return marked


def to_row(project_id: str, prompt: Prompt) -> dict[str, Any]:
    """The row of a new version."""
    return {
        "project_id": project_id,
        "name": prompt.name,
        "version": prompt.version,
        "content": prompt.content,
        "metadata_json": to_json(prompt.metadata) if prompt.HasField("metadata") else "",
        "commit_message": prompt.commit_message,
        "defaults_json": to_json(prompt.defaults) if prompt.HasField("defaults") else "",
        "content_hash": prompt.content_hash,
        "created_at": prompt.created_at,
        "bytes": prompt.ByteSize(),
    }


async def _rows(
    connection: AsyncConnection,
    columns: tuple[ColumnElement[Any], ...],
    keys: Sequence[Key],
    sizes: Mapping[Key, int] = MappingProxyType({}),
) -> AsyncGenerator[Row[Any], None]:
    """The columns of the versions that exist, in any order."""
    slices = TimeSlices()
    for batch in _batches(keys, sizes):
        count = next(count for count in KEYS_AT_ONCE if count >= len(batch))
        padded = [*batch, *[batch[-1]] * (count - len(batch))]
        values: dict[str, str | int] = {}
        for index, ((project_id, name), version) in enumerate(padded):
            values |= {f"project_{index}": project_id, f"name_{index}": name, f"version_{index}": version}
        for row in await connection.execute(_query(columns, count), values):
            yield row
            await slices.yield_if_over()


def _batches(keys: Sequence[Key], sizes: Mapping[Key, int]) -> Iterator[Sequence[Key]]:
    """The keys in batches, each for one query."""
    batch: list[Key] = []
    free_bytes = BYTES_AT_ONCE
    for key in keys:
        size = sizes.get(key, 0)
        if batch and (len(batch) == KEYS_AT_ONCE[-1] or size > free_bytes):
            yield batch
            batch, free_bytes = [], BYTES_AT_ONCE
        batch.append(key)
        free_bytes -= size
    if batch:
        yield batch


@functools.cache
def _query(columns: tuple[ColumnElement[Any], ...], count: int) -> Select[Any]:
    """The query for `count` versions. (For a comparison of pairs, SQLite would scan all rows.)"""
    keys = [
        (_c.project_id == bindparam(f"project_{index}"))
        & (_c.name == bindparam(f"name_{index}"))
        & (_c.version == bindparam(f"version_{index}"))
        for index in range(count)
    ]
    return select(*columns).where(or_(*keys))


def is_of(table: Table, prompt: PromptId) -> ColumnElement[bool]:
    """The condition for rows of one prompt."""
    return (table.c.project_id == prompt.project_id) & (table.c.name == prompt.name)


def _key(row: Row[Any]) -> Key:
    return PromptId(row.project_id, row.name), row.version


def _from_row(row: Row[Any]) -> Prompt:
    prompt = _summary(row, row.metadata_json)
    prompt.content = row.content
    prompt.commit_message = row.commit_message
    prompt.variables.extend(find_variables(row.content))
    if row.defaults_json:
        from_json(row.defaults_json, prompt.defaults)
    return prompt


def _summary(row: Row[Any], metadata_json: str) -> Prompt:
    prompt = Prompt(name=row.name, version=row.version, content_hash=row.content_hash, created_at=row.created_at)
    if row.archived_at:
        archived_at = Timestamp()
        archived_at.FromJsonString(row.archived_at)
        prompt.archived_at.CopyFrom(archived_at)
    if metadata_json:
        from_json(metadata_json, prompt.metadata)
        prompt.metadata.SetInParent()
    return prompt

"""The PromptRegistry: prompts by name, each a line of immutable versions.

Everything is served from memory, so that a chat neither waits for the database nor fails with it. A version is
answered for only after it has been committed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from proto import models_pb2
from proto.models_pb2 import Prompt
from services.models.checks import shorten, suggest
from services.models.paging import cut_page
from services.models.prompt_version import define
from services.models.storage import SerialWrites, from_json, now, to_json
from services.models.tables import prompt_versions
from services.models.templates import find_lookalikes, find_variables
from services.shared.database import Database
from services.shared.errors import InvalidRequest, NotFound, Unimplemented

MAX_LINES_SHOWN = 5


class PromptRegistry:
    """Prompts by name and version. `load` must have been awaited before anything else."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writes = SerialWrites()
        self._prompts: dict[str, list[Prompt]] = {}
        """All versions of each name, oldest first: version n stands at n - 1."""

    async def load(self) -> None:
        """Reads every prompt into memory."""
        async with self._database.read() as connection:
            rows = await connection.execute(_in_order(select(prompt_versions)))
            self._apply([_from_row(row) for row in rows])

    async def register(self, request: models_pb2.RegisterPromptRequest) -> models_pb2.RegisterPromptResponse:
        """Stores a new version, unless the newest one already has the same content and defaults.

        An older version with that content does not count: registering it again makes it the newest. Raises
        InvalidRequest naming every field that is wrong.
        """
        if request.labels:
            raise Unimplemented.feature("RegisterPromptRequest.labels")
        prompt, created = await self._writes.run(self._store(define(request)))
        warnings = [*_lookalike_warnings(prompt), *([] if created else _metadata_warnings(request, prompt))]
        return models_pb2.RegisterPromptResponse(
            name=prompt.name, version=prompt.version, prompt=prompt, created=created, warnings=warnings
        )

    async def get(self, request: models_pb2.GetPromptRequest) -> Prompt:
        """The version asked for, else the one in force. Raises NotFound."""
        if request.version and request.label:
            raise InvalidRequest.field("label", "excludes version; ask for one of the two")
        if request.label:
            raise Unimplemented.feature("GetPromptRequest.label")
        if request.version < 0:
            raise InvalidRequest.field("version", "must be 1 or more, or 0 for the version in force")
        if request.version:
            return self.at_version(request.name, request.version)
        return self.in_force(request.name)

    async def list(self, request: models_pb2.ListPromptsRequest) -> models_pb2.ListPromptsResponse:
        """A page of prompts, each as its version in force."""
        if request.label:
            raise Unimplemented.feature("ListPromptsRequest.label")
        wanted_tags = set(request.tags)
        matches = (
            (name, versions[-1])
            for name, versions in sorted(self._prompts.items())
            if request.query in name and wanted_tags.issubset(versions[-1].metadata.tags)
        )
        page = cut_page(matches, request)
        return models_pb2.ListPromptsResponse(prompts=page.entries, next_page_token=page.next_page_token)

    async def list_versions(
        self, request: models_pb2.ListPromptVersionsRequest
    ) -> models_pb2.ListPromptVersionsResponse:
        """A page of the versions of one prompt, newest first. Raises NotFound."""
        versions = self._versions(request.name)
        page = cut_page(((-prompt.version, prompt) for prompt in reversed(versions)), request)
        return models_pb2.ListPromptVersionsResponse(prompts=page.entries, next_page_token=page.next_page_token)

    def in_force(self, name: str) -> Prompt:
        """The version that a chat uses which asks for none: the newest. Not to be changed. Raises NotFound."""
        return self._versions(name)[-1]

    def at_version(self, name: str, version: int) -> Prompt:
        """One version, from 1. Not to be changed. Raises NotFound naming the newest version there is."""
        versions = self._versions(name)
        if 1 <= version <= len(versions):
            return versions[version - 1]
        raise NotFound(
            f"prompt {name} has no version {version}; its newest is {len(versions)}",
            reason="PROMPT_NOT_FOUND",
            metadata={"prompt": name, "newest_version": str(len(versions))},
        )

    def _versions(self, name: str) -> Sequence[Prompt]:
        versions = self._prompts.get(name)
        if versions:
            return versions
        if not name:
            raise InvalidRequest.field("name", "is required")
        shown = shorten(name)
        raise NotFound(
            f"there is no prompt {shown}{suggest(shown, self._prompts)}; RegisterPrompt makes one",
            reason="PROMPT_NOT_FOUND",
            metadata={"prompt": shown},
        )

    async def _store(self, prompt: Prompt) -> tuple[Prompt, bool]:
        """Returns the version that holds the content, and whether it is new."""
        known = self._prompts.get(prompt.name, [])
        async with self._database.write() as connection:
            missed = await _read_after(connection, prompt.name, len(known))
            newest = next(reversed([*known, *missed]), None)
            created = newest is None or newest.content_hash != prompt.content_hash
            if created:
                prompt.version = newest.version + 1 if newest else 1
                prompt.created_at = now()
                await connection.execute(prompt_versions.insert().values(_to_row(prompt)))
        self._apply([*missed, prompt] if created else missed)
        return self._prompts[prompt.name][-1], created

    def _apply(self, prompts: Sequence[Prompt]) -> None:
        """Takes committed versions into memory: of each name those that follow what is there, oldest first."""
        for prompt in prompts:
            versions = self._prompts.setdefault(prompt.name, [])
            assert prompt.version == len(versions) + 1
            versions.append(prompt)


def _in_order(query: Select[Any]) -> Select[Any]:
    return query.order_by(prompt_versions.c.name, prompt_versions.c.version)


async def _read_after(connection: AsyncConnection, name: str, version: int) -> Sequence[Prompt]:
    """The versions after `version`: those that another process has stored meanwhile."""
    query = select(prompt_versions).where(prompt_versions.c.name == name, prompt_versions.c.version > version)
    return [_from_row(row) for row in await connection.execute(_in_order(query))]


def _to_row(prompt: Prompt) -> dict[str, Any]:
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


def _lookalike_warnings(prompt: Prompt) -> Iterator[models_pb2.Notice]:
    lines = find_lookalikes(prompt.content)[:MAX_LINES_SHOWN]
    if lines:
        places = ", ".join(map(str, lines))
        message = f"double braces in line {places} are plain text; a variable is {{{{name}}}}, without blanks or dots"
        yield models_pb2.Notice(code="NOT_A_VARIABLE", field="content", message=message)


def _metadata_warnings(request: models_pb2.RegisterPromptRequest, prompt: Prompt) -> Iterator[models_pb2.Notice]:
    """Says so when what came beside an identical content was not stored: versions are immutable."""
    message = f"not stored: version {prompt.version} already holds this content, and versions never change"
    if request.HasField("metadata") and request.metadata != prompt.metadata:
        yield models_pb2.Notice(code="NOT_STORED", field="metadata", message=message)
    if request.commit_message and request.commit_message != prompt.commit_message:
        yield models_pb2.Notice(code="NOT_STORED", field="commit_message", message=message)

"""The PromptRegistry: prompts by name, each with immutable versions and labels that point at them.

The version in force, the newest, and those with labels are served from memory, so that a chat neither waits for the
database nor fails with it. Other versions and the events are read on request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from sqlalchemy.ext.asyncio import AsyncConnection

from proto import models_pb2
from proto.models_pb2 import Prompt
from services.models.prompts import changes, events
from services.models.prompts.labels import PRODUCTION
from services.models.prompts.memory import PROMPTS_AT_ONCE, Change, Outcome, PromptMemory
from services.models.prompts.record import PromptId, PromptRecord, Resolved
from services.models.prompts.requests import check_archive, check_get, check_list, check_set_label
from services.models.prompts.rows import Key, read_page, read_sizes, read_summaries, read_versions
from services.models.prompts.version import build_version, is_name, registration_warnings
from services.models.validation.fields import shorten, suggest
from services.shared.errors import InvalidRequest, NotFound
from services.shared.offload import run_in_thread_if_large
from services.shared.page_tokens import MAX_PAGE_BYTES, Text, read_page_size, read_page_token
from services.shared.paging import cut_page

DEFINE_WORK = 8
"""Work of a new version, as a multiple of plain text."""


class PromptRegistry:
    """The prompts of one project by name, version and label. Those of other projects do not exist for it."""

    def __init__(self, memory: PromptMemory, project_id: str) -> None:
        """The project is empty where nobody is asked who calls."""
        self.memory = memory
        self._project_id = project_id

    async def register(self, request: models_pb2.RegisterPromptRequest) -> models_pb2.RegisterPromptResponse:
        """Stores a new version, unless the newest unarchived one has the same content and defaults; sets its labels.

        The content of an archived or older version becomes a new version. Raises InvalidRequest naming every wrong
        field, and LimitExceeded as `check_bounds` does.
        """
        work = DEFINE_WORK * request.ByteSize()
        prompt = await run_in_thread_if_large(work, build_version, request)
        record, (version, created) = await self._change(
            prompt.name,
            lambda connection, record: changes.register(connection, self._project_id, record, prompt, request.labels),
        )
        stored = record.loaded[version]
        warnings = await run_in_thread_if_large(work, registration_warnings, request, stored, created)
        return models_pb2.RegisterPromptResponse(
            name=stored.name,
            version=version,
            prompt=stored,
            created=created,
            warnings=warnings,
            created_at=stored.created_at,
        )

    async def set_label(self, request: models_pb2.SetPromptLabelRequest) -> models_pb2.SetPromptLabelResponse:
        """Points a label at a version, or removes it. Without a change, no event is added.

        Raises NotFound; Conflict when the label does not point at the expected version; PreconditionFailed for an
        archived version.
        """
        check_set_label(request)
        record, previous = await self._change(
            request.name,
            lambda connection, record: changes.set_label(connection, self._require(request.name, record), request),
        )
        prompt = record.loaded[request.version] if request.version else None
        return models_pb2.SetPromptLabelResponse(prompt=prompt, previous_version=previous)

    async def archive(self, request: models_pb2.ArchivePromptRequest) -> models_pb2.ArchivePromptResponse:
        """Archives or unarchives a version, or all versions of a prompt. Returns the changed versions, newest first;
        without their texts if these are too large for one message.

        Raises NotFound, and PreconditionFailed while a label points at one of them.
        """
        check_archive(request)

        async def change(connection: AsyncConnection, record: PromptRecord | None) -> list[Prompt]:
            changed = await changes.archive(connection, self._require(request.name, record), request)
            keys = [(self._id(request.name), version) for version in reversed(changed)]
            whole = await _read_if_small(connection, keys, MAX_PAGE_BYTES)
            prompts = whole or await read_summaries(connection, keys, with_metadata=False)
            return [prompts[key] for key in keys]

        _, prompts = await self._change(request.name, change)
        return models_pb2.ArchivePromptResponse(prompts=prompts)

    async def get(self, request: models_pb2.GetPromptRequest) -> Prompt:
        """The requested version, else the one in force. Raises NotFound."""
        check_get(request)
        return (await self.resolve(request.name, request.version, request.label)).describe()

    async def list(self, request: models_pb2.ListPromptsRequest) -> models_pb2.ListPromptsResponse:
        """A page of prompts, each as its version in force; archived ones without their texts if these do not fit."""
        check_list(request)
        self.memory.require_loaded()
        page = cut_page(await self._search(request), request)
        entries = await self._with_texts(page.entries)
        prompts = [Resolved(prompt, PRODUCTION if PRODUCTION in prompt.labels else "") for prompt in entries]
        return models_pb2.ListPromptsResponse(
            prompts=[found.describe() for found in prompts], next_page_token=page.next_page_token
        )

    async def list_versions(
        self, request: models_pb2.ListPromptVersionsRequest
    ) -> models_pb2.ListPromptVersionsResponse:
        """A page of the versions of one prompt, newest first, from the database. Raises NotFound."""
        self._require(request.name, self._find(request.name))
        async with self.memory.database.read() as connection:
            return await read_page(connection, self._project_id, request)

    async def list_events(self, request: models_pb2.ListPromptEventsRequest) -> models_pb2.ListPromptEventsResponse:
        """A page of one prompt's events, newest first, from the database. Raises NotFound."""
        self._refuse_wrong_name(request.name)
        async with self.memory.database.read() as connection:
            page = await events.read_page(connection, self._project_id, request)
        if not page.events and not request.page_token:
            # Every prompt has at least the event of its registration.
            self._require(request.name, None)
        return page

    async def resolve(self, name: str, version: int = 0, label: str = "") -> Resolved:
        """The version with this number, else with this label, else the one in force. Raises NotFound.

        A version without a label that is not the newest is read from the database, or from a cache.
        """
        record = self._require(name, self._find(name))
        chosen = record.choose(version, label)
        prompt = record.loaded.get(chosen.version) or await self.memory.find_version(record, chosen.version)
        return Resolved(prompt, chosen.label)

    async def _with_texts(self, entries: Sequence[Prompt]) -> Sequence[Prompt]:
        """The entries of a page, with the texts of archived prompts if all of them fit."""
        keys = [(self._id(prompt.name), prompt.version) for prompt in entries if prompt.HasField("archived_at")]
        if not keys:
            return entries
        free_bytes = MAX_PAGE_BYTES - sum(prompt.ByteSize() for prompt in entries)
        async with self.memory.database.read() as connection:
            whole = await _read_if_small(connection, keys, free_bytes)
        return [whole.get((self._id(prompt.name), prompt.version), prompt) for prompt in entries]

    async def _change(self, name: str, change: Change[Outcome]) -> tuple[PromptRecord, Outcome]:
        self._refuse_wrong_name(name)
        return await self.memory.change(self._id(name), change)

    async def _search(self, request: models_pb2.ListPromptsRequest) -> Iterable[tuple[str, Prompt]]:
        """The entries of the page, and the next one if there is one."""
        after = read_page_token(request, Text)
        wanted, tags = read_page_size(request) + 1, set(request.tags)
        names = self.memory.names_of(self._project_id)
        found: list[tuple[str, Prompt]] = []
        while batch := list(islice(names.after(after), PROMPTS_AT_ONCE)):
            after = batch[-1]
            matching = ((name, self._match(name, tags, request)) for name in batch)
            found += islice(((name, prompt) for name, prompt in matching if prompt), wanted - len(found))
            if len(found) == wanted:
                break
            await asyncio.sleep(0)
        return found

    def _match(self, name: str, tags: set[str], request: models_pb2.ListPromptsRequest) -> Prompt | None:
        """The prompt's entry in the requested list, or None if it is not in the list."""
        record = self._find(name)
        assert record, "each name has a record"
        if request.query not in name or (request.label and request.label not in record.labels):
            return None
        prompt = record.list_entry(include_archived=request.include_archived)
        return prompt if prompt and tags.issubset(prompt.metadata.tags) else None

    def _require(self, name: str, record: PromptRecord | None) -> PromptRecord:
        """The record that was found for `name`. Raises NotFound if it is None."""
        if record:
            return record
        if not name:
            raise InvalidRequest.field("name", "is required")
        self.memory.require_loaded()
        shown, names = shorten(name), self.memory.names_of(self._project_id)
        raise NotFound(
            f"there is no prompt {shown}{suggest(shown, names)}; RegisterPrompt makes one",
            reason="PROMPT_NOT_FOUND",
            metadata={"prompt": shown},
        )

    def _refuse_wrong_name(self, name: str) -> None:
        """Raises NotFound for an invalid name, which may not be sent to the database: PostgreSQL refuses NUL."""
        if not is_name(name):
            self._require(name, None)

    def _find(self, name: str) -> PromptRecord | None:
        return self.memory.find(self._id(name))

    def _id(self, name: str) -> PromptId:
        return PromptId(self._project_id, name)


async def _read_if_small(connection: AsyncConnection, keys: Sequence[Key], max_bytes: int) -> Mapping[Key, Prompt]:
    """The versions with their texts, or none of them if they have more than `max_bytes` together."""
    sizes = await read_sizes(connection, keys)
    if sum(sizes.values()) > max_bytes:
        return {}
    return {key: found.prompt for key, found in (await read_versions(connection, keys)).items()}

"""The PromptRegistry: prompts by name, each a line of immutable versions with labels that point into it.

What is in force, newest or labelled is served from memory, so that a chat neither waits for the database nor fails with
it. Other versions and the history are read when they are asked for. A change is answered for only after it has been
committed, and is in memory from then on; `load` takes in what other replicas have changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from proto import models_pb2
from proto.models_pb2 import Prompt
from services.models.prompts import changes, events
from services.models.prompts.bounds import Extent, refuse_excess
from services.models.prompts.labels import PRODUCTION
from services.models.prompts.loading import read_changes, read_line
from services.models.prompts.record import PromptLine, Resolved
from services.models.prompts.requests import check_archive, check_get, check_list, check_set_label
from services.models.prompts.rows import Key, read_outlines, read_page, read_sizes, read_version, read_versions
from services.models.prompts.version import define, is_name, warn
from services.models.prompts.version_cache import RecentVersions
from services.models.validation.fields import shorten, suggest
from services.models.validation.limits import MAX_PROMPTS
from services.shared.database import Database
from services.shared.errors import InvalidRequest, LimitExceeded, NotFound, Unavailable
from services.shared.offload import run_in_thread_if_large
from services.shared.ordered_names import OrderedNames
from services.shared.page_tokens import MAX_PAGE_BYTES, Text, read_page_size, read_page_token
from services.shared.paging import cut_page
from services.shared.serial_writes import SerialWrites
from services.shared.storage_errors import retried

WRITERS = "prompts"
"""The scope of all writes. They run one at a time, over all replicas: prompts change by the day, not by the second."""

RETRY_SECONDS = 1.0

DEFINE_WORK = 8
"""How many times as long a new version takes as plain text."""

NAMES_AT_ONCE = 500
"""How many names are gone through before other calls have their turn."""

Outcome = TypeVar("Outcome")
Change = Callable[[AsyncConnection, PromptLine | None], Awaitable[Outcome]]


class PromptRegistry:
    """Prompts by name, version and label.

    Until `load` has succeeded for the first time, what is not in memory is Unavailable and not NotFound.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lines: dict[str, PromptLine] = {}
        self._names = OrderedNames()
        self._extent = Extent()
        self._recent = RecentVersions()
        self._reading = asyncio.Lock()
        self._loading = asyncio.Lock()
        self._loaded = False
        self._seen = 0
        """The id of an event: it and all before it are in memory."""
        self._writes = SerialWrites()

    async def load(self) -> None:
        """Takes into memory what has changed in the database, at first everything. To be called again at any time."""
        async with self._loading:
            async with self._database.read() as connection:
                newest = await events.newest_id(connection)
                # An older database may have taken the place of the one that was read before.
                restored = newest < self._seen
                since, known = (0, {}) if restored else (self._seen, self._lines)
                changed = await read_changes(connection, since, known)
            if restored:
                self._lines = {line.name: line for line in changed}
                self._names = OrderedNames(self._lines)
                self._extent, self._recent = Extent.of_all(changed), RecentVersions()
            for start in range(0, len(changed), NAMES_AT_ONCE):
                self._apply(changed[start : start + NAMES_AT_ONCE])
                await asyncio.sleep(0)
            self._seen = newest
            self._loaded = True

    async def register(self, request: models_pb2.RegisterPromptRequest) -> models_pb2.RegisterPromptResponse:
        """Stores a new version, unless the newest one already has the same content and defaults; sets its labels.

        Archived versions do not count: their content registered again is a new version, as is that of an older one.
        Raises InvalidRequest naming every field that is wrong, and LimitExceeded as `refuse_excess` does.
        """
        work = DEFINE_WORK * request.ByteSize()
        prompt = await run_in_thread_if_large(work, define, request)
        line, (version, created) = await self._change(
            prompt.name,
            lambda connection, line: changes.register(connection, self._found_or_room(line), prompt, request.labels),
        )
        stored = line.held[version]
        warnings = await run_in_thread_if_large(work, warn, request, stored, created)
        return models_pb2.RegisterPromptResponse(
            name=stored.name, version=version, prompt=stored, created=created, warnings=warnings
        )

    async def set_label(self, request: models_pb2.SetPromptLabelRequest) -> models_pb2.SetPromptLabelResponse:
        """Points a label at a version, or removes it. Where nothing changes, nothing is added to the history.

        Raises NotFound; Conflict when the label is not where its mover has seen it; PreconditionFailed for an archived
        version.
        """
        check_set_label(request)
        line, previous = await self._change(
            request.name,
            lambda connection, line: changes.set_label(connection, self._found(request.name, line), request),
        )
        prompt = line.held[request.version] if request.version else None
        return models_pb2.SetPromptLabelResponse(prompt=prompt, previous_version=previous)

    async def archive(self, request: models_pb2.ArchivePromptRequest) -> models_pb2.ArchivePromptResponse:
        """Archives a version, or all that a prompt has now, or brings them back. Answers with those that changed,
        newest first; without their texts where these are too large for one message.

        Raises NotFound, and PreconditionFailed while a label points there.
        """
        check_archive(request)

        async def change(connection: AsyncConnection, line: PromptLine | None) -> list[Prompt]:
            changed = await changes.archive(connection, self._found(request.name, line), request)
            keys = [(request.name, version) for version in reversed(changed)]
            whole = await _read_if_small(connection, keys, MAX_PAGE_BYTES)
            prompts = whole or await read_outlines(connection, keys)
            return [prompts[key] for key in keys]

        _, prompts = await self._change(request.name, change)
        return models_pb2.ArchivePromptResponse(prompts=prompts)

    async def get(self, request: models_pb2.GetPromptRequest) -> Prompt:
        """The version asked for, else the one in force. Raises NotFound."""
        check_get(request)
        return (await self.resolve(request.name, request.version, request.label)).describe()

    async def list(self, request: models_pb2.ListPromptsRequest) -> models_pb2.ListPromptsResponse:
        """A page of prompts, each as its version in force; archived ones without their texts where these do not fit."""
        check_list(request)
        self._refuse_before_load()
        page = cut_page(await self._search(request), request)
        entries = await self._with_texts(page.entries) if request.include_archived else page.entries
        prompts = [Resolved(prompt, PRODUCTION if PRODUCTION in prompt.labels else "") for prompt in entries]
        return models_pb2.ListPromptsResponse(
            prompts=[found.describe() for found in prompts], next_page_token=page.next_page_token
        )

    async def list_versions(
        self, request: models_pb2.ListPromptVersionsRequest
    ) -> models_pb2.ListPromptVersionsResponse:
        """A page of the versions of one prompt, newest first, from the database. Raises NotFound."""
        self._found(request.name, self._lines.get(request.name))
        async with self._database.read() as connection:
            return await read_page(connection, request)

    async def list_events(self, request: models_pb2.ListPromptEventsRequest) -> models_pb2.ListPromptEventsResponse:
        """A page of one prompt's history, newest first, from the database. Raises NotFound."""
        self._refuse_wrong_name(request.name)
        async with self._database.read() as connection:
            page = await events.read_page(connection, request)
        if not page.events and not request.page_token:
            # Every prompt has at least the event of its registration.
            self._found(request.name, None)
        return page

    async def resolve(self, name: str, version: int = 0, label: str = "") -> Resolved:
        """The version with this number, else with this label, else the one in force. Raises NotFound.

        Only a version that has no label and is not the newest is read from the database, unless it was of late.
        """
        line = self._found(name, self._lines.get(name))
        chosen = line.choose(version, label)
        prompt = line.held.get(chosen.version) or await self._find_version(line, chosen.version)
        return Resolved(prompt, chosen.label)

    async def _find_version(self, line: PromptLine, version: int) -> Prompt:
        # One at a time: what many ask for at once is read once.
        async with self._reading:
            prompt = self._recent.find(line, version)
            if prompt is None:
                async with self._database.read() as connection:
                    prompt = await read_version(connection, (line.name, version))
                if prompt is None:
                    raise line.missing(version)
                self._recent.keep(line, prompt)
        return prompt

    async def _with_texts(self, entries: Sequence[Prompt]) -> Sequence[Prompt]:
        """The entries of a page of prompts with the texts of those that are archived, if all fit."""
        keys = [(prompt.name, prompt.version) for prompt in entries if prompt.HasField("archived_at")]
        if not keys:
            return entries
        room = MAX_PAGE_BYTES - sum(prompt.ByteSize() for prompt in entries)
        async with self._database.read() as connection:
            whole = await _read_if_small(connection, keys, room)
        return [whole.get((prompt.name, prompt.version), prompt) for prompt in entries]

    async def _change(self, name: str, change: Change[Outcome]) -> tuple[PromptLine, Outcome]:
        """Runs a change of one prompt, once it has begun to its end whatever becomes of its caller."""
        self._refuse_wrong_name(name)
        return await self._writes.run(self._commit(name, change))

    @retried
    async def _commit(self, name: str, change: Change[Outcome]) -> tuple[PromptLine, Outcome]:
        async with self._database.write(WRITERS) as connection:
            before = await read_line(connection, name, self._lines.get(name))
            outcome = await change(connection, before)
            line = self._found(name, await read_line(connection, name, before))
            others = self._extent.minus(Extent.of(self._lines.get(name)))
            refuse_excess(name, Extent.of(before), Extent.of(line), others)
        self._apply([line])
        return line, outcome

    def _apply(self, lines: Iterable[PromptLine]) -> None:
        """Takes committed lines into memory, unless newer ones are there already."""
        for line in lines:
            known = self._lines.get(line.name)
            if known is None:
                self._names.add(line.name)
            if known is None or known.revision < line.revision:
                self._lines[line.name] = line
                self._extent = self._extent.minus(Extent.of(known)).plus(Extent.of(line))

    async def _search(self, request: models_pb2.ListPromptsRequest) -> Iterable[tuple[str, Prompt]]:
        """What is on the page, and the entry behind it if there is one."""
        after = read_page_token(request, Text)
        wanted, tags = read_page_size(request) + 1, set(request.tags)
        found: list[tuple[str, Prompt]] = []
        while names := list(islice(self._names.after(after), NAMES_AT_ONCE)):
            after = names[-1]
            matching = ((name, self._match(name, tags, request)) for name in names)
            found += islice(((name, prompt) for name, prompt in matching if prompt), wanted - len(found))
            if len(found) == wanted:
                break
            await asyncio.sleep(0)
        return found

    def _match(self, name: str, tags: set[str], request: models_pb2.ListPromptsRequest) -> Prompt | None:
        """The version that stands for a prompt in the list that `request` asks for, if it is in there."""
        line = self._lines[name]
        if request.query not in name or (request.label and request.label not in line.labels):
            return None
        prompt = line.listed(include_archived=request.include_archived)
        return prompt if prompt and tags.issubset(prompt.metadata.tags) else None

    def _found_or_room(self, line: PromptLine | None) -> PromptLine | None:
        """The line of a prompt that is there. Raises LimitExceeded when there is none, and no room for one."""
        if line is None and len(self._lines) >= MAX_PROMPTS:
            raise LimitExceeded(
                f"there are {len(self._lines)} prompts, and at most {MAX_PROMPTS} can be; register a version of one of"
                " them, or have the operator remove some from the storage",
                reason="PROMPTS_LIMIT",
            )
        return line

    def _found(self, name: str, line: PromptLine | None) -> PromptLine:
        """The line that a search for `name` has found. Raises NotFound when that is none."""
        if line:
            return line
        if not name:
            raise InvalidRequest.field("name", "is required")
        self._refuse_before_load()
        shown = shorten(name)
        raise NotFound(
            f"there is no prompt {shown}{suggest(shown, self._names)}; RegisterPrompt makes one",
            reason="PROMPT_NOT_FOUND",
            metadata={"prompt": shown},
        )

    def _refuse_wrong_name(self, name: str) -> None:
        """Keeps from the database what no prompt is called: PostgreSQL takes no NUL."""
        if not is_name(name):
            self._found(name, None)

    def _refuse_before_load(self) -> None:
        if not self._loaded:
            raise Unavailable(
                "the prompts have not been read from the storage yet; try again",
                reason="STORAGE_UNAVAILABLE",
                retry_after=RETRY_SECONDS,
            )


async def _read_if_small(connection: AsyncConnection, keys: Sequence[Key], room: int) -> Mapping[Key, Prompt]:
    """These versions whole, or none of them when they have more than `room` bytes together."""
    sizes = await read_sizes(connection, keys)
    if sum(sizes.values()) > room:
        return {}
    return {key: found.prompt for key, found in (await read_versions(connection, keys)).items()}

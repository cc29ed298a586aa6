"""Prompts: the prompt calls of `models`, with Python's own arguments, lists over all pages, and a cache.

A change made here removes the prompt from this client's cache. A change made through `models`, or by another client,
is seen when the cached answer is no longer fresh.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Unpack

from genai_platform._async.models import AsyncModels
from genai_platform._async.pages import PAGE_SIZE, read_pages
from genai_platform.building import build
from genai_platform.calls import CallOptions
from genai_platform.errors import NotFound, Timeout, Unavailable
from genai_platform.prompt_cache import Fallback, LocalPromptCache
from genai_platform.prompt_files import ExportReport, PromptRecord, record_prompt, write_records
from genai_platform.prompt_import import ImportReport, Registration, Step, plan_import
from genai_platform.prompt_reading import read_records
from genai_platform.prompt_requests import (
    build_get_request,
    build_move,
    build_registration,
    build_rendering,
    build_rollback,
    build_selection,
    describe_changes,
)
from genai_platform.requests import Fields
from genai_platform.v1.models_pb2 import (
    ArchivePromptRequest,
    ArchivePromptResponse,
    ListPromptEventsRequest,
    ListPromptsRequest,
    ListPromptVersionsRequest,
    Prompt,
    PromptDefaults,
    PromptEvent,
    RegisterPromptResponse,
    RenderPromptResponse,
    SetPromptLabelRequest,
    SetPromptLabelResponse,
)


class AsyncPrompts:
    """Prompts by name, each a series of immutable versions, with labels that point at versions."""

    def __init__(self, models: AsyncModels, cache: LocalPromptCache) -> None:
        self._models = models
        self._cache = cache

    async def register(
        self,
        name: str,
        content: str,
        *,
        labels: Sequence[str] = (),
        author: str | None = None,
        reviewed_by: str | None = None,
        tags: Sequence[str] = (),
        message: str | None = None,
        defaults: PromptDefaults | Fields | None = None,
        **options: Unpack[CallOptions],
    ) -> RegisterPromptResponse:
        """Stores a prompt as a new version; for the content of the newest version it returns that one, `created` False.

        `labels` are pointed at the version. `defaults` are the fields that a chat with this prompt uses where its
        request leaves them unset: a PromptDefaults or a dict of its fields.
        """
        request = build_registration(
            name,
            content,
            labels=labels,
            author=author,
            reviewed_by=reviewed_by,
            tags=tags,
            message=message,
            defaults=defaults,
        )
        try:
            return await self._models.register_prompt(request, **options)
        finally:
            self._cache.forget(name)

    async def get(
        self,
        name: str,
        *,
        version: int | None = None,
        label: str | None = None,
        fallback: Fallback | None = None,
        **options: Unpack[CallOptions],
    ) -> Prompt:
        """One version: by its number, by a label, or the one in force (label `production` if set, else the newest).

        Answers are cached: a version by its number for good, with the labels of that time; by label or in force for
        the client's `prompt_cache_seconds`, 60 by default. While the platform cannot be reached, the expired answer is
        returned and the logger `genai_platform` warns; without one, `fallback` is returned: a Prompt, a text, or a
        function that makes either, with version 0 unless the Prompt has its own. Raises NotFound for an absent
        version or label, also with a `fallback`.
        """
        request = build_get_request(name, version, label)
        lookup = self._cache.look_up(request)
        prompt = lookup.fresh_prompt()
        if prompt is not None:
            return prompt
        try:
            prompt = await self._models.get_prompt(request, **lookup.call_options(options))
        except (Unavailable, Timeout) as error:
            return self._cache.answer_offline(lookup, error, fallback)
        except NotFound:
            self._cache.drop(lookup)
            raise
        self._cache.keep(lookup, prompt)
        return prompt

    async def render(
        self,
        name: str,
        variables: Mapping[str, str] | None = None,
        *,
        version: int | None = None,
        label: str | None = None,
        **options: Unpack[CallOptions],
    ) -> RenderPromptResponse:
        """Fills the variables of a prompt. Raises InvalidRequest naming all that are missing."""
        return await self._models.render_prompt(build_rendering(name, variables, version, label), **options)

    async def promote(
        self,
        name: str,
        version: int,
        label: str = "production",
        *,
        expected_version: int | None = None,
        reason: str | None = None,
        actor: str | None = None,
        **options: Unpack[CallOptions],
    ) -> SetPromptLabelResponse:
        """Points a label at a version, or removes the label (version 0). The response has the previous version.

        With `expected_version` it raises Conflict unless the label points there now (0: at none). `reason` and `actor`
        are stored in the history.
        """
        return await self._move(build_move(name, version, label, expected_version, reason, actor), options)

    async def rollback(
        self,
        name: str,
        label: str = "production",
        *,
        expected_version: int | None = None,
        reason: str | None = None,
        actor: str | None = None,
        **options: Unpack[CallOptions],
    ) -> SetPromptLabelResponse:
        """Points a label at the version before, by its history; a second rollback goes one further back.

        Raises FailedPrecondition NO_PREVIOUS_VERSION when the history has no earlier version, and Conflict when another
        client moves the label meanwhile.
        """
        events = [event async for event in self.history(name, **options)]
        return await self._move(build_rollback(name, label, events, expected_version, reason, actor), options)

    async def archive(
        self,
        name: str,
        version: int | None = None,
        *,
        reason: str | None = None,
        actor: str | None = None,
        **options: Unpack[CallOptions],
    ) -> ArchivePromptResponse:
        """Hides a version, or the whole prompt, from lists; refused while a label points at it."""
        request = build(ArchivePromptRequest, name=name, version=version or 0, reason=reason or "", actor=actor or "")
        return await self._archive(request, options)

    async def unarchive(
        self,
        name: str,
        version: int | None = None,
        *,
        reason: str | None = None,
        actor: str | None = None,
        **options: Unpack[CallOptions],
    ) -> ArchivePromptResponse:
        """Shows an archived version, or the whole prompt, in lists again."""
        request = build(
            ArchivePromptRequest,
            name=name,
            version=version or 0,
            unarchive=True,
            reason=reason or "",
            actor=actor or "",
        )
        return await self._archive(request, options)

    async def diff(self, name: str, base: int | str, target: int | str, **options: Unpack[CallOptions]) -> str:
        """The unified diff from `base` to `target`, each a version or a label: of the contents, then of the defaults.

        Empty when both are equal.
        """
        prompts = [await self._models.get_prompt(build_selection(name, which), **options) for which in (base, target)]
        return describe_changes(*prompts)

    def history(self, name: str, **options: Unpack[CallOptions]) -> AsyncIterator[PromptEvent]:
        """The events of a prompt, newest first."""
        request = build(ListPromptEventsRequest, name=name, page_size=PAGE_SIZE)
        return read_pages(self._models.list_prompt_events, request, lambda page: page.events, options)

    def versions(
        self, name: str, *, include_archived: bool = False, **options: Unpack[CallOptions]
    ) -> AsyncIterator[Prompt]:
        """The versions of a prompt, newest first."""
        request = build(ListPromptVersionsRequest, name=name, page_size=PAGE_SIZE, include_archived=include_archived)
        return read_pages(self._models.list_prompt_versions, request, lambda page: page.prompts, options)

    async def export_to(self, directory: str | os.PathLike[str], **options: Unpack[CallOptions]) -> ExportReport:
        """Writes all prompts, archived ones included, as files for a git repository.

        Each prompt is a folder of its name with `v1.md`, `v2.md`, … and `prompt.json`. Files that are up to date are
        not touched, and nothing is deleted. Raises InvalidRequest when symbolic links are in the way.
        """
        names = [prompt.name async for prompt in self.list(include_archived=True, **options)]
        records = [await self._read_record(name, options) for name in names]
        return await asyncio.to_thread(write_records, Path(directory), records)

    async def import_from(
        self, directory: str | os.PathLike[str], *, actor: str | None = None, **options: Unpack[CallOptions]
    ) -> ImportReport:
        """Registers the versions of files written by `export_to`, and returns a report.

        Missing versions are registered in their order, present ones are left; labels and archive states are set to
        those of the files. A new `v4.md` may be written by hand, with or without an entry in `prompt.json`. Prompts,
        versions and labels that the files do not name are left. Repeating an import that failed completes it.

        Before the first change it raises InvalidRequest PROMPT_FILES_INVALID naming every wrong file, and Conflict
        PROMPT_VERSION_DIFFERS naming every version whose content or defaults differ on the platform.
        """
        records = await asyncio.to_thread(read_records, Path(directory))
        present = {record.name: await self._read_record(record.name, options) for record in records}
        plan = plan_import(records, present, actor)
        for step in plan.steps:
            await self._do(step, options)
        return plan.report

    def list(
        self,
        *,
        query: str | None = None,
        label: str | None = None,
        tags: Sequence[str] = (),
        include_archived: bool = False,
        **options: Unpack[CallOptions],
    ) -> AsyncIterator[Prompt]:
        """The prompts, each as its version in force, sorted by name.

        `query` is a part of the name; `label` and all of `tags` must be set.
        """
        request = build(
            ListPromptsRequest,
            page_size=PAGE_SIZE,
            query=query or "",
            label=label or "",
            tags=tags,
            include_archived=include_archived,
        )
        return read_pages(self._models.list_prompts, request, lambda page: page.prompts, options)

    async def _move(self, request: SetPromptLabelRequest, options: CallOptions) -> SetPromptLabelResponse:
        try:
            return await self._models.set_prompt_label(request, **options)
        finally:
            # Also after an error: the platform may have made the change all the same.
            self._cache.forget(request.name)

    async def _archive(self, request: ArchivePromptRequest, options: CallOptions) -> ArchivePromptResponse:
        try:
            return await self._models.archive_prompt(request, **options)
        finally:
            self._cache.forget(request.name)

    async def _read_record(self, name: str, options: CallOptions) -> PromptRecord:
        try:
            versions = self.versions(name, include_archived=True, **options)
            return record_prompt(name, [prompt async for prompt in versions])
        except NotFound:
            return record_prompt(name, ())

    async def _do(self, step: Step, options: CallOptions) -> None:
        if isinstance(step, SetPromptLabelRequest):
            await self._move(step, options)
        elif isinstance(step, ArchivePromptRequest):
            await self._archive(step, options)
        else:
            await self._register(step, options)

    async def _register(self, registration: Registration, options: CallOptions) -> None:
        try:
            registration.check(await self._models.register_prompt(registration.request, **options))
        finally:
            self._cache.forget(registration.request.name)

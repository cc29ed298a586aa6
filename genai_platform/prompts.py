"""Prompts: a view of the same calls as in `models`, with Python's own arguments, all pages, and a memory.

What is registered or changed through here is forgotten by the client's memory; what is changed through `models`, or
by another client, is seen when the memory asks again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Unpack

from genai_platform.building import build
from genai_platform.calls import CallOptions
from genai_platform.errors import NotFound, Timeout, Unavailable
from genai_platform.models import Models
from genai_platform.pages import read_pages
from genai_platform.prompt_cache import Fallback, PromptCache
from genai_platform.prompt_files import ExportReport, PromptRecord, record_prompt, write_records
from genai_platform.prompt_import import ImportReport, Registration, Step, plan_import
from genai_platform.prompt_reading import read_records
from genai_platform.prompt_requests import (
    PAGE_SIZE,
    build_move,
    build_question,
    build_registration,
    build_rendering,
    build_rollback,
    build_selection,
    describe_changes,
)
from genai_platform.requests import Fields
from proto.models_pb2 import (
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


class Prompts:
    """Prompts by name, each in immutable versions to which labels point."""

    def __init__(self, models: Models, cache: PromptCache) -> None:
        self._models = models
        self._cache = cache

    def register(
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
        """Stores a prompt as a new version; the content of the newest one again is that version, `created` False.

        `labels` are pointed at the version. `defaults` are what a chat with it uses unless the request says otherwise:
        a PromptDefaults or a dict of its fields.
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
            return self._models.register_prompt(request, **options)
        finally:
            self._cache.forget(name)

    def get(
        self,
        name: str,
        *,
        version: int | None = None,
        label: str | None = None,
        fallback: Fallback | None = None,
        **options: Unpack[CallOptions],
    ) -> Prompt:
        """One version: by its number, by a label, or the one in force (label `production` if set, else the newest).

        Answers are remembered: a version for good, with its labels as they were then; the others for 60 s, or what
        the client was given as `prompt_cache_seconds`. While the platform cannot be reached the old answer is given,
        and a warning is logged by `genai_platform`. `fallback` is for when there is no old answer either: a Prompt, a
        text, or a function that makes one; its version is 0 unless it says another. Raises NotFound for a version or
        label that is absent: nothing else is tried.
        """
        request = build_question(name, version, label)
        lookup = self._cache.look_up(request)
        prompt = lookup.fresh_prompt()
        if prompt is not None:
            return prompt
        try:
            prompt = self._models.get_prompt(request, **lookup.call_options(options))
        except (Unavailable, Timeout) as error:
            return self._cache.stand_in(lookup, error, fallback)
        except NotFound:
            self._cache.drop(lookup)
            raise
        self._cache.keep(lookup, prompt)
        return prompt

    def render(
        self,
        name: str,
        variables: Mapping[str, str] | None = None,
        *,
        version: int | None = None,
        label: str | None = None,
        **options: Unpack[CallOptions],
    ) -> RenderPromptResponse:
        """Fills the variables of a prompt. Raises InvalidRequest naming all that are missing."""
        return self._models.render_prompt(build_rendering(name, variables, version, label), **options)

    def promote(
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
        """Points a label at a version; 0 removes it. The answer says where it pointed before.

        With `expected_version` it raises Conflict unless the label points there now (0: at none). `reason` and `actor`
        are kept in the history.
        """
        return self._move(build_move(name, version, label, expected_version, reason, actor), options)

    def rollback(
        self,
        name: str,
        label: str = "production",
        *,
        expected_version: int | None = None,
        reason: str | None = None,
        actor: str | None = None,
        **options: Unpack[CallOptions],
    ) -> SetPromptLabelResponse:
        """Points a label at the version that it pointed at before, as its history tells; again: further back.

        Raises FailedPrecondition NO_PREVIOUS_VERSION when it has pointed at no other, and Conflict when it is moved by
        somebody else meanwhile.
        """
        events = self.history(name, **options)
        return self._move(build_rollback(name, label, events, expected_version, reason, actor), options)

    def archive(
        self,
        name: str,
        version: int | None = None,
        *,
        reason: str | None = None,
        actor: str | None = None,
        **options: Unpack[CallOptions],
    ) -> ArchivePromptResponse:
        """Hides a version, or the whole prompt, from lists. Refused while a label points there; see `unarchive`."""
        request = build(ArchivePromptRequest, name=name, version=version or 0, reason=reason or "", actor=actor or "")
        return self._archive(request, options)

    def unarchive(
        self,
        name: str,
        version: int | None = None,
        *,
        reason: str | None = None,
        actor: str | None = None,
        **options: Unpack[CallOptions],
    ) -> ArchivePromptResponse:
        """Brings a version, or the whole prompt, back."""
        request = build(
            ArchivePromptRequest,
            name=name,
            version=version or 0,
            unarchive=True,
            reason=reason or "",
            actor=actor or "",
        )
        return self._archive(request, options)

    def diff(self, name: str, base: int | str, target: int | str, **options: Unpack[CallOptions]) -> str:
        """What `target` has different from `base`, each a version or a label: a unified diff of the contents, followed
        by one of the defaults; empty when both are equal."""
        prompts = [self._models.get_prompt(build_selection(name, which), **options) for which in (base, target)]
        return describe_changes(*prompts)

    def history(self, name: str, **options: Unpack[CallOptions]) -> Iterator[PromptEvent]:
        """What happened to a prompt, newest first."""
        request = build(ListPromptEventsRequest, name=name, page_size=PAGE_SIZE)
        return read_pages(self._models.list_prompt_events, request, lambda page: page.events, options)

    def versions(
        self, name: str, *, include_archived: bool = False, **options: Unpack[CallOptions]
    ) -> Iterator[Prompt]:
        """All versions of a prompt, newest first."""
        request = build(ListPromptVersionsRequest, name=name, page_size=PAGE_SIZE, include_archived=include_archived)
        return read_pages(self._models.list_prompt_versions, request, lambda page: page.prompts, options)

    def export_to(self, directory: str | os.PathLike[str], **options: Unpack[CallOptions]) -> ExportReport:
        """Writes all prompts, archived ones included, as files that fit in a git repository.

        Each prompt is a folder of its name with `v1.md`, `v2.md`, … and `prompt.json`. Files that are as they should
        be are not touched, and nothing is deleted. Raises InvalidRequest when symbolic links are in the way.
        """
        records = [self._read_record(prompt.name, options) for prompt in self.list(include_archived=True, **options)]
        return write_records(Path(directory), records)

    def import_from(
        self, directory: str | os.PathLike[str], *, actor: str | None = None, **options: Unpack[CallOptions]
    ) -> ImportReport:
        """Makes the platform hold what the files of `export_to` hold, and says what was done.

        Versions that are there are left, missing ones are registered in their order; labels and the archive become as
        the files say. A new `v4.md` may be written by hand, with or without an entry in `prompt.json`. Nothing that
        the files do not name is touched. Doing it again, also after a failure on the way, does the rest.

        Before anything is changed it raises InvalidRequest PROMPT_FILES_INVALID naming all files that are wrong, and
        Conflict PROMPT_VERSION_DIFFERS naming all versions that are something else on the platform.
        """
        records = read_records(Path(directory))
        present = {record.name: self._read_record(record.name, options) for record in records}
        plan = plan_import(records, present, actor)
        for step in plan.steps:
            self._do(step, options)
        return plan.report

    def list(
        self,
        *,
        query: str | None = None,
        label: str | None = None,
        tags: Sequence[str] = (),
        include_archived: bool = False,
        **options: Unpack[CallOptions],
    ) -> Iterator[Prompt]:
        """All prompts, each as its version in force, in the order of their names.

        `query` is a part of the name; `label` and all of `tags` must be there.
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

    def _move(self, request: SetPromptLabelRequest, options: CallOptions) -> SetPromptLabelResponse:
        try:
            return self._models.set_prompt_label(request, **options)
        finally:
            # Also after an error: the platform may have done it all the same.
            self._cache.forget(request.name)

    def _archive(self, request: ArchivePromptRequest, options: CallOptions) -> ArchivePromptResponse:
        try:
            return self._models.archive_prompt(request, **options)
        finally:
            self._cache.forget(request.name)

    def _read_record(self, name: str, options: CallOptions) -> PromptRecord:
        try:
            return record_prompt(name, self.versions(name, include_archived=True, **options))
        except NotFound:
            return record_prompt(name, ())

    def _do(self, step: Step, options: CallOptions) -> None:
        if isinstance(step, SetPromptLabelRequest):
            self._move(step, options)
        elif isinstance(step, ArchivePromptRequest):
            self._archive(step, options)
        else:
            self._register(step, options)

    def _register(self, registration: Registration, options: CallOptions) -> None:
        try:
            registration.check(self._models.register_prompt(registration.request, **options))
        finally:
            self._cache.forget(registration.request.name)

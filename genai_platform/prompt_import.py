"""The plan of an import: the calls that make the platform's prompts equal to those in files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from genai_platform.building import build
from genai_platform.errors import Conflict, FieldViolation
from genai_platform.prompt_files import PromptRecord
from genai_platform.prompt_folders import folder_of
from genai_platform.v1.models_pb2 import (
    ArchivePromptRequest,
    Prompt,
    RegisterPromptRequest,
    RegisterPromptResponse,
    SetPromptLabelRequest,
)

REASON = "imported from files"


@dataclass(frozen=True)
class ImportReport:
    """The result of an import. A version is its prompt's name and its number."""

    registered: tuple[tuple[str, int], ...]
    unchanged: tuple[tuple[str, int], ...]
    """Versions that the platform had already."""
    labels: tuple[tuple[str, str, int], ...]
    """Moved labels: the prompt's name, the label, and its new version."""
    archived: tuple[tuple[str, int], ...]
    unarchived: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        return (
            f"{len(self.registered)} versions registered, {len(self.unchanged)} unchanged, {len(self.labels)} labels "
            f"moved, {len(self.archived)} versions archived, {len(self.unarchived)} brought back"
        )


class Registration(NamedTuple):
    """A version to register, and the number that it must get."""

    request: RegisterPromptRequest
    version: int

    def check(self, response: RegisterPromptResponse) -> None:
        """Raises Conflict PROMPT_VERSION_TAKEN when the platform gave it another number."""
        if response.version != self.version:
            raise Conflict(
                f"prompt {self.request.name} got a version {response.version} where version {self.version} was to be "
                "imported; somebody else has changed it meanwhile: compare, and import again",
                reason="PROMPT_VERSION_TAKEN",
                metadata={"prompt": self.request.name, "version": str(self.version)},
            )


Step = Registration | SetPromptLabelRequest | ArchivePromptRequest


class ImportPlan(NamedTuple):
    """The calls to make, in their order, and the report of them."""

    steps: Sequence[Step]
    report: ImportReport


def plan_import(records: Sequence[PromptRecord], present: Mapping[str, PromptRecord], actor: str | None) -> ImportPlan:
    """Plans the import of `records` into a platform that holds `present`.

    Raises Conflict PROMPT_VERSION_DIFFERS when a version's content or defaults differ there: versions never change.
    """
    plans = [_RecordPlan(record, present.get(record.name), actor or "") for record in records]
    differing = [violation for plan in plans for violation in plan.find_differences()]
    if differing:
        lines = "; ".join(f"{path} {problem}" for path, problem in differing)
        raise Conflict(f"nothing was changed: {lines}", reason="PROMPT_VERSION_DIFFERS", violations=differing)
    steps = [step for plan in plans for step in plan.steps()]
    report = ImportReport(
        registered=tuple(plan.named(version) for plan in plans for version in plan.new),
        unchanged=tuple(plan.named(version) for plan in plans for version in plan.shared),
        labels=tuple((plan.name, label, version) for plan in plans for label, version in plan.moves()),
        archived=tuple(plan.named(version) for plan in plans for version in plan.to_archive()),
        unarchived=tuple(plan.named(version) for plan in plans for version in plan.to_unarchive()),
    )
    return ImportPlan(steps, report)


class _RecordPlan:
    """The plan for one prompt."""

    def __init__(self, record: PromptRecord, present: PromptRecord | None, actor: str) -> None:
        self.name = record.name
        self._record = record
        self._present = present or PromptRecord(record.name, (), {}, frozenset())
        self._actor = actor
        count = len(self._present.versions)
        self.shared = [prompt.version for prompt in record.versions[:count]]
        self.new = [prompt.version for prompt in record.versions[count:]]

    def named(self, version: int) -> tuple[str, int]:
        return self.name, version

    def find_differences(self) -> Iterator[FieldViolation]:
        for prompt, there in zip(self._record.versions, self._present.versions, strict=False):
            if _identity(prompt) != _identity(there):
                path = folder_of(self.name) / f"v{prompt.version}.md"
                yield FieldViolation(str(path), "or its defaults differ from that version on the platform")

    def moves(self) -> list[tuple[str, int]]:
        labels = sorted(self._record.labels.items())
        return [(label, version) for label, version in labels if self._present.labels.get(label) != version]

    def to_archive(self) -> list[int]:
        return sorted(self._record.archived - self._present.archived)

    def to_unarchive(self) -> list[int]:
        return sorted(self._present.archived & set(self.shared) - self._record.archived)

    def steps(self) -> Iterator[Step]:
        """Versions first, then labels, archiving last: labels cannot point at archived versions."""
        archived = set(self._present.archived)
        known = list(self._present.versions)
        for prompt in self._record.versions[len(known) :]:
            # Content equal to the newest version registers no new one, unless that version is archived; where the files
            # were exported it must have been archived at the time.
            while (newest := _newest(known, archived)) and _identity(newest) == _identity(prompt):
                archived.add(newest.version)
                yield self._archiving(newest.version)
            known.append(prompt)
            yield Registration(_registration(prompt), prompt.version)
        of_record = {prompt.version for prompt in self._record.versions}
        for version in sorted(archived & of_record - self._record.archived):
            yield self._archiving(version, unarchive=True)
        for label, version in self.moves():
            yield self._labelling(label, version)
        for version in sorted(self._record.archived - archived):
            yield self._archiving(version)

    def _labelling(self, label: str, version: int) -> SetPromptLabelRequest:
        expected = self._present.labels.get(label, 0)
        return build(
            SetPromptLabelRequest,
            name=self.name,
            label=label,
            version=version,
            expected_version=expected,
            reason=REASON,
            actor=self._actor,
        )

    def _archiving(self, version: int, *, unarchive: bool = False) -> ArchivePromptRequest:
        return build(
            ArchivePromptRequest, name=self.name, version=version, unarchive=unarchive, reason=REASON, actor=self._actor
        )


def _newest(prompts: Sequence[Prompt], archived: set[int]) -> Prompt | None:
    return next((prompt for prompt in reversed(prompts) if prompt.version not in archived), None)


def _identity(prompt: Prompt) -> tuple[str, bytes]:
    """The content and defaults of a version; versions with equal ones are the same."""
    return prompt.content, prompt.defaults.SerializeToString(deterministic=True)


def _registration(prompt: Prompt) -> RegisterPromptRequest:
    request = build(
        RegisterPromptRequest, name=prompt.name, content=prompt.content, commit_message=prompt.commit_message
    )
    if prompt.HasField("metadata"):
        request.metadata.CopyFrom(prompt.metadata)
    if prompt.HasField("defaults"):
        request.defaults.CopyFrom(prompt.defaults)
    return request

"""The record of a prompt in memory: its versions, labels, and archive state.

The texts of only those versions are in memory that a chat is likely to use: the version in force, the newest, and those
with labels. Of all others, only the numbers are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from proto.models_pb2 import Prompt
from services.models.prompts.labels import PRODUCTION
from services.models.validation.fields import shorten
from services.shared.errors import NotFound


class PromptId(NamedTuple):
    """A prompt: the project that it belongs to, and its name there."""

    project_id: str
    """Empty where nobody is asked who calls."""
    name: str


class Choice(NamedTuple):
    """The number of the version that a reference resolves to."""

    version: int
    label: str
    """The label by which it was found; empty if it was requested by number or is the newest."""


class Resolved(NamedTuple):
    """The version that a reference resolves to."""

    prompt: Prompt
    """The shared message: do not change it."""
    label: str
    """The label by which it was found; empty if it was requested by number or is the newest."""

    def describe(self) -> Prompt:
        """A copy of the version for callers, with the resolved label."""
        prompt = Prompt()
        prompt.CopyFrom(self.prompt)
        prompt.resolved_label = self.label
        return prompt


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """An immutable snapshot of one prompt."""

    project_id: str
    name: str
    count: int
    """The number of versions; they are numbered from 1, without gaps."""
    newest: int
    """The newest unarchived version; 0 if all are archived."""
    labels: Mapping[str, int]
    loaded: Mapping[int, Prompt]
    """The versions with labels and the newest unarchived one, each with its labels."""
    sizes: Mapping[int, int]
    """The sizes of these versions in bytes."""
    summary: Prompt | None
    """The newest version without its texts, if all versions are archived: the prompt's entry in lists."""
    stored_bytes: int
    """The size of all versions in the database."""
    memory_bytes: int
    """The size of the record in memory."""
    revision: int
    """The id of the newest event: of two records of one prompt, the one with the higher revision is newer."""

    @property
    def id(self) -> PromptId:
        return PromptId(self.project_id, self.name)

    def choose(self, version: int = 0, label: str = "") -> Choice:
        """The version with this number, else with this label, else the one in force. Raises NotFound."""
        if version:
            self.require_version(version)
            return Choice(version, "")
        if label:
            return Choice(self.version_at_label(label), label)
        return self.in_force()

    def in_force(self) -> Choice:
        """The version with the label `production`, else the newest unarchived one. Raises NotFound."""
        if PRODUCTION in self.labels:
            return Choice(self.labels[PRODUCTION], PRODUCTION)
        if not self.newest:
            raise NotFound(
                f"prompt {self.name} is archived; ask for a version, or bring it back with ArchivePrompt",
                reason="PROMPT_NOT_FOUND",
                metadata={"prompt": self.name, "newest_version": str(self.count)},
            )
        return Choice(self.newest, "")

    def list_entry(self, *, include_archived: bool) -> Prompt | None:
        """The prompt's entry in a list: the version in force. If all versions are archived: None, or with
        `include_archived` the newest one without its texts."""
        if self.newest:
            return self.loaded[self.in_force().version]
        return self.summary if include_archived else None

    def newest_prompt(self) -> Prompt | None:
        """The newest unarchived version, if there is one."""
        return self.loaded.get(self.newest)

    def require_version(self, version: int) -> None:
        """Raises NotFound, naming the newest version, if there is no such version. It may be archived."""
        if not 1 <= version <= self.count:
            raise self.version_not_found(version)

    def version_not_found(self, version: int) -> NotFound:
        """The error for an unknown version."""
        return NotFound(
            f"prompt {self.name} has no version {version}; its newest is {self.count}",
            reason="PROMPT_NOT_FOUND",
            metadata={"prompt": self.name, "newest_version": str(self.count)},
        )

    def version_at_label(self, label: str) -> int:
        """The version that a label points at. Raises NotFound naming the prompt's labels; there is no fallback."""
        version = self.labels.get(label)
        if version is not None:
            return version
        known = ", ".join(sorted(self.labels))
        hint = f"it has {known}" if known else "it has none; SetPromptLabel sets one"
        raise NotFound(
            f"prompt {self.name} has no label {shorten(label)}; {hint}",
            reason="PROMPT_LABEL_NOT_FOUND",
            metadata={"prompt": self.name, "label": shorten(label), "labels": known},
        )

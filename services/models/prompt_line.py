"""One prompt as it is held in memory: the line of its versions, and the labels that point into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from proto.models_pb2 import Prompt
from services.models.checks import shorten
from services.models.prompt_labels import PRODUCTION
from services.shared.errors import NotFound


class Resolved(NamedTuple):
    """The version that a question led to."""

    prompt: Prompt
    """Shared by all who ask: not to be changed."""
    label: str
    """The label through which it was found; empty when it was asked by number or is the newest."""

    def describe(self) -> Prompt:
        """The version as callers see it, as a copy."""
        prompt = Prompt()
        prompt.CopyFrom(self.prompt)
        prompt.resolved_label = self.label
        return prompt


@dataclass(frozen=True, slots=True)
class PromptLine:
    """All of one prompt at one moment. Never changes: whoever holds one sees one consistent state."""

    name: str
    versions: Sequence[Prompt]
    """Oldest first: version n stands at n - 1. Each says its labels and whether it is archived."""
    labels: Mapping[str, int]
    revision: int
    """The id of its newest event: of two lines of one prompt the one with the higher is the newer."""

    def resolve(self, version: int = 0, label: str = "") -> Resolved:
        """The version with this number, else with this label, else the one in force. Raises NotFound."""
        if version:
            return Resolved(self.at_version(version), "")
        if label:
            return Resolved(self.at_label(label), label)
        return self.in_force()

    def in_force(self) -> Resolved:
        """What label `production` points at if it is set, else the newest that is not archived. Raises NotFound."""
        if PRODUCTION in self.labels:
            return Resolved(self.at_label(PRODUCTION), PRODUCTION)
        newest = self.newest()
        if newest is None:
            raise NotFound(
                f"prompt {self.name} is archived; ask for a version, or bring it back with ArchivePrompt",
                reason="PROMPT_NOT_FOUND",
                metadata={"prompt": self.name, "newest_version": str(len(self.versions))},
            )
        return Resolved(newest, "")

    def listed(self, *, include_archived: bool) -> Prompt | None:
        """The version that stands for the prompt in a list: the one in force; where all are archived, none or the
        newest."""
        if self.newest():
            return self.in_force().prompt
        return self.versions[-1] if include_archived else None

    def at_version(self, version: int) -> Prompt:
        """One version, archived or not. Raises NotFound naming the newest one there is."""
        if 1 <= version <= len(self.versions):
            return self.versions[version - 1]
        raise NotFound(
            f"prompt {self.name} has no version {version}; its newest is {len(self.versions)}",
            reason="PROMPT_NOT_FOUND",
            metadata={"prompt": self.name, "newest_version": str(len(self.versions))},
        )

    def at_label(self, label: str) -> Prompt:
        """The version that a label points at. Raises NotFound naming the labels there are; nothing else is tried."""
        version = self.labels.get(label)
        if version is not None:
            return self.at_version(version)
        known = ", ".join(sorted(self.labels))
        hint = f"it has {known}" if known else "it has none; SetPromptLabel sets one"
        raise NotFound(
            f"prompt {self.name} has no label {shorten(label)}; {hint}",
            reason="PROMPT_LABEL_NOT_FOUND",
            metadata={"prompt": self.name, "label": shorten(label), "labels": known},
        )

    def newest(self) -> Prompt | None:
        """The newest version that is not archived, if there is one."""
        return next(self.newest_first(), None)

    def newest_first(self, *, include_archived: bool = False) -> Iterator[Prompt]:
        """The versions, the newest first."""
        return (prompt for prompt in reversed(self.versions) if include_archived or not is_archived(prompt))


def is_archived(prompt: Prompt) -> bool:
    """Whether a version is hidden from lists and never in force."""
    return prompt.HasField("archived_at")

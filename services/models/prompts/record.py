"""One prompt as it is held in memory: the line of its versions, and the labels that point into it.

Of its versions only those are held whole that a chat may ask for at any moment: the one in force, the newest, and those
with labels. Of the others only their number is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from proto.models_pb2 import Prompt
from services.models.prompts.labels import PRODUCTION
from services.models.validation.fields import shorten
from services.shared.errors import NotFound


class Choice(NamedTuple):
    """The version that a question leads to."""

    version: int
    label: str
    """The label through which it was found; empty when it was asked by number or is the newest."""


class Resolved(NamedTuple):
    """The version that a question led to, whole."""

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
    """One prompt at one moment. Never changes: whoever holds one sees one consistent state."""

    name: str
    count: int
    """How many versions there are; they are numbered from 1, without gaps."""
    newest: int
    """The newest version that is not archived; 0 when all are."""
    labels: Mapping[str, int]
    held: Mapping[int, Prompt]
    """The versions with labels, and the newest that is not archived. Each says its labels."""
    sizes: Mapping[int, int]
    """How many bytes each of these has."""
    outline: Prompt | None
    """Of a prompt that is archived whole, the newest version without its texts: it stands for it in lists."""
    stored_bytes: int
    """Of all versions."""
    held_bytes: int
    """Of all that is in memory."""
    revision: int
    """The id of its newest event: of two lines of one prompt the one with the higher is the newer."""

    def choose(self, version: int = 0, label: str = "") -> Choice:
        """The version with this number, else with this label, else the one in force. Raises NotFound."""
        if version:
            self.require(version)
            return Choice(version, "")
        if label:
            return Choice(self.at_label(label), label)
        return self.in_force()

    def in_force(self) -> Choice:
        """What label `production` points at if it is set, else the newest that is not archived. Raises NotFound."""
        if PRODUCTION in self.labels:
            return Choice(self.labels[PRODUCTION], PRODUCTION)
        if not self.newest:
            raise NotFound(
                f"prompt {self.name} is archived; ask for a version, or bring it back with ArchivePrompt",
                reason="PROMPT_NOT_FOUND",
                metadata={"prompt": self.name, "newest_version": str(self.count)},
            )
        return Choice(self.newest, "")

    def listed(self, *, include_archived: bool) -> Prompt | None:
        """The version that stands for the prompt in a list: the one in force; where all are archived, none or the
        newest, without its texts."""
        if self.newest:
            return self.held[self.in_force().version]
        return self.outline if include_archived else None

    def newest_prompt(self) -> Prompt | None:
        """The newest version that is not archived, if there is one."""
        return self.held.get(self.newest)

    def require(self, version: int) -> None:
        """Raises NotFound, naming the newest version, unless there is this one, archived or not."""
        if not 1 <= version <= self.count:
            raise self.missing(version)

    def missing(self, version: int) -> NotFound:
        """The error that says so."""
        return NotFound(
            f"prompt {self.name} has no version {version}; its newest is {self.count}",
            reason="PROMPT_NOT_FOUND",
            metadata={"prompt": self.name, "newest_version": str(self.count)},
        )

    def at_label(self, label: str) -> int:
        """The version that a label points at. Raises NotFound naming the labels there are; nothing else is tried."""
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

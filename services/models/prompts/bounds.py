"""Bounds of stored prompts, checked when they are written. Prompts that exceed them already are still served."""

from __future__ import annotations

import operator
from typing import NamedTuple

from services.models.prompts.record import PromptId, PromptRecord
from services.models.validation.limits import MAX_PROMPTS
from services.shared.errors import LimitExceeded

MEBIBYTE = 1024 * 1024

MAX_VERSIONS = 10_000
MAX_LABELS = 256
MAX_PROMPT_BYTES = 1024 * MEBIBYTE
"""Limit for one prompt."""

_UNITS = {"prompts": "names", "stored_bytes": "bytes in the database", "memory_bytes": "bytes in memory"}

MAX_STORED_BYTES = 8 * 1024 * MEBIBYTE
MAX_MEMORY_BYTES = 64 * MEBIBYTE
"""Limits for all prompts, in the database and in the memory of each process."""


class PromptUsage(NamedTuple):
    """The size of one prompt, or of several together."""

    prompts: int = 0
    versions: int = 0
    labels: int = 0
    stored_bytes: int = 0
    memory_bytes: int = 0

    @classmethod
    def of(cls, record: PromptRecord | None) -> PromptUsage:
        return cls(1, record.count, len(record.labels), record.stored_bytes, record.memory_bytes) if record else cls()

    def plus(self, other: PromptUsage) -> PromptUsage:
        return PromptUsage(*map(operator.add, self, other))

    def minus(self, other: PromptUsage) -> PromptUsage:
        return PromptUsage(*map(operator.sub, self, other))


class Others(NamedTuple):
    """The size of all prompts but one, as far as this process has loaded them."""

    of_project: PromptUsage
    of_all: PromptUsage


class Usages:
    """The sizes of all prompts together, and of those of each project."""

    def __init__(self) -> None:
        self._all = PromptUsage()
        self._by_project: dict[str, PromptUsage] = {}

    def replace(self, before: PromptRecord | None, after: PromptRecord) -> None:
        """Counts a record in place of the one before it."""
        others = self.without(before, after.project_id)
        usage = PromptUsage.of(after)
        self._by_project[after.project_id] = others.of_project.plus(usage)
        self._all = others.of_all.plus(usage)

    def without(self, record: PromptRecord | None, project_id: str) -> Others:
        """The sizes without a record of the project."""
        usage = PromptUsage.of(record)
        return Others(self._by_project.get(project_id, PromptUsage()).minus(usage), self._all.minus(usage))


def check_bounds(prompt: PromptId, before: PromptUsage, after: PromptUsage, others: Others) -> None:
    """Raises LimitExceeded when a change of one prompt exceeds a bound: PROMPT_LIMIT for one of this prompt,
    PROMPTS_LIMIT for one of all together, and PROJECT_PROMPTS_LIMIT for the share of its project."""
    _check_prompt(prompt.name, before, after)
    _check_all(before, after, others.of_all)
    if prompt.project_id:
        _check_share(before, after, others)


def _check_prompt(name: str, before: PromptUsage, after: PromptUsage) -> None:
    if after.versions > max(before.versions, MAX_VERSIONS):
        raise _full(
            name, f"has {before.versions} versions, and may have {MAX_VERSIONS}; register it under another name"
        )
    if after.labels > max(before.labels, MAX_LABELS):
        raise _full(name, f"may have {MAX_LABELS} labels; remove some with SetPromptLabel")
    if after.stored_bytes > max(before.stored_bytes, MAX_PROMPT_BYTES):
        size = f"{MAX_PROMPT_BYTES // MEBIBYTE} MiB"
        raise _full(name, f"may have {size} in all its versions together; register it under another name")


def _check_all(before: PromptUsage, after: PromptUsage, others: PromptUsage) -> None:
    if others.prompts + after.prompts > max(others.prompts + before.prompts, MAX_PROMPTS):
        raise LimitExceeded(
            f"there are {others.prompts} prompts, and at most {MAX_PROMPTS} can be; register a version of one of them,"
            " or have the operator remove some from the storage",
            reason="PROMPTS_LIMIT",
        )
    if after.stored_bytes > max(before.stored_bytes, MAX_STORED_BYTES - others.stored_bytes):
        raise LimitExceeded(
            f"all prompts together may have {MAX_STORED_BYTES // MEBIBYTE} MiB; their operator must make room",
            reason="PROMPTS_LIMIT",
        )
    if after.memory_bytes > max(before.memory_bytes, MAX_MEMORY_BYTES - others.memory_bytes):
        raise LimitExceeded(
            "the newest versions of all prompts, and those with labels, may have"
            f" {MAX_MEMORY_BYTES // MEBIBYTE} MiB together; archive prompts that nobody uses, or remove labels",
            reason="PROMPTS_LIMIT",
        )


def _check_share(before: PromptUsage, after: PromptUsage, others: Others) -> None:
    """A project may have as much as it leaves free for all the others: the first one half, two a third each."""
    of_project, of_all = others.of_project.plus(after), others.of_all.plus(after)
    limits = {"prompts": MAX_PROMPTS, "stored_bytes": MAX_STORED_BYTES, "memory_bytes": MAX_MEMORY_BYTES}
    for what, limit in limits.items():
        held, free = getattr(of_project, what), limit - getattr(of_all, what)
        if getattr(after, what) > getattr(before, what) and held > free:
            is_freed = what == "memory_bytes"
            advice = "archive prompts that nobody uses, or remove labels" if is_freed else "the operator must make room"
            raise LimitExceeded(
                f"the prompts of this project would have {held} {_UNITS[what]} and leave {max(free, 0)} for all the"
                f" others, which is less; {advice}",
                reason="PROJECT_PROMPTS_LIMIT",
            )


def _full(name: str, problem: str) -> LimitExceeded:
    return LimitExceeded(f"prompt {name} {problem}", reason="PROMPT_LIMIT", metadata={"prompt": name})

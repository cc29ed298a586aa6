"""Bounds of stored prompts, checked when they are written. Prompts that exceed them already are still served."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from typing import NamedTuple

from services.models.prompts.record import PromptRecord
from services.shared.errors import LimitExceeded

MEBIBYTE = 1024 * 1024

MAX_VERSIONS = 10_000
MAX_LABELS = 256
MAX_PROMPT_BYTES = 1024 * MEBIBYTE
"""Limit for one prompt."""

MAX_STORED_BYTES = 8 * 1024 * MEBIBYTE
MAX_MEMORY_BYTES = 64 * MEBIBYTE
"""Limits for all prompts, in the database and in the memory of each process."""


class PromptUsage(NamedTuple):
    """The size of one prompt, or of several together."""

    versions: int = 0
    labels: int = 0
    stored_bytes: int = 0
    memory_bytes: int = 0

    @classmethod
    def of(cls, record: PromptRecord | None) -> PromptUsage:
        return cls(record.count, len(record.labels), record.stored_bytes, record.memory_bytes) if record else cls()

    @classmethod
    def of_all(cls, records: Iterable[PromptRecord]) -> PromptUsage:
        return functools.reduce(cls.plus, map(cls.of, records), cls())

    def plus(self, other: PromptUsage) -> PromptUsage:
        return PromptUsage(*map(operator.add, self, other))

    def minus(self, other: PromptUsage) -> PromptUsage:
        return PromptUsage(*map(operator.sub, self, other))


def check_bounds(name: str, before: PromptUsage, after: PromptUsage, others: PromptUsage) -> None:
    """Raises LimitExceeded when a change of one prompt exceeds a bound.

    `others` are all other prompts together, as far as this process has loaded them.
    """
    if after.versions > max(before.versions, MAX_VERSIONS):
        raise _full(
            name, f"has {before.versions} versions, and may have {MAX_VERSIONS}; register it under another name"
        )
    if after.labels > max(before.labels, MAX_LABELS):
        raise _full(name, f"may have {MAX_LABELS} labels; remove some with SetPromptLabel")
    if after.stored_bytes > max(before.stored_bytes, MAX_PROMPT_BYTES):
        size = f"{MAX_PROMPT_BYTES // MEBIBYTE} MiB"
        raise _full(name, f"may have {size} in all its versions together; register it under another name")
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


def _full(name: str, problem: str) -> LimitExceeded:
    return LimitExceeded(f"prompt {name} {problem}", reason="PROMPT_LIMIT", metadata={"prompt": name})

"""How much may be kept of prompts, checked where it is stored. What is there already, however much, is served."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from typing import NamedTuple

from services.models.prompts.record import PromptLine
from services.shared.errors import LimitExceeded

MEBIBYTE = 1024 * 1024

MAX_VERSIONS = 10_000
MAX_LABELS = 256
MAX_PROMPT_BYTES = 1024 * MEBIBYTE
"""Of one prompt."""

MAX_STORED_BYTES = 8 * 1024 * MEBIBYTE
MAX_HELD_BYTES = 64 * MEBIBYTE
"""Of all prompts: in the database, and in the memory of each process."""


class Extent(NamedTuple):
    """How much there is of one prompt, or of several."""

    versions: int = 0
    labels: int = 0
    stored_bytes: int = 0
    held_bytes: int = 0

    @classmethod
    def of(cls, line: PromptLine | None) -> Extent:
        return cls(line.count, len(line.labels), line.stored_bytes, line.held_bytes) if line else cls()

    @classmethod
    def of_all(cls, lines: Iterable[PromptLine]) -> Extent:
        return functools.reduce(cls.plus, map(cls.of, lines), cls())

    def plus(self, other: Extent) -> Extent:
        return Extent(*map(operator.add, self, other))

    def minus(self, other: Extent) -> Extent:
        return Extent(*map(operator.sub, self, other))


def refuse_excess(name: str, before: Extent, after: Extent, others: Extent) -> None:
    """Raises LimitExceeded when a change of one prompt makes more of it than may be kept.

    `others` are all other prompts together, as far as this process knows them.
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
    if after.held_bytes > max(before.held_bytes, MAX_HELD_BYTES - others.held_bytes):
        raise LimitExceeded(
            "the newest versions of all prompts, and those with labels, may have"
            f" {MAX_HELD_BYTES // MEBIBYTE} MiB together; archive prompts that nobody uses, or remove labels",
            reason="PROMPTS_LIMIT",
        )


def _full(name: str, problem: str) -> LimitExceeded:
    return LimitExceeded(f"prompt {name} {problem}", reason="PROMPT_LIMIT", metadata={"prompt": name})

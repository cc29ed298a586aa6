"""Globs of models: names in which `*` stands for any characters."""

from __future__ import annotations

from collections.abc import Sequence

from services.shared.globs import matches_glob

NO_MODEL = " "
"""A glob that matches no model: names have no blanks."""


def covers(glob: str, other: str) -> bool:
    """Whether a glob matches all that another one does. The `*` of the other one must be within its own."""
    return matches_glob(glob, other)


def uncovered(globs: Sequence[str], others: Sequence[str]) -> list[str]:
    """Those of the other globs that none of these covers. No globs cover all."""
    return [other for other in others if globs and not any(covers(glob, other) for glob in globs)]


def narrowed(globs: Sequence[str], others: Sequence[str]) -> list[str]:
    """The models that both allow: the other globs, as far as these cover them."""
    if not others:
        return list(globs)
    left_out = uncovered(globs, others)
    return [other for other in others if other not in left_out] or [NO_MODEL]

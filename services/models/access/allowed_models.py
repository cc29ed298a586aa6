"""The models that a caller may call: those whose names match a pattern of its key."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from services.shared.call import Call
from services.shared.errors import PermissionDenied
from services.shared.globs import matches_glob

MAX_SHOWN = 10
"""Patterns that a refusal names."""


class AllowedModels:
    """Patterns of names, in which `*` stands for any characters. Without any, every model is allowed."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = patterns
        self._names = frozenset(pattern for pattern in patterns if "*" not in pattern)
        self._globs = [pattern for pattern in patterns if "*" in pattern]

    @property
    def are_all(self) -> bool:
        return not self._patterns

    def has(self, names: Collection[str]) -> bool:
        """Whether a model is allowed that goes by these names."""
        if self.are_all or not self._names.isdisjoint(names):
            return True
        return any(matches_glob(glob, name) for glob in self._globs for name in names)

    def refusal(self, name: str, why: str = "", field: str = "model") -> PermissionDenied:
        """The error for a model that is not allowed. `why` says how its name leads to such a one."""
        # A key that may call none has a pattern that is blank.
        shown = ", ".join(filter(str.strip, self._patterns[:MAX_SHOWN])) or "none"
        return PermissionDenied(
            f"{field}: the key may not call {name}{why}; it may call {shown}",
            reason="MODEL_NOT_ALLOWED",
            metadata={"model": name, "allowed": shown, "field": field},
        )


EVERY_MODEL = AllowedModels()


def allowed_models(call: Call) -> AllowedModels:
    """The models that the caller of a call may call: every one where nobody is asked who calls."""
    if call.identity is None or not call.identity.model_globs:
        return EVERY_MODEL
    return AllowedModels(tuple(call.identity.model_globs))

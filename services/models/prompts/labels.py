"""Labels of prompts: their syntax, and the labels with a meaning."""

from __future__ import annotations

import re

PRODUCTION = "production"
"""The label of the version in force."""

LATEST = "latest"
"""A reserved label: in other systems it moves by itself, and here labels move only on request."""

_LABEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def label_problem(label: str) -> str | None:
    """The reason why `label` cannot be set, or None if it can."""
    if not label:
        return "is required"
    if label == LATEST:
        return f"{LATEST} is reserved; choose another name"
    if not _LABEL.fullmatch(label):
        return "must be 1 to 64 lower-case letters, digits and ._- and begin with a letter or digit"
    return None

"""The labels of prompts: what may be one, and which names mean something."""

from __future__ import annotations

import re

PRODUCTION = "production"
"""The label whose version is in force."""

LATEST = "latest"
"""Reserved: elsewhere it is a label that moves by itself, and here a label moves only when somebody moves it."""

_LABEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def problem_with_label(label: str) -> str | None:
    """Says why `label` cannot be set, or None when it can."""
    if not label:
        return "is required"
    if label == LATEST:
        return f"{LATEST} is reserved; choose another name"
    if not _LABEL.fullmatch(label):
        return "must be 1 to 64 lower-case letters, digits and ._- and begin with a letter or digit"
    return None

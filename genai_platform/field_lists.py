"""Lists of fields: the docstring of a call ends with the fields that it takes, so that `help` shows them."""

from __future__ import annotations

import inspect
import re
from typing import TypeVar

from genai_platform.field_texts import FIELD_TEXTS

Owner = TypeVar("Owner", bound=type)

_FIELDS = re.compile(r"Unpack\[(\w+)\]")


def with_field_lists(owner: Owner) -> Owner:
    """Adds to the docstring of each method of a class the fields that it takes as keywords."""
    for method in vars(owner).values():
        # Annotations are texts, which no import has to be made for.
        match = _FIELDS.search(str(getattr(method, "__annotations__", {}).get("fields", "")))
        if match and method.__doc__:
            method.__doc__ = f"{inspect.cleandoc(method.__doc__)}\n{FIELD_TEXTS[match[1]]}"
    return owner

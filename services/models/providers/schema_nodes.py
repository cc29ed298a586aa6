"""JSON Schemas taken apart one level at a time, so that whatever is not changed stays as its exact bytes."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.models.providers import json_text
from services.models.providers.json_text import raw_members

Node = Mapping[str, msgspec.Raw]
"""A schema that is an object, each member as its exact bytes."""


def members_of(schema: msgspec.Raw | None) -> dict[str, msgspec.Raw] | None:
    """The members of a schema that is an object; None for any other value."""
    if schema is None:
        return None
    try:
        return raw_members(bytes(schema).decode())
    except json_text.Malformed:
        return None


def items_in(value: msgspec.Raw | None) -> list[msgspec.Raw] | None:
    """The items of a list; None for any other value."""
    if value is None:
        return None
    try:
        return msgspec.json.decode(value, type=list[msgspec.Raw])
    except msgspec.MsgspecError:
        return None


def text_in(value: msgspec.Raw | None) -> str | None:
    """A text; None for any other value."""
    found = json_text.decode(bytes(value)) if value is not None else None
    return found if isinstance(found, str) else None


def number_in(value: msgspec.Raw) -> int | float | None:
    """A number; None for any other value."""
    found = json_text.decode(bytes(value))
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def says(value: msgspec.Raw | None, text: str) -> bool:
    """Whether a value is written just so."""
    return value is not None and bytes(value).strip() == text.encode()


def is_same(node: Node, given: Node) -> bool:
    """Whether nothing was changed: the same members, as the same objects, in the same order."""
    return list(node) == list(given) and all(node[name] is given[name] for name in given)


def embedded(value: object) -> msgspec.Raw:
    """A value as the JSON to embed."""
    return msgspec.Raw(json_text.encode(value))

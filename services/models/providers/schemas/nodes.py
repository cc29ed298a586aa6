"""JSON Schemas taken apart one level at a time, so that unchanged parts keep their exact bytes.

A part that was not taken apart is `msgspec.Raw`, a view of the given text. Any other part is a dict, a list or a text,
and is encoded once, with all that is in it, at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

import msgspec

from services.shared import json_text

Value: TypeAlias = "msgspec.Raw | str | Sequence[Value] | Mapping[str, Value]"
Node: TypeAlias = Mapping[str, Value]
"""A schema that is an object."""

Shape = TypeVar("Shape")

FALSE = msgspec.Raw(b"false")
NULL = msgspec.Raw(b"null")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)
_number = msgspec.json.Decoder(int | float)


def members_of(value: Value | None) -> Node | None:
    """The members of an object; None for any other value."""
    if isinstance(value, msgspec.Raw):
        return _read(_members, value)
    return value if isinstance(value, Mapping) else None


def items_in(value: Value | None) -> Sequence[Value] | None:
    """The items of a list; None for any other value."""
    if isinstance(value, msgspec.Raw):
        return _read(_items, value)
    return value if isinstance(value, list) else None


def text_in(value: Value | None) -> str | None:
    """A text; None for any other value."""
    if isinstance(value, msgspec.Raw):
        return _read(_text, value)
    return value if isinstance(value, str) else None


def number_in(value: Value) -> int | float | None:
    """A number within a double; None for any other value."""
    return _read(_number, value) if isinstance(value, msgspec.Raw) else None


def words_in(value: Value | None) -> Sequence[str]:
    """A text, or the texts of a list, as `type` has them."""
    found = json_text.decode(bytes(value)) if isinstance(value, msgspec.Raw) else value
    if isinstance(found, str):
        return (found,)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else ()


def is_same(node: Node, given: Node) -> bool:
    """Whether two nodes have the same members, as the same Python objects, in the same order."""
    return list(node) == list(given) and all(node[name] is given[name] for name in given)


def quoted(value: Value) -> str:
    """A value as JSON, just as it was given."""
    return json_text.encode(value).decode()


def size_of(value: msgspec.Raw) -> int:
    """The size of a value in bytes."""
    return len(memoryview(value))


def _read(decoder: msgspec.json.Decoder[Shape], value: msgspec.Raw) -> Shape | None:
    try:
        return decoder.decode(value)
    except (msgspec.MsgspecError, RecursionError):
        return None

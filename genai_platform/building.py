"""Protobuf messages built from Python values; repairs texts with surrogates, which protobuf cannot carry.

Surrogates come from files read with `surrogateescape`, from JavaScript, and from texts cut within a pair. A high and a
low surrogate in sequence are joined to their character, and a lone one becomes U+FFFD, as in providers' answers. In
names and other keys they are refused instead: replacing them could make two names equal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from genai_platform.conversion import convert_fields, convert_message
from genai_platform.errors import FieldViolation, InvalidRequest

Built = TypeVar("Built", bound=Message)

NAMES = frozenset(
    {"id", "ids", "name", "key", "prefix", "model", "models", "label", "labels", "aliases", "tags", "token"}
)
"""The last words of the names of fields that hold names and keys."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_PLACE = re.compile(r"\[[^\[\]]*\]")


def build(message_type: type[Built], /, **fields: Any) -> Built:
    """Builds a message from its fields; submessages may be dicts, and lists of dicts; None leaves a field unset.

    Raises TypeError or ValueError naming the field for a value that it cannot hold, and InvalidRequest for a name or
    key with a surrogate.
    """
    return build_at("", message_type, **fields)


def build_at(path: str, message_type: type[Built], /, **fields: Any) -> Built:
    """Builds a message that is a part of the request; `path`, such as `config`, is named in errors."""
    return _construct(path, message_type, convert_fields(path, _descriptor(message_type), fields))


def build_value(path: str, message_type: type[Built], value: Any) -> Built:
    """Builds a message that is a part of the request from a dict, or from another shape that it has."""
    converted = convert_message(path, _descriptor(message_type), value)
    return converted if isinstance(converted, message_type) else _construct(path, message_type, converted)


def _descriptor(message_type: type[Message]) -> Descriptor:
    # The types of protobuf name a class of one implementation beside it.
    return cast(Descriptor, message_type.DESCRIPTOR)


def _construct(path: str, message_type: type[Built], values: dict[str, Any]) -> Built:
    try:
        return message_type(**values)
    except UnicodeEncodeError:
        return message_type(**_mended(values, path))


def _mended(value: Any, path: str) -> Any:
    if isinstance(value, str):
        return _mended_text(value, path)
    if isinstance(value, Mapping):
        return {_checked(key, path): _mended(entry, f"{path}.{key}".lstrip(".")) for key, entry in value.items()}
    if isinstance(value, list):
        return [_mended(entry, f"{path}[{place}]") for place, entry in enumerate(value)]
    return value


def _mended_text(text: str, path: str) -> str:
    if not _SURROGATE.search(text):
        return text
    field = _PLACE.sub("", path).rpartition(".")[2]
    if field.rpartition("_")[2] in NAMES:
        raise _refusal(path)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _checked(key: Any, path: str) -> Any:
    if isinstance(key, str) and _SURROGATE.search(key):
        raise _refusal(path)
    return key


def _refusal(path: str) -> InvalidRequest:
    description = "has half of a surrogate pair in it, which is no character; read it anew, or leave it out"
    return InvalidRequest(
        f"{path}: {description}", reason="INVALID_REQUEST", violations=[FieldViolation(path, description)]
    )

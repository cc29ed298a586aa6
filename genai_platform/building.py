"""Requests out of what Python holds: its texts may have halves of surrogate pairs, which no request can carry.

Such text comes from files that were read with `surrogateescape`, from JavaScript, and from texts that were cut between
the halves. Halves that belong together are joined, and one that is alone becomes U+FFFD, as in providers' answers.
What names or finds something is refused instead: two names must not become one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message

from genai_platform.errors import FieldViolation, InvalidRequest

Built = TypeVar("Built", bound=Message)

NAMES = frozenset(
    {"id", "ids", "name", "key", "prefix", "model", "models", "label", "labels", "aliases", "tags", "token"}
)
"""The last words of the fields that name or find something."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_PLACE = re.compile(r"\[[^\[\]]*\]")


def build(message_type: type[Built], /, **fields: Any) -> Built:
    """The message with these fields, which may be dicts and lists of dicts.

    Raises InvalidRequest for a name that no request can carry, and what the type itself raises.
    """
    return build_at("", message_type, **fields)


def build_at(path: str, message_type: type[Built], /, **fields: Any) -> Built:
    """The same of a message that stands in the request at a path, such as `config`."""
    try:
        return message_type(**fields)
    except UnicodeEncodeError:
        return message_type(**_mended(fields, path))


def _mended(value: Any, path: str) -> Any:
    if isinstance(value, str):
        return _mended_text(value, path)
    if isinstance(value, Mapping):
        return {_checked(key, path): _mended(entry, f"{path}.{key}".lstrip(".")) for key, entry in value.items()}
    if isinstance(value, Message | bytes) or not isinstance(value, Iterable):
        return value
    if isinstance(value, Iterator):
        # What was taken out of it is lost.
        raise _refusal(path)
    return [_mended(entry, f"{path}[{place}]") for place, entry in enumerate(value)]


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

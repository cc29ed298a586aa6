"""The members of a message as its server wrote them, byte for byte."""

from __future__ import annotations

from typing import Any

import msgspec

from services.shared import json_text
from services.shared.json_text import items_of, object_of

MAX_EXACT_BYTES = 1024 * 1024
"""Bytes of JSON that is read once more for its exact bytes; of larger JSON the values are kept."""

_NOTHING = msgspec.Raw(b"")


class _Choice(msgspec.Struct):
    delta: msgspec.Raw = _NOTHING
    message: msgspec.Raw = _NOTHING


class _Completion(msgspec.Struct):
    choices: list[_Choice]


class _Call(msgspec.Struct):
    function: dict[str, msgspec.Raw] = {}


class _Message(msgspec.Struct):
    tool_calls: list[msgspec.Raw] = []


class WrittenMessage:
    """The message of the first choice, or a piece of one, in the JSON `data`; `message` is its decoded form.

    If its bytes cannot be embedded, because a character is cut, or are too many, the decoded value is encoded instead.
    """

    def __init__(self, data: bytes, message: dict[str, Any]) -> None:
        self._message = message
        self._written = _message_in(data) if len(data) <= MAX_EXACT_BYTES else b""
        self._members = _members_of(self._written)
        self._calls: list[msgspec.Raw] | None = None

    def is_of(self, message: dict[str, Any]) -> bool:
        """True if this JSON is the one that was decoded to this very object."""
        return self._message is message

    def member(self, name: str) -> bytes:
        return _exact(self._members, name) or json_text.encode_any(self._message[name])

    def of_call(self, index: int, name: str) -> bytes:
        """A member of one of `tool_calls`."""
        call = items_of(self._message.get("tool_calls"))[index]
        return _exact(_members_of(self._call(index)), name) or json_text.encode_any(call[name])

    def of_function(self, index: int, name: str) -> bytes:
        """A member of the function in one of `tool_calls`."""
        call = items_of(self._message.get("tool_calls"))[index]
        return _exact(self._function(index), name) or json_text.encode_any(object_of(call["function"])[name])

    def _call(self, index: int) -> bytes:
        if self._calls is None:
            self._calls = _calls_in(self._written)
        return bytes(self._calls[index]) if index < len(self._calls) else b""

    def _function(self, index: int) -> dict[str, msgspec.Raw]:
        try:
            return json_text.decode_exactly(self._call(index), _Call).function
        except json_text.Malformed:
            return {}


def _message_in(data: bytes) -> bytes:
    try:
        choices = json_text.decode_exactly(data, _Completion).choices
    except json_text.Malformed:
        return b""
    if not choices:
        return b""
    delta, message = bytes(choices[0].delta), bytes(choices[0].message)
    return delta if delta.startswith(b"{") else message


def _calls_in(written: bytes) -> list[msgspec.Raw]:
    try:
        return json_text.decode_exactly(written, _Message).tool_calls
    except json_text.Malformed:
        return []


def _members_of(data: bytes) -> dict[str, msgspec.Raw]:
    if not data:
        return {}
    try:
        return json_text.raw_members(data.decode())
    except json_text.Malformed:
        return {}


def _exact(members: dict[str, msgspec.Raw], name: str) -> bytes:
    value = members.get(name)
    return b"" if value is None else bytes(value)

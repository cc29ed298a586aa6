"""JSON of a client's body, read by its shape: what is wrong is named by its path in the body."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from services.models.validation.fields import MAX_VIOLATIONS
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.json_text import encode

Shape = TypeVar("Shape")

UNSUPPORTED = "PARAMETER_UNSUPPORTED"
"""The reason of errors about members that make no sense here."""

ABSENT = msgspec.Raw(b"")
"""A member that is not there."""
_NULL = msgspec.Raw(b"null")

INT32, INT64 = range(-(2**31), 2**31), range(-(2**63), 2**63)

_PLACE = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_EXPECTED = re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<given>[^`]+)`")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]+)`")
_NAMES = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}

_ESCAPE = re.compile(rb"\\(?:(?P<pair>u[dD][89abAB]..\\u[dD][c-fC-F]..)|(?P<half>u[dD][89a-fA-F]..)|.)", re.DOTALL)

# Possessive, with an optional closing quote: otherwise an unterminated string would be tried again at each quote in it.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def is_given(value: msgspec.Raw) -> bool:
    """Whether a member is there; null stands for one that is not."""
    return value not in (ABSENT, _NULL)


def begins_with(value: msgspec.Raw, mark: bytes) -> bool:
    """Whether the first byte of a value, which says its kind, is `mark`."""
    return bool(memoryview(value)[:1] == mark)


def has_more_objects(text: bytes, most: int) -> bool:
    """Whether JSON has more than `most` objects, which would take long to decode."""
    # Most texts have too few brackets, those in strings included.
    return len(text) > 2 * most and text.count(b"{") > most and _STRING.sub(b"", text).count(b"{") > most


def with_whole_characters(body: bytes) -> bytes:
    """The JSON with U+FFFD for each half of a surrogate pair, which JavaScript writes as it is."""
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found["half"] else found.group(), body)


def with_description(schema: str, description: str | None) -> str:
    """A JSON Schema with the description of the format that it is of, unless it has one of its own."""
    if not description or not schema.startswith("{") or "description" in _members.decode(schema):
        return schema
    rest = schema[1:].lstrip()
    comma = "" if rest.startswith("}") else ","
    return f'{{"description":{encode(description).decode()}{comma}{rest}'


class Problems:
    """The wrong members of a body."""

    def __init__(self) -> None:
        self._found: list[FieldViolation] = []
        self._reason: str | None = None

    def add(self, path: str, problem: str) -> None:
        """Adds a member that is wrong; "" is the body itself."""
        if len(self._found) < MAX_VIOLATIONS:
            self._found.append(FieldViolation(path, problem))

    def refuse(self, path: str, problem: str) -> None:
        """Adds a member that is right in the vendor's API and has no meaning here."""
        if not self._found:
            self._reason = UNSUPPORTED
        self.add(path, problem)

    def raise_if_any(self) -> None:
        """Raises InvalidRequest naming all of them."""
        if not self._found:
            return
        first = self._found[0]
        more = f" (and {len(self._found) - 1} more)" if len(self._found) > 1 else ""
        told = f"{first.field}: {first.description}" if first.field else f"the body {first.description}"
        violations = [violation for violation in self._found if violation.field]
        raise InvalidRequest(f"{told}{more}", reason=self._reason, violations=violations)

    def read(self, raw: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[Shape], path: str) -> Shape | None:
        """The JSON at `path`; None if it has another shape than that of the decoder, which is a problem."""
        try:
            return decoder.decode(raw)
        except msgspec.ValidationError as error:
            self._add_mismatch(path, str(error))
        except RecursionError:
            self.add(path, "is nested too deep")
        except (msgspec.MsgspecError, UnicodeError):
            self.add(path, "is not valid JSON in UTF-8")
        return None

    def read_text(self, text: bytes, decoder: msgspec.json.Decoder[Shape], path: str) -> Shape | None:
        """As `read`, for bytes that may not be UTF-8."""
        try:
            text.decode()
        except UnicodeDecodeError:
            self.add(path, "is not valid JSON in UTF-8")
            return None
        return self.read(text, decoder, path)

    def _add_mismatch(self, path: str, text: str) -> None:
        """Adds what msgspec says of a value that has another shape."""
        place = _PLACE.search(text)
        inner = place["path"] if place else ""
        if missing := _MISSING.search(text):
            inner += f".{missing['name']}"
        self.add(f"{path}{inner}" if path else inner.removeprefix("."), _sentence(text))


def _sentence(text: str) -> str:
    found = _EXPECTED.search(text)
    if found:
        kinds = [kind for kind in found["wanted"].split(" | ") if kind != "null"]
        return f"must be {' or '.join(map(_name, kinds))}, not {_name(found['given'])}"
    if _MISSING.search(text):
        return "is required"
    return "is out of range" if "range" in text else "has a wrong value"


def _name(kind: str) -> str:
    return _NAMES.get(kind, kind)

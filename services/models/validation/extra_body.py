"""Validation of provider options, and the members of a body that they may not set."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import msgspec

from services.models.validation.fields import shorten
from services.models.validation.limits import MAX_OPTIONS, MAX_SCHEMA_LENGTH
from services.shared.errors import FieldViolation
from services.shared.json_text import is_object, object_problem, raw_members

_NO_LETTERS = re.compile(r"[\W_]+")


def reserved_members_in(options_json: str, reserved: frozenset[str]) -> list[str]:
    """The `reserved` members that a JSON object sets; those of objects within it are named by their path, as `a.b`.

    Raises Malformed for JSON that is no object.
    """
    return list(_reserved_members_in(raw_members(options_json), reserved))


def _reserved_members_in(members: Mapping[str, msgspec.Raw], reserved: frozenset[str]) -> Iterator[str]:
    yield from reserved_in(members, _whole(reserved))
    for parent in _parents(reserved):
        within = _within(parent, reserved)
        for member, value in members.items():
            text = bytes(value).decode()
            if reserved_in([member], frozenset({parent})) and is_object(text):
                yield from (f"{parent}.{path}" for path in _reserved_members_in(raw_members(text), within))


# Cached for the few sets of the platform.


@functools.cache
def _whole(reserved: frozenset[str]) -> frozenset[str]:
    """The members that are reserved themselves."""
    return frozenset(path for path in reserved if "." not in path)


@functools.cache
def _parents(reserved: frozenset[str]) -> Sequence[str]:
    """The members that have reserved ones within them."""
    return sorted({path.partition(".")[0] for path in reserved - _whole(reserved)})


@functools.cache
def _within(parent: str, reserved: frozenset[str]) -> frozenset[str]:
    return frozenset(path.removeprefix(f"{parent}.") for path in reserved if path.startswith(f"{parent}."))


def reserved_in(names: Iterable[str], reserved: frozenset[str]) -> list[str]:
    """The `reserved` names that a server may read one of `names` as.

    Many servers ignore case, as Go's encoding/json does, some ignore `_` and `-`, and in C a name may end at a NUL.
    """
    plain = set(map(_plain, names))
    return [name for name, plainly in _plain_names(reserved) if plainly in plain]


@functools.cache
def _plain_names(reserved: frozenset[str]) -> Sequence[tuple[str, str]]:
    """The names in order, each with its form for comparisons. Cached for the few sets of the platform."""
    return [(name, _plain(name)) for name in sorted(reserved)]


def _plain(name: str) -> str:
    # Some letters beyond ASCII equal an ASCII letter in upper case only.
    return _NO_LETTERS.sub("", name.partition("\0")[0].upper().casefold())


OPTIONS = "provider_options_json"
"""The field with options, of a request and of a function in it."""


def options_violations(options: Mapping[str, str], field: str = OPTIONS) -> Iterator[FieldViolation]:
    if len(options) > MAX_OPTIONS:
        yield FieldViolation(field, f"holds more than {MAX_OPTIONS} entries")
    for provider, value in islice(options.items(), MAX_OPTIONS):
        problem = object_problem(value, MAX_SCHEMA_LENGTH)
        if problem:
            yield FieldViolation(options_field(provider, field), problem)


def options_field(provider: str, field: str = OPTIONS) -> str:
    """The path of a provider's options in a request, or in a field of it."""
    return f"{field}[{shorten(provider)}]"

"""Validation of provider options: JSON objects without the members that the platform writes."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from services.models.validation.fields import shorten
from services.models.validation.limits import MAX_OPTIONS, MAX_SCHEMA_LENGTH
from services.shared.errors import FieldViolation
from services.shared.json_text import object_problem, raw_members

_NO_LETTERS = re.compile(r"[\W_]+")

RESERVED = frozenset(
    {
        "model",
        "messages",
        "input",
        "instructions",
        "previous_response_id",
        "conversation",
        "system",
        "stream",
        "background",
        "n",
    }
)
"""Members that only the platform writes: they would change the question, or ask for several or deferred answers."""


def reserved_in(names: Iterable[str], reserved: frozenset[str] = RESERVED) -> list[str]:
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


def options_violations(options: Mapping[str, str]) -> Iterator[FieldViolation]:
    if len(options) > MAX_OPTIONS:
        yield FieldViolation("provider_options_json", f"holds more than {MAX_OPTIONS} entries")
    for provider, value in islice(options.items(), MAX_OPTIONS):
        yield from _violations(f"provider_options_json[{shorten(provider)}]", value)


def _violations(path: str, options: str) -> Iterator[FieldViolation]:
    problem = object_problem(options, MAX_SCHEMA_LENGTH) or _members_problem(options)
    if problem:
        yield FieldViolation(path, problem)


def _members_problem(options: str) -> str | None:
    reserved = reserved_in(raw_members(options))
    return f"must not set {', '.join(reserved)}: the request itself says them" if reserved else None

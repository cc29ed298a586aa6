"""Checks of a provider's own options: an object of any members but those that the platform writes."""

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
"""Members that only the platform writes: others would ask another question, or for several answers or a later one."""


def reserved_in(names: Iterable[str], reserved: frozenset[str] = RESERVED) -> list[str]:
    """Those of `reserved` that a server may take one of `names` for.

    Many match names without case, as Go's encoding/json does, some without `_` and `-` too, and to one that is written
    in C a name may end at its NUL.
    """
    plain = set(map(_plain, names))
    return [name for name, plainly in _plain_names(reserved) if plainly in plain]


@functools.cache
def _plain_names(reserved: frozenset[str]) -> Sequence[tuple[str, str]]:
    """The names in their order, each with how it is compared: of as many sets as the platform has."""
    return [(name, _plain(name)) for name in sorted(reserved)]


def _plain(name: str) -> str:
    # Some letters beyond ASCII are one of ASCII in upper case only.
    return _NO_LETTERS.sub("", name.partition("\0")[0].upper().casefold())


def options_violations(options: Mapping[str, str]) -> Iterator[FieldViolation]:
    if len(options) > MAX_OPTIONS:
        yield FieldViolation("provider_options_json", f"holds more than {MAX_OPTIONS} entries")
    for provider, value in islice(options.items(), MAX_OPTIONS):
        yield from _violations(f"provider_options_json[{shorten(provider)}]", value)


def _violations(path: str, options: str) -> Iterator[FieldViolation]:
    problem = object_problem(options, MAX_SCHEMA_LENGTH) or _problem_with_members(options)
    if problem:
        yield FieldViolation(path, problem)


def _problem_with_members(options: str) -> str | None:
    reserved = reserved_in(raw_members(options))
    return f"must not set {', '.join(reserved)}: the request itself says them" if reserved else None

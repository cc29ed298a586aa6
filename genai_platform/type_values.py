"""JSON values as values of Python types: the types that `type_schemas` describes."""

from __future__ import annotations

import enum
import json
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, Literal, get_args, get_origin
from uuid import UUID

from genai_platform.type_schemas import (
    OBJECTS,
    is_record,
    is_self_describing,
    is_typed_dict,
    is_union,
    members_of,
    name_of,
)

FROM_TEXT: dict[Any, Callable[[str], Any]] = {
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    UUID: UUID,
}

CONTAINERS: dict[Any, Callable[[Sequence[Any]], Any]] = {set: set, frozenset: frozenset, tuple: tuple}


def read_value(kind: Any, value: Any, path: str = "answer", *, exact: bool = False) -> Any:
    """The value of a type for a decoded JSON value. Raises ValueError naming the place of what is of another type.

    Members that a record does not have are passed over, or refused where `exact`.
    """
    return _Reader(exact).read(kind, value, path)


class _Reader:
    def __init__(self, exact: bool) -> None:
        self._exact = exact

    def read(self, kind: Any, value: Any, path: str) -> Any:
        if get_origin(kind) is not None:
            return self._read_generic(kind, value, path)
        if is_self_describing(kind):
            return kind.model_validate_json(json.dumps(value))
        if is_record(kind):
            return self._read_record(kind, value, path)
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return _read_choice({member.value: member for member in kind}, value, path)
        return _read_scalar(kind, value, path)

    def _read_generic(self, kind: Any, value: Any, path: str) -> Any:
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is typing.Annotated:
            return self.read(arguments[0], value, path)
        if is_union(kind):
            return self._read_union(arguments, value, path)
        if origin is Literal:
            return _read_choice({argument: argument for argument in arguments}, value, path)
        if origin in OBJECTS:
            _check(value, dict, "an object", path)
            return {name: self.read(arguments[1], member, f"{path}.{name}") for name, member in value.items()}
        if origin is tuple and arguments[1:] != (...,):
            return self._read_tuple(arguments, value, path)
        _check(value, list, "a list", path)
        items = [self.read(arguments[0], item, f"{path}[{place}]") for place, item in enumerate(value)]
        return CONTAINERS.get(origin, list)(items)

    def _read_tuple(self, arguments: Sequence[Any], value: Any, path: str) -> tuple[Any, ...]:
        _check(value, list, "a list", path)
        if len(value) != len(arguments):
            raise ValueError(f"{path}: must have {len(arguments)} items")
        return tuple(
            self.read(kind, item, f"{path}[{place}]")
            for place, (kind, item) in enumerate(zip(arguments, value, strict=True))
        )

    def _read_union(self, kinds: Sequence[Any], value: Any, path: str) -> Any:
        """The value of the first type that it fits with nothing left over; else of the first that it fits."""
        for exact in (True,) if self._exact else (True, False):
            for kind in kinds:
                try:
                    return read_value(kind, value, path, exact=exact)
                except ValueError:
                    continue
        raise ValueError(f"{path}: must be one of {', '.join(map(name_of, kinds))}")

    def _read_record(self, kind: Any, value: Any, path: str) -> Any:
        _check(value, dict, "an object", path)
        members = {member.name: member for member in members_of(kind)}
        missing = [name for name, member in members.items() if member.is_required and name not in value]
        extra = [name for name in value if name not in members] if self._exact else []
        if missing or extra:
            raise ValueError(f"{path}: must have the members {', '.join(members)}")
        given = {
            name: self.read(member.type, value[name], f"{path}.{name}")
            for name, member in members.items()
            if name in value
        }
        return given if is_typed_dict(kind) else _construct(kind, given, path)


def _construct(kind: Any, given: Mapping[str, Any], path: str) -> Any:
    try:
        return kind(**given)
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_choice(choices: Mapping[Any, Any], value: Any, path: str) -> Any:
    for choice, meant in choices.items():
        if choice == value and type(choice) is type(value):
            return meant
    raise ValueError(f"{path}: must be one of {', '.join(map(repr, choices))}")


def _read_scalar(kind: Any, value: Any, path: str) -> Any:
    if kind in (Any, object):
        return value
    if kind in FROM_TEXT:
        _check(value, str, "a text", path)
        return FROM_TEXT[kind](value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    expected = type(None) if kind is None else kind
    _check(value, expected, f"a value of type {expected.__name__}", path)
    return value


def _check(value: Any, kind: type, expected: str, path: str) -> None:
    is_bool_for_number = isinstance(value, bool) and kind is not bool
    if not isinstance(value, kind) or is_bool_for_number:
        raise ValueError(f"{path}: must be {expected}")

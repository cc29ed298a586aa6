"""JSON Schemas of Python types: dataclasses, TypedDicts, lists, unions, literals and enums, and of functions.

Classes that describe themselves, such as Pydantic models, may stand anywhere within them.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, Literal, NamedTuple, TypeGuard, Union, get_args, get_origin
from uuid import UUID

DEFINITIONS = "$defs"

SCALARS: dict[Any, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    type(None): {"type": "null"},
    None: {"type": "null"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    time: {"type": "string", "format": "time"},
    UUID: {"type": "string", "format": "uuid"},
    Any: {},
    object: {},
    dict: {"type": "object"},
    list: {"type": "array"},
}

LISTS = (list, set, frozenset, Sequence, Collection)
OBJECTS = (dict, Mapping)

_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns|Raises|Yields|Examples?|Notes?):\s*|:\w[^:\n]*:.*")
_ARGUMENT = re.compile(r"(?::param\s+(?:\w+\s+)?)?(\w+)\s*(?:\([^)\n]*\))?:\s*(\S.*)")


class Member(NamedTuple):
    """A member of an object: a field of a dataclass, or a key of a TypedDict."""

    name: str
    type: Any
    is_required: bool
    description: str


def is_self_describing(value: object) -> bool:
    """Whether a class describes its schema and reads JSON by itself, as a Pydantic model does."""
    return isinstance(value, type) and hasattr(value, "model_json_schema") and hasattr(value, "model_validate_json")


def is_typed_dict(value: object) -> TypeGuard[Any]:
    return typing.is_typeddict(value)


def is_type(value: object) -> bool:
    """Whether a value is a type that may have a schema, such as a class, `list[int]` or `int | None`."""
    return isinstance(value, type) or get_origin(value) is not None


def is_union(kind: object) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def is_record(kind: object) -> bool:
    """Whether a type is a dataclass or a TypedDict."""
    return isinstance(kind, type) and (dataclasses.is_dataclass(kind) or is_typed_dict(kind))


@functools.cache
def members_of(kind: Any) -> Sequence[Member]:
    """The members of a dataclass or a TypedDict."""
    hints = typing.get_type_hints(kind, include_extras=True)
    if is_typed_dict(kind):
        return [_key_of(name, hint, name in kind.__required_keys__) for name, hint in hints.items()]
    return [
        Member(
            field.name,
            hints[field.name],
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
            field.metadata.get("description", "") or description_in(hints[field.name]),
        )
        for field in dataclasses.fields(kind)
        if field.init
    ]


def _key_of(name: str, hint: Any, is_required: bool) -> Member:
    # Where annotations are texts, a TypedDict itself does not see what they say of its keys.
    origin = get_origin(hint)
    if origin in (typing.Required, typing.NotRequired):
        hint, is_required = get_args(hint)[0], origin is typing.Required
    return Member(name, hint, is_required, description_in(hint))


def description_in(hint: Any) -> str:
    """The text in `Annotated[…, "text"]`."""
    notes = get_args(hint)[1:] if get_origin(hint) is typing.Annotated else ()
    return next((note for note in notes if isinstance(note, str)), "")


def describe_type(kind: Any) -> dict[str, Any]:
    """The JSON Schema of a type. Raises TypeError for one that JSON has no values for."""
    describer = _Describer()
    root = describer.describe(kind)
    definitions = describer.definitions
    name = str(root.get("$ref", "")).removeprefix(f"#/{DEFINITIONS}/")
    if name in definitions and not any(root == found for found in _references(definitions)):
        # The root is written in place, unless something within it leads back to it.
        root = definitions.pop(name)
    return {**root, DEFINITIONS: definitions} if definitions else root


def _references(schema: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
    elif isinstance(schema, Mapping):
        if "$ref" in schema:
            yield {"$ref": schema["$ref"]}
        for member in schema.values():
            yield from _references(member)


class _Describer:
    """Describes types; each class is described once, in `definitions`, so that it may hold itself."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}
        self._names: dict[type, str] = {}

    def describe(self, kind: Any) -> dict[str, Any]:
        described = self._describe_generic(kind) if get_origin(kind) is not None else self._describe_plain(kind)
        if described is None:
            raise TypeError(f"{name_of(kind)} has no JSON Schema; use a dataclass, a TypedDict or a Pydantic model")
        return described

    def _describe_generic(self, kind: Any) -> dict[str, Any] | None:
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is typing.Annotated:
            return self.describe(arguments[0]) | _described(description_in(kind))
        if is_union(kind):
            return {"anyOf": [self.describe(argument) for argument in arguments]}
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin is tuple and arguments[1:] != (...,):
            items = [self.describe(argument) for argument in arguments]
            return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
        if origin is tuple or origin in LISTS:
            return {"type": "array", "items": self.describe(arguments[0])}
        if origin in OBJECTS and arguments[0] is str:
            return {"type": "object", "additionalProperties": self.describe(arguments[1])}
        return None

    def _describe_plain(self, kind: Any) -> dict[str, Any] | None:
        if kind in SCALARS:
            return dict(SCALARS[kind])
        if not isinstance(kind, type):
            return None
        if issubclass(kind, enum.Enum):
            return {"enum": [member.value for member in kind]}
        if is_self_describing(kind):
            return self._adopt(kind)
        return self._refer(kind) if is_record(kind) else None

    def _refer(self, kind: type) -> dict[str, Any]:
        if kind not in self._names:
            self._names[kind] = name = kind.__name__
            self._define(name, {})
            self.definitions[name] = self.describe_members(members_of(kind)) | _described(_class_description(kind))
        return {"$ref": f"#/{DEFINITIONS}/{self._names[kind]}"}

    def _adopt(self, kind: Any) -> dict[str, Any]:
        """The schema of a class that describes itself, whose definitions become part of the whole."""
        described = dict(kind.model_json_schema())
        for name, definition in described.pop(DEFINITIONS, {}).items():
            if self.definitions.get(name) != definition:
                self._define(name, definition)
        return described

    def _define(self, name: str, definition: Any) -> None:
        if name in self.definitions:
            raise TypeError(f"two classes of one schema are called {name}; rename one of them")
        self.definitions[name] = definition

    def describe_members(self, members: Sequence[Member]) -> dict[str, Any]:
        properties = {member.name: self.describe(member.type) | _described(member.description) for member in members}
        required = [member.name for member in members if member.is_required]
        return {"type": "object", "properties": properties, "required": required}


def name_of(kind: Any) -> str:
    return kind.__qualname__ if isinstance(kind, type) and get_origin(kind) is None else str(kind)


def _described(description: str) -> dict[str, str]:
    return {"description": description} if description else {}


def _class_description(kind: type) -> str:
    text = inspect.cleandoc(vars(kind).get("__doc__") or "")
    # A dataclass without a docstring has its signature as one.
    return "" if text.startswith(f"{kind.__name__}(") else text


# ------------------------------------------------------------------------------------------------------ functions


def describe_function(path: str, function: Callable[..., Any]) -> dict[str, Any]:
    """The fields of the tool that a function is: its name, docstring and parameters.

    A parameter is described by `Annotated[…, "text"]`, or by its line in the docstring. Raises TypeError for a function
    that a model cannot call: one without a name, or whose parameters have no names or no JSON Schema.
    """
    name = getattr(function, "__name__", "")
    if not name.isidentifier():
        raise TypeError(f"{path}: must be a ToolDefinition, a dict of its fields, or a function with a name")
    text, told = read_docstring(inspect.getdoc(function) or "")
    try:
        members = [
            member._replace(description=member.description or told.get(member.name, ""))
            for member in _parameters_of(function)
        ]
        describer = _Describer()
        parameters = describer.describe_members(members)
    except (TypeError, NameError) as error:
        raise TypeError(f"{path}: the parameters of {name} cannot be described: {error}") from None
    definitions = {DEFINITIONS: describer.definitions} if describer.definitions else {}
    return {"name": name, "description": text, "parameters": parameters | definitions}


def _parameters_of(function: Callable[..., Any]) -> Iterator[Member]:
    hints = typing.get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{parameter} cannot be given by name")
        hint = hints.get(name, Any)
        yield Member(name, hint, parameter.default is parameter.empty, description_in(hint))


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The text of a docstring before its sections, and the lines about arguments, as Google or Sphinx have them."""
    lines = text.splitlines()
    end = next((place for place, line in enumerate(lines) if _SECTION.fullmatch(line)), len(lines))
    told: dict[str, str] = {}
    name = ""
    for line in map(str.strip, lines[end:]):
        if _SECTION.fullmatch(line) and not line.startswith(":param"):
            name = ""
        elif found := _ARGUMENT.fullmatch(line):
            name = found[1]
            told[name] = found[2]
        elif name and line:
            told[name] += f" {line}"
    return "\n".join(lines[:end]).strip(), told

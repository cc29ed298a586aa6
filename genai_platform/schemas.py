"""JSON Schemas of answers, and the response format that asks for one.

A schema is a JSON Schema as a dict; a type, such as a dataclass, a TypedDict, `list[int]` or a union; a Pydantic model,
or any class with the same two class methods.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import UnionType
from typing import Any, cast

from genai_platform.type_schemas import describe_type, is_self_describing, is_type

MAX_NAME_LENGTH = 64
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")

# The keywords of JSON Schema that hold schemas: as the values of an object, as the items of a list, or one by itself.
SCHEMA_MAPS = ("properties", "$defs", "definitions")
SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
SCHEMAS = ("items", "additionalProperties")

ALTERNATIVES = frozenset({"anyOf", "oneOf"})
DEFINITIONS = ("$defs", "definitions")
_TO_DEFINITIONS = tuple(f"#/{name}/" for name in DEFINITIONS)

VALUE = "value"
"""The only member of the object that wraps a value of another type."""


Schema = type[Any] | UnionType | Mapping[str, Any]


def describe_format(schema: Schema, strict: bool | None = True) -> dict[str, Any]:
    """The fields of the response format for `schema`.

    The schema of a class has all of its properties required, also those with defaults: some providers support no
    optional ones. A dict is sent unchanged. A schema of another type than object, such as a list or a union, is wrapped
    as the only member of an object: providers enforce schemas of objects only.
    """
    title, described = describe_schema(schema)
    if not is_object(described):
        described = _wrap(described)
    name = _NO_NAME.sub("_", title[:MAX_NAME_LENGTH])
    schema_json = json.dumps(described, ensure_ascii=False)
    return {"type": "json_schema", "schema_json": schema_json, "name": name, "strict": strict}


def describe_schema(schema: Schema) -> tuple[str, dict[str, Any]]:
    """The name and the JSON Schema of a schema."""
    if isinstance(schema, Mapping):
        return str(schema.get("title", "")), dict(schema)
    if not is_type(schema):
        raise TypeError("schema must be a JSON Schema as a dict, or a type such as a dataclass or a Pydantic model")
    described = cast(Any, schema).model_json_schema() if is_self_describing(schema) else describe_type(schema)
    return getattr(schema, "__name__", "") if isinstance(schema, type) else "", _require_all(described)


def is_object(schema: Mapping[str, Any]) -> bool:
    """Whether all values of a schema are objects; an `anyOf` or `oneOf` at the root counts as no."""
    seen: set[str] = set()
    root: Any = schema
    while isinstance(root, Mapping) and "type" not in root and isinstance(root.get("$ref"), str):
        if root["$ref"] in seen:
            return False
        seen.add(root["$ref"])
        root = _find(schema, root["$ref"])
    if not isinstance(root, Mapping) or not ALTERNATIVES.isdisjoint(root):
        return False
    return root.get("type") == "object" or ("type" not in root and "properties" in root)


def _find(schema: Mapping[str, Any], reference: str) -> Any:
    """The definition that a reference names; None for a reference to anything else."""
    kind, _, name = reference.removeprefix("#/").partition("/")
    definitions = schema.get(kind) if kind in DEFINITIONS else None
    return definitions.get(name) if isinstance(definitions, Mapping) else None


def _wrap(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an object whose only member has the given schema."""
    definitions = {name: _moved(schema[name]) for name in DEFINITIONS if name in schema}
    value = _moved({name: member for name, member in schema.items() if name not in DEFINITIONS})
    members = {"properties": {VALUE: value}, "required": [VALUE], "additionalProperties": False}
    return {"type": "object", **members, **definitions}


def _moved(schema: Any) -> Any:
    """A part of a wrapped schema, with references to its old root corrected; definitions stay at the root."""
    if isinstance(schema, list):
        return [_moved(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    moved = {name: _moved(member) for name, member in schema.items()}
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#") and not reference.startswith(_TO_DEFINITIONS):
        moved["$ref"] = f"#/properties/{VALUE}{reference[1:]}"
    return moved


def _require_all(schema: Any) -> Any:
    """The schema with all properties required, in every object within it."""
    if not isinstance(schema, dict):
        return schema
    required = dict(schema)
    for name in SCHEMA_MAPS:
        if name in schema:
            required[name] = {key: _require_all(value) for key, value in schema[name].items()}
    for name in SCHEMA_LISTS:
        if name in schema:
            required[name] = [_require_all(value) for value in schema[name]]
    for name in SCHEMAS:
        if name in schema:
            required[name] = _require_all(schema[name])
    if "properties" in schema:
        required["required"] = list(schema["properties"])
    return required

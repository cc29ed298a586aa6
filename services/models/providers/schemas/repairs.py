"""Repairs of JSON Schemas: keywords that OpenAI and Anthropic refuse are rewritten in a form that they accept.

Generators of schemas leave out what a list holds ("array schema missing items"), write types in the words of Python or
of Google's API ("'any' is not valid under any of the given schemas"), say `required` of the property itself, as drafts
before the fourth did ("True is not of type 'array'"), write null for what they do not say ("None is not of type
'array'") and, in PHP, a list for an object without members ("[] is not of type 'object'").
"""

from __future__ import annotations

from typing import Any

from services.shared import json_text
from services.shared.bounded_cache import BoundedCache
from services.shared.json_text import CACHED_TEXT_LENGTH, items_of, object_of

JSON_TYPES = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})
TYPE_SYNONYMS = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "double": "number",
    "bool": "boolean",
    "list": "array",
    "tuple": "array",
    "dict": "object",
    "none": "null",
}
"""Types in the words of Python, and what JSON Schema calls them."""
ANY_TYPE = "any"
"""The word for any type, which is not a JSON Schema type."""
MAPS = ("properties", "patternProperties", "$defs", "definitions")
LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
ALONE = ("items", "additionalProperties", "not")
VALUES = frozenset({"default", "const", "example"})
"""Keywords whose value may be any, null too."""
MAX_DEPTH = 64

REPAIR_WORK = 64
FIRST_REPAIR_WORK = 16
"""Work of a repair at worst, as a multiple of the schema's length as plain text: without a cache, and with the cached
result in most calls."""


def work_to_repair(schema_json: str) -> int:
    """The estimated work of a repair, in bytes of plain text."""
    return (REPAIR_WORK if len(schema_json) > CACHED_TEXT_LENGTH else FIRST_REPAIR_WORK) * len(schema_json)


def repair_schema(schema_json: str, *, with_items: bool) -> str:
    """The repaired schema; byte for byte the given one if no repair was needed. `with_items`: every list must have
    `items`."""
    repair = _repair if len(schema_json) > CACHED_TEXT_LENGTH else _cached_repair
    return repair(schema_json, with_items)


def _repair(schema_json: str, with_items: bool) -> str:
    try:
        schema = json_text.decode(schema_json.encode())
    except (json_text.Malformed, UnicodeEncodeError):
        return schema_json
    repairs = _Repairs(with_items)
    repairs.repair(schema, MAX_DEPTH)
    return json_text.encode_any(schema).decode() if repairs.has_changed else schema_json


_cached_repair = BoundedCache(_repair)


class _Repairs:
    """One walk over one schema, which it changes."""

    def __init__(self, with_items: bool) -> None:
        self._with_items = with_items
        self.has_changed = False

    def repair(self, schema: Any, depth: int) -> None:
        """Repairs a schema, and those within it."""
        if not isinstance(schema, dict) or not depth:
            return
        self._fill_maps(schema)
        self._name_type(schema)
        if self._with_items and "items" not in schema and "array" in _types(schema):
            self._set(schema, "items", {})
        for name in MAPS:
            for child in object_of(schema.get(name)).values():
                self.repair(child, depth - 1)
        for name in LISTS:
            for child in items_of(schema.get(name)):
                self.repair(child, depth - 1)
        for name in ALONE:
            self.repair(schema.get(name), depth - 1)
        self._gather_required(schema)

    def _fill_maps(self, schema: dict[str, Any]) -> None:
        """Removes members that are null, and replaces empty lists by empty objects where objects must be."""
        for name in [name for name, value in schema.items() if value is None and name not in VALUES]:
            del schema[name]
            self.has_changed = True
        for name in MAPS:
            if schema.get(name) == []:
                self._set(schema, name, {})

    def _name_type(self, schema: dict[str, Any]) -> None:
        given = _types(schema)
        named = [_named(word) for word in given]
        if ANY_TYPE in named:
            del schema["type"]
            self.has_changed = True
        elif named != given:
            self._set(schema, "type", named[0] if isinstance(schema["type"], str) else named)

    def _gather_required(self, schema: dict[str, Any]) -> None:
        """Moves `required` from properties into the list of the object."""
        marked = {name: child for name, child in object_of(schema.get("properties")).items() if _says_required(child)}
        if not marked:
            return
        required = [name for name, child in marked.items() if child.pop("required")]
        known = items_of(schema.get("required"))
        known_names = {name for name in known if isinstance(name, str)}
        if missing := [name for name in required if name not in known_names]:
            schema["required"] = [*known, *missing]
        self.has_changed = True

    def _set(self, schema: dict[str, Any], name: str, value: Any) -> None:
        schema[name] = value
        self.has_changed = True


def _types(schema: dict[str, Any]) -> list[str]:
    types = schema.get("type")
    return [word for word in (types if isinstance(types, list) else [types]) if isinstance(word, str)]


def _named(word: str) -> str:
    small = word.lower()
    if small in JSON_TYPES or small == ANY_TYPE:
        return small
    return TYPE_SYNONYMS.get(small, word)


def _says_required(schema: Any) -> bool:
    return isinstance(schema, dict) and isinstance(schema.get("required"), bool)

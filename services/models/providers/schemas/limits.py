"""Parts of a JSON Schema that cannot be enforced by providers that want every object closed and every schema typed.

A map (`dict[str, int]`) would become an object without members, so that the only answer would be an empty one. Such a
schema is sent without enforcement, or as a tool, and never emptied.

OpenAI refuses both ("schema must have a 'type' key"; https://developers.openai.com/api/docs/guides/structured-outputs,
`additionalProperties: false` must always be set), Anthropic the first
(https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations).
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from services.models.providers.schemas.joins import is_object
from services.models.providers.schemas.nodes import FALSE, Node, Value, items_in, members_of
from services.shared.bounded_cache import BoundedCache
from services.shared.json_text import CACHED_TEXT_LENGTH

TRUE = msgspec.Raw(b"true")

SCHEMA_MAPS = ("properties", "$defs", "definitions")
SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")

TYPE_KEYWORDS = frozenset({"type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const", "properties", "items"})
"""Keywords by which a schema's type is given, or can be."""
PROPERTY_KEYWORDS = frozenset({"$ref", "anyOf", "oneOf", "allOf"})
"""Keywords beside which an object may have properties that it does not name itself."""

MAX_NAME_LENGTH = 128
"""Characters of a property's name in a message: a name may be as long as the schema."""


def first_limit(schema_json: str, *, typed: bool, is_of_tool: bool = False) -> str:
    """The path and the kind of the first part that cannot be enforced; "" if all can be. Schemas without a type count
    only if all must be `typed`. An empty object schema is a tool without arguments if the schema `is_of_tool`, and an
    object with any members elsewhere."""
    find = _cached_limit if len(schema_json) <= CACHED_TEXT_LENGTH else _find_limit
    return find(schema_json, (typed, is_of_tool))


def _find_limit(schema_json: str, rules: tuple[bool, bool]) -> str:
    root = members_of(msgspec.Raw(schema_json.encode()))
    typed, is_of_tool = rules
    if root is None:
        return ""
    says_nothing = "additionalProperties" not in root and "patternProperties" not in root
    problem = "" if is_of_tool and says_nothing else _problem_with(root)
    if problem:
        return f"$ {problem}"
    return next(_limits_within(root, "$", typed=typed), "")


_cached_limit = BoundedCache(_find_limit)


def _limits(schema: Value, path: str, *, typed: bool) -> Iterator[str]:
    node = members_of(schema)
    if node is None:
        if typed and schema == TRUE:
            yield f"{path} has no type"
        return
    if problem := _problem_with(node):
        yield f"{path} {problem}"
    elif typed and not node.keys() & TYPE_KEYWORDS:
        yield f"{path} has no type"
    yield from _limits_within(node, path, typed=typed)


def _limits_within(node: Node, path: str, *, typed: bool) -> Iterator[str]:
    for keyword in SCHEMA_MAPS:
        for name, schema in (members_of(node.get(keyword)) or {}).items():
            yield from _limits(schema, f"{path}.{keyword}.{name[:MAX_NAME_LENGTH]}", typed=typed)
    for keyword in SCHEMA_LISTS:
        for index, schema in enumerate(items_in(node.get(keyword)) or ()):
            yield from _limits(schema, f"{path}.{keyword}[{index}]", typed=typed)
    if "items" in node:
        yield from _limits(node["items"], f"{path}.items", typed=typed)


def _problem_with(node: Node) -> str:
    """The problem with an object that is a map, is declared open, or has no properties but open ones."""
    if "patternProperties" in node:
        return "has properties of any name"
    if not is_object(node):
        return ""
    others = node.get("additionalProperties")
    if members_of(others):
        return "has properties of any name"
    if others == TRUE or members_of(others) is not None:
        return "takes any properties"
    if others != FALSE and not members_of(node.get("properties")) and not node.keys() & PROPERTY_KEYWORDS:
        return "takes any properties"
    return ""

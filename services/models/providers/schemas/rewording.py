"""Schemas rewritten in keywords that providers enforce, with the same meaning or the nearest one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.models.providers.schemas.joins import DEFINITIONS
from services.models.providers.schemas.nodes import NULL, Node, Value, items_in, members_of, words_in

UNQUOTED_KEYWORDS = frozenset({"$schema", "$id", "$comment", "$anchor", "$vocabulary", "discriminator"})
"""Keywords without a meaning for the model: they are removed, and not quoted in the description."""


TYPE_NAMES = {b'"': "string", b"{": "object", b"[": "array", b"t": "boolean", b"f": "boolean", b"n": "null"}
"""Names of types by the first byte of a value; all other values are numbers."""


NULL_SCHEMA = msgspec.Raw(b'{"type":"null"}')


def with_type(node: Node) -> Node:
    """The schema with the type that its values, its properties or its items have."""
    if node.keys() & {"type", "$ref", "anyOf", "allOf"}:
        return node
    types: Sequence[Value] = _types_of([node["const"]] if "const" in node else items_in(node.get("enum")) or ())
    types = types or [name for keyword, name in (("properties", "object"), ("items", "array")) if keyword in node][:1]
    if not types:
        return node
    return {"type": types[0] if len(types) == 1 else types, **node}


def _types_of(values: Sequence[Value]) -> list[Value]:
    """The names of the types of values, each once."""
    return list(
        dict.fromkeys(TYPE_NAMES.get(bytes(value)[:1], "number") for value in values if isinstance(value, msgspec.Raw))
    )


def has_default(schema: Value) -> bool:
    """Whether a schema has a default which is not null."""
    default = (members_of(schema) or {}).get("default")
    return default is not None and default != NULL


def any_of_keyword(node: Node) -> str | None:
    """The keyword that `anyOf` replaces: one of alternatives, or a reference that has other members beside it."""
    if "anyOf" in node:
        return None
    if "oneOf" in node:
        return "oneOf"
    if "allOf" in node and len(items_in(node["allOf"]) or ()) == 1:
        # `allOf` with one entry means the same as `anyOf`.
        return "allOf"
    return "$ref" if "$ref" in node and node.keys() - {"$ref", *DEFINITIONS} else None


def as_any_of(node: Node, word: str) -> Node:
    alternatives = [{"$ref": node["$ref"]}] if word == "$ref" else node[word]
    return {("anyOf" if name == word else name): (alternatives if name == word else node[name]) for name in node}


def nullable(schema: Value) -> Value:
    """The schema of a property that may also be null."""
    members = members_of(schema)
    if members is None or _takes_null(members):
        return schema
    return {"anyOf": [schema, NULL_SCHEMA]}


def _takes_null(node: Node) -> bool:
    if "null" in words_in(node.get("type")):
        return True
    if any(_takes_null(branch) for branch in map(members_of, items_in(node.get("anyOf")) or ()) if branch):
        return True
    return any(value == NULL for value in (node.get("const"), *(items_in(node.get("enum")) or ())))


def is_meaningful(name: str, value: Value) -> bool:
    return name not in UNQUOTED_KEYWORDS and not (name == "default" and value == NULL)

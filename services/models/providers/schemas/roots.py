"""Root of a JSON Schema, where providers want an object."""

from __future__ import annotations

import msgspec

from services.models.providers.schemas.joins import Definitions
from services.models.providers.schemas.nodes import Node, members_of, text_in
from services.shared import json_text


def type_root(schema_json: str) -> str:
    """The schema with an object at its root: the one that it refers to, or itself with the type added if it has
    properties. Byte for byte the given one if it is one already."""
    given = members_of(msgspec.Raw(schema_json.encode())) or {}
    if "type" in given or not given.keys() & {"$ref", "properties"}:
        return schema_json
    root = resolve_root(given, Definitions(given))
    if "type" not in root and "properties" in root:
        root = {"type": "object", **root}
    return schema_json if root is given else json_text.encode(root).decode()


def resolve_root(root: Node, definitions: Definitions) -> Node:
    """The schema with a root that is only a reference replaced by its definition: providers want an object there."""
    target = definitions.find(text_in(root.get("$ref")))
    return {**target, **{name: value for name, value in root.items() if name != "$ref"}} if target else root

"""Schemas of tools' arguments as providers take them at the root: an object that says so.

Many tools come with `{}`, or without a type. OpenAI refuses such ("object schema missing properties", "schema must have
type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level"), and so does Anthropic
("input_schema.type: Field required", "input_schema does not support oneOf, allOf, or anyOf at the top level").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from proto import models_pb2
from services.models.providers.notices import Notices, schema_changed
from services.models.providers.schemas.joins import Definitions, describe
from services.models.providers.schemas.nodes import Node, Value, items_in, members_of, quoted, text_in, words_in
from services.models.providers.schemas.repairs import repair_schema
from services.models.providers.schemas.roots import resolve_root
from services.shared import json_text

ALTERNATIVES = ("anyOf", "oneOf", "allOf")

OBJECT = msgspec.Raw(b'"object"')
NO_PROPERTIES = msgspec.Raw(b"{}")


class ToolSchema(NamedTuple):
    """A schema of arguments; `problem` is the description of an error that cannot be repaired."""

    text: str
    notices: Sequence[models_pb2.Notice] = ()
    problem: str = ""


def fit_root(schema_json: str, field: str, provider: str, *, with_properties: bool, plain_root: bool) -> ToolSchema:
    """The schema with an object as its root, and with `properties` if the provider wants them; byte for byte the given
    one if it is one already.

    Alternatives at the root are joined to one object where it must be a `plain_root`, and described in its description.
    """
    schema_json = repair_schema(schema_json, with_items=with_properties and plain_root)
    given = members_of(msgspec.Raw(schema_json.encode()))
    if given is None:
        return ToolSchema(schema_json)
    definitions = Definitions(given)
    root = resolve_root(given, definitions)
    words = words_in(root.get("type"))
    if words and "object" not in words:
        return ToolSchema(schema_json, problem=f'must be of type "object", not {", ".join(words)[:64]}')
    changed = dict(root)
    if list(words) != ["object"] or not text_in(root.get("type")):
        changed = {"type": OBJECT, **{name: value for name, value in root.items() if name != "type"}}
    notices: Notices = []
    alternatives = [name for name in ALTERNATIVES if name in changed]
    if plain_root and alternatives:
        changed = _joined(changed, alternatives, definitions)
        text = f"{provider} takes no {', '.join(alternatives)} at the root; the alternatives were joined to one object"
        notices.append(schema_changed(field, text))
    if with_properties and members_of(changed.get("properties")) is None:
        changed["properties"] = NO_PROPERTIES
    if changed == given:
        return ToolSchema(schema_json)
    return ToolSchema(json_text.encode(changed).decode(), notices)


def _joined(root: dict[str, Value], alternatives: Sequence[str], definitions: Definitions) -> dict[str, Value]:
    """The object with the properties of its alternatives; a property is required if every alternative requires it."""
    properties: dict[str, Value] = dict(members_of(root.get("properties")) or {})
    required = dict.fromkeys(_required(root))
    described = []
    for keyword in alternatives:
        parts = [_resolved(schema, definitions) for schema in items_in(root[keyword]) or ()]
        for part in parts:
            for name, schema in (members_of(part.get("properties")) or {}).items():
                properties.setdefault(name, schema)
        demanded = [set(_required(part)) for part in parts]
        shared = set.union(*demanded) if keyword == "allOf" and demanded else set.intersection(*demanded or [set()])
        required |= dict.fromkeys(name for name in properties if name in shared)
        described.append(f"{keyword}: {quoted(root[keyword])}")
    kept = {name: value for name, value in root.items() if name not in alternatives}
    whole: Node = {**kept, "properties": properties, **({"required": list(required)} if required else {})}
    return dict(describe(whole, ", ".join(described)))


def _resolved(schema: Value, definitions: Definitions) -> Node:
    node = members_of(schema) or {}
    return definitions.find(text_in(node.get("$ref"))) or node


def _required(node: Node) -> list[str]:
    return [name for name in map(text_in, items_in(node.get("required")) or ()) if name]

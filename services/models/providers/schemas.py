"""Fits JSON Schemas to the subsets that providers enforce.

A provider that enforces a schema refuses one with keywords that it cannot enforce. Those are taken out and written into
the description beside them, where the model still reads them. Whatever needs no change stays as its exact bytes, keys
in their order.

Sources: https://platform.claude.com/docs/en/build-with-claude/structured-outputs ("JSON Schema limitations"),
https://developers.openai.com/api/docs/guides/structured-outputs ("Supported schemas"), and what the vendors' SDKs do
to schemas before they send them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from proto import models_pb2
from services.models.providers.json_text import CACHED_TEXT_LENGTH, raw
from services.models.providers.schema_nodes import (
    Node,
    embedded,
    is_same,
    items_in,
    members_of,
    number_in,
    says,
    text_in,
)

MAX_CHANGES_SHOWN = 10

COMMON_KEYWORDS = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const", "title"}
    | {"description", "$ref", "$defs", "definitions", "format", "pattern", "minItems"}
)
COMMON_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"},
)

SCHEMA_MAPS = ("properties", "$defs", "definitions")
SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
UNTOLD = frozenset({"$schema", "$id", "$comment", "$anchor", "$vocabulary", "discriminator"})
"""Keywords that say nothing to a model: taken out without a word in the description."""

MAX_JOINED_BYTES = 64 * 1024

PLAIN_OBJECT_KEYWORDS = frozenset({"type", "properties", "required", "additionalProperties", "title", "description"})
"""All that a schema says which can be joined with others to one object."""

FALSE = raw("false")
NULL_SCHEMA = raw('{"type":"null"}')

LOOKAROUND = re.compile(r"\(\?(?:[=!]|<[=!])")
LOOKAROUND_OR_REFERENCE = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9bB]")


@dataclass(frozen=True, slots=True)
class SchemaRules:
    """What a provider takes of JSON Schema."""

    closed_objects: bool = True
    """Every object must say `additionalProperties: false`."""
    all_required: bool = False
    """Every property must be required; one that was optional may then be null, unless it has a default."""
    keywords: frozenset[str] = COMMON_KEYWORDS
    """What is enforced. Everything else is taken out."""
    formats: frozenset[str] = COMMON_FORMATS
    """The formats of strings that are enforced."""
    max_min_items: int | None = None
    """The largest `minItems`."""
    refused_patterns: re.Pattern[str] = LOOKAROUND
    """What a `pattern` must not contain."""


ANTHROPIC_OUTPUT = SchemaRules(
    keywords=COMMON_KEYWORDS | {"default", "allOf"},
    formats=COMMON_FORMATS | {"uri"},
    max_min_items=1,
    refused_patterns=LOOKAROUND_OR_REFERENCE,
)
OPENAI_STRICT = SchemaRules(
    all_required=True,
    keywords=COMMON_KEYWORDS
    | {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf", "maxItems", "prefixItems"},
)


def fit_schema(schema_json: str, rules: SchemaRules, field: str, provider: str) -> tuple[str, list[models_pb2.Notice]]:
    """The schema as the provider takes it, byte for byte the given one where nothing had to change, and a
    `SCHEMA_CHANGED` notice for `field` that says what was changed.

    What means the same in other words, such as a `$ref` beside a description as `anyOf` of one, is rewritten without a
    notice. Whatever is no schema stays for the provider to judge.
    """
    # The same schemas come with every call of an application.
    fit = _cached_fit if len(schema_json) <= CACHED_TEXT_LENGTH else _fit
    fitted, changes = fit(schema_json, rules)
    if not changes:
        return fitted, []
    shown = "; ".join(changes[:MAX_CHANGES_SHOWN])
    more = f"; and {len(changes) - MAX_CHANGES_SHOWN} more" if len(changes) > MAX_CHANGES_SHOWN else ""
    message = f"{provider} enforces a part of JSON Schema only, so the schema was changed: {shown}{more}"
    return fitted, [models_pb2.Notice(code="SCHEMA_CHANGED", field=field, message=message)]


def _fit(schema_json: str, rules: SchemaRules) -> tuple[str, tuple[str, ...]]:
    given = raw(schema_json)
    fitting = _Fitting(rules, _definitions(given))
    fitted = fitting.fit(_resolve_root(given), "$")
    if fitted is given:
        return schema_json, ()
    return bytes(fitted).decode(), tuple(fitting.changes)


_cached_fit = lru_cache(maxsize=512)(_fit)


def _definitions(schema: msgspec.Raw) -> Mapping[str, msgspec.Raw]:
    """The schemas that others refer to, by the references to them."""
    root = members_of(schema) or {}
    tables = {table: members_of(root.get(table)) or {} for table in ("$defs", "definitions")}
    return {f"#/{table}/{name}": definition for table in tables for name, definition in tables[table].items()}


def _resolve_root(schema: msgspec.Raw) -> msgspec.Raw:
    """The schema with a root that is only a reference put in its place: providers want an object there."""
    members = members_of(schema)
    reference = text_in(members.get("$ref")) if members else None
    if members is None or reference is None:
        return schema
    for table in ("$defs", "definitions"):
        definitions = members_of(members.get(table))
        prefix = f"#/{table}/"
        if definitions and reference.startswith(prefix):
            target = members_of(definitions.get(reference.removeprefix(prefix)))
            if target:
                others = {name: value for name, value in members.items() if name != "$ref"}
                return embedded({**target, **others})
    return schema


class _Fitting:
    """One walk over one schema. References are not followed: what they name is walked in its own place, once."""

    def __init__(self, rules: SchemaRules, definitions: Mapping[str, msgspec.Raw]) -> None:
        self._rules = rules
        self._definitions = definitions
        self._resolved_definitions: dict[str, Node | None] = {}
        self._room = MAX_JOINED_BYTES
        """For definitions that are written again where several are joined: each may be referred to from anywhere."""
        self.changes: list[str] = []
        """What was changed, each with its place."""

    def fit(self, schema: msgspec.Raw, path: str) -> msgspec.Raw:
        """The schema as the provider takes it; the same object where nothing had to change."""
        written = members_of(schema)
        if written is None:
            # `true` and `false` are schemas too.
            return schema
        given = self._join_objects(written)
        node = self._fit_children(given, path)
        node = _reword(node)
        if "oneOf" in given and "oneOf" not in node:
            self.changes.append(f"{path} with anyOf for oneOf")
        node = self._take_out(node, path)
        if _is_object(node):
            node = self._close(node, path)
            if self._rules.all_required:
                node = self._require_all(node, given, path)
        return schema if is_same(node, written) else embedded(node)

    def _join_objects(self, node: Node) -> Node:
        """The node with all the objects that it must be at once as one: when each of them is closed by itself, none
        takes what the others ask for."""
        given = items_in(node.get("allOf")) or []
        if len(given) < 2 or not self._rules.closed_objects:
            return node
        described = {name: value for name, value in node.items() if name != "allOf"}
        objects = [self._plain_object(schema) for schema in given]
        self._room -= sum(len(bytes(value)) for joined in objects if joined for value in joined.values())
        if self._room < 0:
            return node
        properties: dict[str, msgspec.Raw] = {}
        required: list[str] = []
        for joined in (*objects, described):
            if joined is None:
                return node
            for name, schema in (members_of(joined.get("properties")) or {}).items():
                if bytes(properties.setdefault(name, schema)) != bytes(schema):
                    return node
            required += [name for name in map(text_in, items_in(joined.get("required")) or ()) if name]
        members = {"properties": embedded(properties), "required": embedded(list(dict.fromkeys(required)))}
        whole = {"type": raw('"object"'), **described, **members}
        told = [text for joined in objects if joined and (text := text_in(joined.get("description")))]
        return _described(whole, "; ".join(told)) if told else whole

    def _excludes_itself(self, all_of: msgspec.Raw) -> bool:
        """Whether it holds several schemas of objects, which take nothing together once each of them is closed."""
        schemas = items_in(all_of) or []
        if len(schemas) < 2 or not self._rules.closed_objects:
            return False
        return any(_is_object(node) for node in map(self._resolved, schemas) if node)

    def _resolved(self, schema: msgspec.Raw) -> Node | None:
        """The members of a schema, or of the one that it refers to with nothing beside it."""
        node = members_of(schema)
        if node is None or node.keys() != {"$ref"}:
            return node
        reference = text_in(node["$ref"]) or ""
        if reference not in self._resolved_definitions:
            self._resolved_definitions[reference] = members_of(self._definitions.get(reference))
        return self._resolved_definitions[reference]

    def _plain_object(self, schema: msgspec.Raw) -> Node | None:
        """A schema, or the one that it refers to, if it says no more than which properties an object has."""
        node = self._resolved(schema)
        if node is None or node.keys() - PLAIN_OBJECT_KEYWORDS or not _is_object(node):
            return None
        return node if members_of(node.get("additionalProperties")) is None else None

    def _fit_children(self, given: Node, path: str) -> Node:
        node = dict(given)
        for name in SCHEMA_MAPS:
            if name in given:
                node[name] = self._fit_map(given[name], f"{path}.{name}")
        for name in SCHEMA_LISTS:
            if name in given and not (name == "allOf" and self._excludes_itself(given[name])):
                node[name] = self._fit_list(given[name], f"{path}.{name}")
        if "items" in given:
            node["items"] = self.fit(given["items"], f"{path}.items")
        return node

    def _fit_map(self, schemas: msgspec.Raw, path: str) -> msgspec.Raw:
        given = members_of(schemas)
        if given is None:
            return schemas
        fitted = {name: self.fit(schema, f"{path}.{name}") for name, schema in given.items()}
        return schemas if is_same(fitted, given) else embedded(fitted)

    def _fit_list(self, schemas: msgspec.Raw, path: str) -> msgspec.Raw:
        given = items_in(schemas)
        if given is None:
            return schemas
        fitted = [self.fit(schema, f"{path}[{index}]") for index, schema in enumerate(given)]
        unchanged = all(new is old for new, old in zip(fitted, given, strict=True))
        return schemas if unchanged else embedded(fitted)

    def _take_out(self, node: Node, path: str) -> Node:
        """The node without the keywords that cannot be enforced, which go into its description."""
        out = {name: value for name, value in node.items() if self._must_go(name, value)}
        if not out:
            return node
        self.changes.append(f"{path} without {', '.join(out)}")
        kept = {name: value for name, value in node.items() if name not in out}
        told = ", ".join(f"{name}: {bytes(value).decode()}" for name, value in out.items() if _tells(name, value))
        return _described(kept, told) if told else kept

    def _must_go(self, name: str, value: msgspec.Raw) -> bool:
        if name not in self._rules.keywords:
            return True
        if name == "allOf":
            return self._excludes_itself(value)
        if name == "format":
            return text_in(value) not in self._rules.formats
        if name == "pattern":
            return bool(self._rules.refused_patterns.search(text_in(value) or ""))
        if name == "minItems" and self._rules.max_min_items is not None:
            return number_in(value) not in range(self._rules.max_min_items + 1)
        return False

    def _close(self, node: Node, path: str) -> Node:
        """The object with no properties but those it names."""
        others = node.get("additionalProperties")
        if not self._rules.closed_objects or says(others, "false"):
            return node
        self.changes.append(f"{path} with no properties but its own")
        closed = {**node, "additionalProperties": FALSE}
        closed.setdefault("properties", raw("{}"))
        if others is None or members_of(others) is None:
            return closed
        return _described(closed, f"additionalProperties: {bytes(others).decode()}")

    def _require_all(self, node: Node, given: Node, path: str) -> Node:
        """The object with all its properties required. One that could be left out may be null, unless it has a
        default: then the model writes a value, as every answer must be one that the given schema takes too."""
        properties = members_of(node.get("properties")) or {}
        required = {text_in(name) for name in items_in(node.get("required")) or ()}
        if required == properties.keys() and {"properties", "required"} <= node.keys():
            return node
        optional = properties.keys() - required
        if optional:
            names = ", ".join(name for name in properties if name in optional)
            self.changes.append(f"{path} requires {names} too, as null where there is no default")
        free = optional - _with_default(given)
        fitted = {name: _nullable(schema) if name in free else schema for name, schema in properties.items()}
        return {**node, "properties": embedded(fitted), "required": embedded(list(properties))}


def _is_object(node: Node) -> bool:
    kind = node.get("type")
    if kind is None:
        return "properties" in node
    return "object" in (text_in(kind), *map(text_in, items_in(kind) or ()))


def _with_default(given: Node) -> set[str]:
    """The properties that have a default which is not null."""
    properties = members_of(given.get("properties")) or {}
    defaults = {name: (members_of(schema) or {}).get("default") for name, schema in properties.items()}
    return {name for name, default in defaults.items() if default is not None and not says(default, "null")}


def _reword(node: Node) -> Node:
    """The same in the words that providers know: alternatives as `anyOf`, and a reference with nothing beside it."""
    old = next((name for name in ("oneOf", "allOf", "$ref") if _means_any_of(name, node)), None)
    if old is None or "anyOf" in node:
        return node
    alternatives = embedded([{"$ref": node["$ref"]}]) if old == "$ref" else node[old]
    return {
        ("anyOf" if name == old else name): (alternatives if name == old else value) for name, value in node.items()
    }


def _means_any_of(name: str, node: Node) -> bool:
    if name not in node:
        return False
    if name == "allOf":
        # All of one is any of one.
        return len(items_in(node["allOf"]) or ()) == 1
    return name == "oneOf" or bool(node.keys() - {"$ref", "$defs", "definitions"})


def _nullable(schema: msgspec.Raw) -> msgspec.Raw:
    """The schema of a property that may also be null."""
    members = members_of(schema)
    if members is None or _takes_null(members):
        return schema
    return embedded({"anyOf": [schema, NULL_SCHEMA]})


def _takes_null(node: Node) -> bool:
    kind = node.get("type")
    if "null" in (text_in(kind), *map(text_in, items_in(kind) or ())):
        return True
    if any(_takes_null(branch) for branch in map(members_of, items_in(node.get("anyOf")) or ()) if branch):
        return True
    return any(says(value, "null") for value in (node.get("const"), *(items_in(node.get("enum")) or ())))


def _described(node: Node, told: str) -> Node:
    """The node with something more in its description, which is put last where there was none."""
    description = text_in(node.get("description"))
    text = f"{description} [{told}]" if description else f"[{told}]"
    return {**node, "description": raw(msgspec.json.encode(text).decode())}


def _tells(name: str, value: msgspec.Raw) -> bool:
    return name not in UNTOLD and not (name == "default" and says(value, "null"))

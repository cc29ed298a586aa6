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
from services.models.providers import json_text
from services.models.providers.json_text import CACHED_TEXT_LENGTH, raw, raw_members

Node = Mapping[str, msgspec.Raw]
"""A schema that is an object, each member as its exact bytes."""

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
    root = _members(schema) or {}
    tables = {table: _members(root.get(table)) or {} for table in ("$defs", "definitions")}
    return {f"#/{table}/{name}": definition for table in tables for name, definition in tables[table].items()}


def _resolve_root(schema: msgspec.Raw) -> msgspec.Raw:
    """The schema with a root that is only a reference put in its place: providers want an object there."""
    members = _members(schema)
    reference = _text(members.get("$ref")) if members else None
    if members is None or reference is None:
        return schema
    for table in ("$defs", "definitions"):
        definitions = _members(members.get(table))
        prefix = f"#/{table}/"
        if definitions and reference.startswith(prefix):
            target = _members(definitions.get(reference.removeprefix(prefix)))
            if target:
                others = {name: value for name, value in members.items() if name != "$ref"}
                return _encoded({**target, **others})
    return schema


class _Fitting:
    """One walk over one schema. References are not followed: what they name is walked in its own place, once."""

    def __init__(self, rules: SchemaRules, definitions: Mapping[str, msgspec.Raw]) -> None:
        self._rules = rules
        self._definitions = definitions
        self.changes: list[str] = []
        """What was changed, each with its place."""

    def fit(self, schema: msgspec.Raw, path: str) -> msgspec.Raw:
        """The schema as the provider takes it; the same object where nothing had to change."""
        written = _members(schema)
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
        return schema if _same(node, written) else _encoded(node)

    def _join_objects(self, node: Node) -> Node:
        """The node with all the objects that it must be at once as one: when each of them is closed by itself, none
        takes what the others ask for."""
        given = _items(node.get("allOf")) or []
        if len(given) < 2 or not self._rules.closed_objects:
            return node
        described = {name: value for name, value in node.items() if name != "allOf"}
        objects = [self._plain_object(schema) for schema in given]
        properties: dict[str, msgspec.Raw] = {}
        required: list[str] = []
        for joined in (*objects, described):
            if joined is None:
                return node
            for name, schema in (_members(joined.get("properties")) or {}).items():
                if bytes(properties.setdefault(name, schema)) != bytes(schema):
                    return node
            required += [name for name in map(_text, _items(joined.get("required")) or ()) if name]
        members = {"properties": _encoded(properties), "required": _encoded(list(dict.fromkeys(required)))}
        return {"type": raw('"object"'), **described, **members}

    def _excludes_itself(self, all_of: msgspec.Raw) -> bool:
        """Whether it holds several schemas of objects, which take nothing together once each of them is closed."""
        schemas = _items(all_of) or []
        if len(schemas) < 2 or not self._rules.closed_objects:
            return False
        return any(_is_object(node) for node in map(self._resolved, schemas) if node)

    def _resolved(self, schema: msgspec.Raw) -> Node | None:
        """The members of a schema, or of the one that it refers to with nothing beside it."""
        node = _members(schema)
        if node is not None and node.keys() == {"$ref"}:
            return _members(self._definitions.get(_text(node["$ref"]) or ""))
        return node

    def _plain_object(self, schema: msgspec.Raw) -> Node | None:
        """A schema, or the one that it refers to, if it says no more than which properties an object has."""
        node = self._resolved(schema)
        if node is None or node.keys() - PLAIN_OBJECT_KEYWORDS or not _is_object(node):
            return None
        return node

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
        given = _members(schemas)
        if given is None:
            return schemas
        fitted = {name: self.fit(schema, f"{path}.{name}") for name, schema in given.items()}
        return schemas if _same(fitted, given) else _encoded(fitted)

    def _fit_list(self, schemas: msgspec.Raw, path: str) -> msgspec.Raw:
        given = _items(schemas)
        if given is None:
            return schemas
        fitted = [self.fit(schema, f"{path}[{index}]") for index, schema in enumerate(given)]
        unchanged = all(new is old for new, old in zip(fitted, given, strict=True))
        return schemas if unchanged else _encoded(fitted)

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
            return _text(value) not in self._rules.formats
        if name == "pattern":
            return bool(self._rules.refused_patterns.search(_text(value) or ""))
        if name == "minItems" and self._rules.max_min_items is not None:
            return _number(value) not in range(self._rules.max_min_items + 1)
        return False

    def _close(self, node: Node, path: str) -> Node:
        """The object with no properties but those it names."""
        others = node.get("additionalProperties")
        if not self._rules.closed_objects or _says(others, "false"):
            return node
        self.changes.append(f"{path} with no properties but its own")
        closed = {**node, "additionalProperties": FALSE}
        closed.setdefault("properties", raw("{}"))
        if others is None or _members(others) is None:
            return closed
        return _described(closed, f"additionalProperties: {bytes(others).decode()}")

    def _require_all(self, node: Node, given: Node, path: str) -> Node:
        """The object with all its properties required. One that could be left out may be null, unless it has a
        default: then the model writes a value, as every answer must be one that the given schema takes too."""
        properties = _members(node.get("properties")) or {}
        required = {_text(name) for name in _items(node.get("required")) or ()}
        if required == properties.keys() and {"properties", "required"} <= node.keys():
            return node
        optional = properties.keys() - required
        if optional:
            names = ", ".join(name for name in properties if name in optional)
            self.changes.append(f"{path} requires {names} too, as null where there is no default")
        free = optional - _with_default(given)
        fitted = {name: _nullable(schema) if name in free else schema for name, schema in properties.items()}
        return {**node, "properties": _encoded(fitted), "required": _encoded(list(properties))}


def _is_object(node: Node) -> bool:
    kind = node.get("type")
    if kind is None:
        return "properties" in node
    return "object" in (_text(kind), *map(_text, _items(kind) or ()))


def _with_default(given: Node) -> set[str]:
    """The properties that have a default which is not null."""
    properties = _members(given.get("properties")) or {}
    defaults = {name: (_members(schema) or {}).get("default") for name, schema in properties.items()}
    return {name for name, default in defaults.items() if default is not None and not _says(default, "null")}


def _reword(node: Node) -> Node:
    """The same in the words that providers know: alternatives as `anyOf`, and a reference with nothing beside it."""
    old = next((name for name in ("oneOf", "allOf", "$ref") if _means_any_of(name, node)), None)
    if old is None or "anyOf" in node:
        return node
    alternatives = _encoded([{"$ref": node["$ref"]}]) if old == "$ref" else node[old]
    return {
        ("anyOf" if name == old else name): (alternatives if name == old else value) for name, value in node.items()
    }


def _means_any_of(name: str, node: Node) -> bool:
    if name not in node:
        return False
    if name == "allOf":
        # All of one is any of one.
        return len(_items(node["allOf"]) or ()) == 1
    return name == "oneOf" or bool(node.keys() - {"$ref", "$defs", "definitions"})


def _nullable(schema: msgspec.Raw) -> msgspec.Raw:
    """The schema of a property that may also be null."""
    members = _members(schema)
    if members is None or _takes_null(members):
        return schema
    return _encoded({"anyOf": [schema, NULL_SCHEMA]})


def _takes_null(node: Node) -> bool:
    kind = node.get("type")
    if "null" in (_text(kind), *map(_text, _items(kind) or ())):
        return True
    if any(_takes_null(branch) for branch in map(_members, _items(node.get("anyOf")) or ()) if branch):
        return True
    return any(_says(value, "null") for value in (node.get("const"), *(_items(node.get("enum")) or ())))


def _described(node: Node, told: str) -> Node:
    """The node with something more in its description, which is put last where there was none."""
    description = _text(node.get("description"))
    text = f"{description} [{told}]" if description else f"[{told}]"
    return {**node, "description": raw(msgspec.json.encode(text).decode())}


def _tells(name: str, value: msgspec.Raw) -> bool:
    return name not in UNTOLD and not (name == "default" and _says(value, "null"))


def _members(schema: msgspec.Raw | None) -> dict[str, msgspec.Raw] | None:
    if schema is None:
        return None
    try:
        return raw_members(bytes(schema).decode())
    except json_text.Malformed:
        return None


def _items(value: msgspec.Raw | None) -> list[msgspec.Raw] | None:
    if value is None:
        return None
    try:
        return msgspec.json.decode(value, type=list[msgspec.Raw])
    except msgspec.MsgspecError:
        return None


def _text(value: msgspec.Raw | None) -> str | None:
    found = json_text.decode(bytes(value)) if value is not None else None
    return found if isinstance(found, str) else None


def _number(value: msgspec.Raw) -> int | float | None:
    found = json_text.decode(bytes(value))
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def _says(value: msgspec.Raw | None, text: str) -> bool:
    return value is not None and bytes(value).strip() == text.encode()


def _same(node: Node, given: Node) -> bool:
    """Whether nothing was changed: the same members, as the same objects, in the same order."""
    return list(node) == list(given) and all(node[name] is given[name] for name in given)


def _encoded(value: object) -> msgspec.Raw:
    return msgspec.Raw(json_text.encode(value))

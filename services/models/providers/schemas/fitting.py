"""Fits JSON Schemas to the subsets that providers enforce.

A provider that enforces a schema refuses one with keywords that it cannot enforce. Those are taken out and written into
the description beside them, where the model still reads them. Parts without a change keep their exact bytes and the
order of their keys.

A keyword that is taken out is quoted once, as it was given, and never searched. So fitting takes time and room in
proportion to the schema, however it is nested.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from services.models.providers.notices import Notices, schema_changed
from services.models.providers.schemas.joins import (
    MAX_JOINED_BYTES,
    Definitions,
    Part,
    Repeats,
    describe,
    is_object,
    join,
    plain_objects,
)
from services.models.providers.schemas.nodes import (
    FALSE,
    Node,
    Value,
    is_same,
    items_in,
    members_of,
    number_in,
    quoted,
    text_in,
)
from services.models.providers.schemas.rewording import (
    any_of_keyword,
    as_any_of,
    has_default,
    is_meaningful,
    nullable,
    with_type,
)
from services.models.providers.schemas.roots import resolve_root
from services.models.providers.schemas.rules import SchemaRules
from services.shared import json_text
from services.shared.bounded_cache import BoundedCache
from services.shared.json_text import CACHED_TEXT_LENGTH

FIT_WORK = 64
JOIN_WORK = 512
"""Work to fit a schema at worst, as a multiple of its length as plain text: usually, and with definitions to join."""

MAX_CHANGES_SHOWN = 10
MAX_CHANGE_LENGTH = 2000
MAX_NAME_LENGTH = 128
"""Characters of a property's name in a notice: a name may be as long as the schema."""

MAX_NESTING = 32
"""Depth to which definitions are joined in place."""

SCHEMA_MAPS = ("properties", "$defs", "definitions")
SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")


def work_to_fit(schema_json: str) -> int:
    """The estimated work to fit a schema, in bytes of plain text."""
    # The keyword may be written with an escape.
    may_join = "allOf" in schema_json or "\\u" in schema_json
    return (JOIN_WORK if may_join else FIT_WORK) * len(schema_json)


class _Fitted(NamedTuple):
    text: str
    changes: tuple[str, ...] = ()
    """The first changes, each with its path."""
    unlisted: int = 0
    """The number of further changes."""


def fit_schema(schema_json: str, rules: SchemaRules, field: str, provider: str) -> tuple[str, Notices]:
    """The schema in the form that the provider accepts, and a `SCHEMA_CHANGED` notice for `field` that lists the
    changes. Without a change, it is the given one byte for byte.

    A change of the form alone has no notice, such as `anyOf` with one entry for a `$ref` beside a description. A value
    that is not a schema is left to the provider.
    """
    # Cached, because an application sends the same schemas with every call.
    fit = _cached_fit if len(schema_json) <= CACHED_TEXT_LENGTH else _fit
    fitted = fit(schema_json, rules)
    if not fitted.changes:
        return fitted.text, []
    shown = "; ".join(fitted.changes) + (f"; and {fitted.unlisted} more" if fitted.unlisted else "")
    message = f"{provider} enforces a part of JSON Schema only, so the schema was changed: {shown}"
    return fitted.text, [schema_changed(field, message)]


def _fit(schema_json: str, rules: SchemaRules) -> _Fitted:
    data = schema_json.encode()
    given = members_of(msgspec.Raw(data))
    if given is None:
        return _Fitted(schema_json)
    definitions = Definitions(given)
    root = resolve_root(given, definitions)
    fitting = _Fitting(rules, definitions, Repeats(len(data), members_of(root.get("$defs")) or {}))
    fitted = fitting.fit_root(root)
    text = schema_json if is_same(fitted, given) else json_text.encode(fitted).decode()
    return _Fitted(text, tuple(fitting.changes), fitting.unlisted)


_cached_fit = BoundedCache(_fit)


class _Fitting:
    """One walk over one schema. References are not followed: each definition is walked once, where it is written."""

    def __init__(self, rules: SchemaRules, definitions: Definitions, repeats: Repeats) -> None:
        self._rules = rules
        self._definitions = definitions
        self._repeats = repeats
        self._path = ["$"]
        self.changes: list[str] = []
        self.unlisted = 0

    def fit_root(self, root: Node) -> Node:
        """The whole schema, with the definitions that were added for joined objects."""
        fitted = self._fit_alone(root)
        added: dict[str, Value] = {}
        for name, definition in self._repeats.definitions:
            self._path = ["$", f".$defs.{name}"]
            added[name] = self._fit_alone(definition)
        return {**fitted, "$defs": {**(members_of(fitted.get("$defs")) or {}), **added}} if added else fitted

    def _fit_alone(self, node: Node) -> Node:
        """Fits a schema that occurs only once."""
        parts = self._parts(node)
        is_small = sum(part.size for part in parts) <= MAX_JOINED_BYTES
        return self._fit_node(join(node, plain_objects(parts)) if is_small else node)

    def _fit_members(self, schema: Value, written: Node) -> Node:
        parts = self._parts(written)
        objects = plain_objects(parts)
        size = sum(part.size for part in parts)
        if not objects or not size or not isinstance(schema, msgspec.Raw):
            return self._fit_node(join(written, objects))
        if len(self._path) <= MAX_NESTING and self._repeats.begin(schema, size):
            node = self._fit_node(join(written, objects))
            self._repeats.end(schema)
            return node
        return self._repeats.refer(schema, written, size) or self._fit_node(written)

    def _fit_node(self, given: Node) -> Node:
        word = any_of_keyword(given)
        gone = {name for name in given if name != word and self._must_go(name, given)}
        node = self._fit_children(given, gone)
        if word != "allOf" and self._excludes_itself(node):
            # Checked again, because its children have been fitted.
            gone.add("allOf")
        if word:
            node = as_any_of(node, word)
        if word == "oneOf":
            self._note("with anyOf for oneOf")
        node = self._take_out(node, {name: given[name] for name in given if name in gone})
        if self._rules.typed:
            node = with_type(node)
        if is_object(node):
            node = self._close(node)
            if self._rules.all_required:
                node = self._require_all(node, given)
        return node

    def _parts(self, node: Node) -> Sequence[Part]:
        """The schemas of its `allOf`, if there are several and the rules close objects."""
        if "allOf" not in node or not self._rules.closed_objects:
            return ()
        schemas = items_in(node["allOf"]) or ()
        return [self._definitions.part(schema) for schema in schemas] if len(schemas) > 1 else ()

    def _excludes_itself(self, node: Node) -> bool:
        """True if its `allOf` has objects: once each is closed, no value can satisfy all of them."""
        return any(part.is_object for part in self._parts(node))

    def _fit_children(self, given: Node, gone: Collection[str]) -> Node:
        node = dict(given)
        for name in SCHEMA_MAPS:
            if name in given:
                node[name] = self._fit_map(given[name], name)
        for name in SCHEMA_LISTS:
            if name in given and name not in gone:
                node[name] = self._fit_list(given[name], name)
        if "items" in given:
            node["items"] = self._fit_child(given["items"], ".items")
        return node

    def _fit_map(self, schemas: Value, keyword: str) -> Value:
        given = members_of(schemas)
        if given is None:
            return schemas
        fitted: dict[str, Value] = {}
        for name, schema in given.items():
            fitted[name] = self._fit_child(schema, f".{keyword}.{name[:MAX_NAME_LENGTH]}")
        return schemas if is_same(fitted, given) else fitted

    def _fit_list(self, schemas: Value, keyword: str) -> Value:
        given = items_in(schemas)
        if given is None:
            return schemas
        fitted: list[Value] = []
        for index, schema in enumerate(given):
            fitted.append(self._fit_child(schema, f".{keyword}[{index}]"))
        return schemas if all(map(operator.is_, fitted, given)) else fitted

    def _fit_child(self, schema: Value, step: str) -> Value:
        """The fitted schema; the same object if it did not change."""
        written = members_of(schema)
        if written is None:
            # `true` and `false` are schemas too.
            return schema
        self._path.append(step)
        node = self._fit_members(schema, written)
        self._path.pop()
        return schema if is_same(node, written) else node

    def _must_go(self, name: str, node: Node) -> bool:
        value = node[name]
        if name not in self._rules.keywords:
            return True
        if name == "allOf":
            return self._excludes_itself(node)
        if name == "format":
            return text_in(value) not in self._rules.formats
        if name == "pattern":
            return bool(self._rules.refused_patterns.search(text_in(value) or ""))
        if name == "minItems" and self._rules.max_min_items is not None:
            return number_in(value) not in range(self._rules.max_min_items + 1)
        return False

    def _take_out(self, node: Node, gone: Node) -> Node:
        """The node without the keywords that cannot be enforced, which go into its description."""
        if not gone:
            return node
        self._note(f"without {', '.join(gone)}")
        kept = {name: value for name, value in node.items() if name not in gone}
        return describe(
            kept, ", ".join(f"{name}: {quoted(value)}" for name, value in gone.items() if is_meaningful(name, value))
        )

    def _close(self, node: Node) -> Node:
        """The object without additional properties."""
        others = node.get("additionalProperties")
        if not self._rules.closed_objects or others == FALSE:
            return node
        self._note("with no properties but its own")
        closed = {**node, "additionalProperties": FALSE}
        closed.setdefault("properties", {})
        if others is None or members_of(others) is None:
            return closed
        return describe(closed, f"additionalProperties: {quoted(others)}")

    def _require_all(self, node: Node, given: Node) -> Node:
        """The object with all its properties required. An optional property may be null, unless it has a default: null
        would then not be valid by the given schema, so the model must write a value."""
        properties = members_of(node.get("properties")) or {}
        required = {text_in(name) for name in items_in(node.get("required")) or ()}
        if required == properties.keys() and {"properties", "required"} <= node.keys():
            return node
        optional = [name for name in properties if name not in required]
        if optional:
            self._note(f"requires {', '.join(optional)} too, as null where there is no default")
        written = members_of(given.get("properties")) or {}
        free = {name: nullable(properties[name]) for name in optional if not has_default(written[name])}
        return {**node, "properties": {**properties, **free}, "required": list(properties)}

    def _note(self, change: str) -> None:
        if len(self.changes) == MAX_CHANGES_SHOWN:
            self.unlisted += 1
        else:
            self.changes.append(f"{''.join(self._path)} {change}"[:MAX_CHANGE_LENGTH])

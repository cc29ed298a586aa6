"""Objects in an `allOf`, joined to one object: if each of them were closed, it would exclude the others' properties.

A joined definition is repeated at each place that refers to it, itself included. So repetition is bounded: beyond the
bound, or if it would never end, the joined object becomes a definition of its own, with references to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from services.models.providers.schemas.nodes import Node, Value, items_in, members_of, size_of, text_in, words_in

MAX_JOINED_BYTES = 64 * 1024
MAX_JOINED_FOLD = 4
"""Limits for text that is repeated in place, in bytes and as a multiple of the schema; the added definitions have the
same limits."""

PLAIN_OBJECT_KEYWORDS = frozenset({"type", "properties", "required", "additionalProperties", "title", "description"})
"""The keywords of schemas that can be joined to one object."""

DEFINITIONS = ("$defs", "definitions")


class Part(NamedTuple):
    """One of the schemas of an `allOf`."""

    is_object: bool
    plain: Node | None
    """The schema, if it has no other keywords than PLAIN_OBJECT_KEYWORDS."""
    size: int
    """The size in bytes of the definition that it refers to; 0 without a reference."""


class Definitions:
    """The schemas that others refer to."""

    def __init__(self, root: Node) -> None:
        tables = {table: members_of(root.get(table)) or {} for table in DEFINITIONS}
        self._schemas = {f"#/{table}/{name}": schema for table in DEFINITIONS for name, schema in tables[table].items()}
        self._parts: dict[str, Part] = {}

    def find(self, reference: str | None) -> Node | None:
        return members_of(self._schemas.get(reference)) if reference else None

    def part(self, schema: Value) -> Part:
        """The facts of a schema, or of the definition that it only refers to."""
        node = members_of(schema)
        if node is None or node.keys() != {"$ref"}:
            return _part(node, 0)
        if isinstance(node["$ref"], str):
            # A reference that was written here, to a joined definition.
            return Part(True, None, 0)
        reference = text_in(node["$ref"]) or ""
        if reference not in self._parts:
            given = self._schemas.get(reference)
            if not isinstance(given, msgspec.Raw):
                return _part(None, 0)
            self._parts[reference] = _part(members_of(given), size_of(given))
        return self._parts[reference]


def _part(node: Node | None, size: int) -> Part:
    if node is None or not is_object(node):
        return Part(False, None, size)
    is_plain = not node.keys() - PLAIN_OBJECT_KEYWORDS and members_of(node.get("additionalProperties")) is None
    return Part(True, node if is_plain else None, size)


def is_object(node: Node) -> bool:
    """Whether a schema describes objects."""
    return "object" in words_in(node["type"]) if "type" in node else "properties" in node


def plain_objects(parts: Sequence[Part]) -> Sequence[Node]:
    """The schemas of the parts, if all of them can be joined; none otherwise."""
    objects = [part.plain for part in parts if part.plain is not None]
    return objects if len(objects) == len(parts) else ()


def join(node: Node, objects: Sequence[Node]) -> Node:
    """The node and `objects` as one object; the same node if there are none, or if they contradict each other."""
    if not objects:
        return node
    described = {name: value for name, value in node.items() if name != "allOf"}
    properties: dict[str, Value] = {}
    required: dict[str, None] = {}
    for joined in (*objects, described):
        for name, schema in (members_of(joined.get("properties")) or {}).items():
            if properties.setdefault(name, schema) != schema:
                return node
        required |= dict.fromkeys(filter(None, map(text_in, items_in(joined.get("required")) or ())))
    whole = {"type": "object", **described, "properties": properties, "required": list(required)}
    return describe(whole, "; ".join(filter(None, (text_in(joined.get("description")) for joined in objects))))


def describe(node: Node, text: str) -> Node:
    """The node with `text` added to its description; a new description is the last member."""
    if not text:
        return node
    description = text_in(node.get("description"))
    return {**node, "description": f"{description} [{text}]" if description else f"[{text}]"}


class Repeats:
    """Joined definitions: repeated in place while they are small, else written once as new definitions."""

    def __init__(self, size: int, taken: Collection[str]) -> None:
        self._room_in_place = self._room_in_definitions = min(MAX_JOINED_BYTES, MAX_JOINED_FOLD * size)
        self._open: set[bytes] = set()
        self._names: dict[bytes, str] = {}
        self._free_names = (name for name in map("joined_{}".format, itertools.count(1)) if name not in taken)
        self.definitions: list[tuple[str, Node]] = []
        """The new definitions by name, not fitted yet. Fitting one may add others."""

    def begin(self, schema: msgspec.Raw, size: int) -> bool:
        """Whether `schema` may be written in place with `size` bytes of definitions: never within itself."""
        key = _key(schema)
        if key in self._open or key in self._names or size > self._room_in_place:
            return False
        self._room_in_place -= size
        self._open.add(key)
        return True

    def end(self, schema: msgspec.Raw) -> None:
        """Ends what `begin` has begun; to be called when `schema` is written."""
        self._open.remove(_key(schema))

    def refer(self, schema: msgspec.Raw, node: Node, size: int) -> Node | None:
        """A reference to the new definition for `schema`; None if the limit for definitions is reached."""
        key = _key(schema)
        if key not in self._names:
            size += size_of(schema)
            if size > self._room_in_definitions:
                return None
            self._room_in_definitions -= size
            self._names[key] = next(self._free_names)
            self.definitions.append((self._names[key], node))
        return {"$ref": f"#/$defs/{self._names[key]}"}


def _key(schema: msgspec.Raw) -> bytes:
    return blake2b(schema, digest_size=16).digest()

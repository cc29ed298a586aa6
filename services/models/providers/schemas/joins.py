"""Objects that one object must be all at once (`allOf`), joined to one: when each of them is closed by itself, none
takes what the others ask for.

A definition that is joined is written again, and may be joined from anywhere, itself included. So that is bounded:
what would be too much, or without an end, becomes a definition of its own that its places refer to.
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
"""Limit of text that is repeated in place, in bytes and as a multiple of the schema; definitions have the same limit
once more."""

PLAIN_OBJECT_KEYWORDS = frozenset({"type", "properties", "required", "additionalProperties", "title", "description"})
"""All that a schema says which can be joined with others to one object."""

DEFINITIONS = ("$defs", "definitions")


class Part(NamedTuple):
    """One of several schemas that must hold together."""

    is_object: bool
    plain: Node | None
    """The schema, if it says no more than which properties an object has."""
    size: int
    """Bytes of a definition that it refers to."""


class Definitions:
    """The schemas that others refer to."""

    def __init__(self, root: Node) -> None:
        tables = {table: members_of(root.get(table)) or {} for table in DEFINITIONS}
        self._schemas = {f"#/{table}/{name}": schema for table in DEFINITIONS for name, schema in tables[table].items()}
        self._parts: dict[str, Part] = {}

    def find(self, reference: str | None) -> Node | None:
        return members_of(self._schemas.get(reference)) if reference else None

    def part(self, schema: Value) -> Part:
        """The demands of a schema, or of the definition that it only refers to."""
        node = members_of(schema)
        if node is None or node.keys() != {"$ref"}:
            return _part(node, 0)
        if isinstance(node["$ref"], str):
            # Written here: what was joined has become a definition.
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
    """Whether a schema is one of objects."""
    return "object" in words_in(node["type"]) if "type" in node else "properties" in node


def plain_objects(parts: Sequence[Part]) -> Sequence[Node]:
    """The parts, if they are all such as can be joined; none otherwise."""
    objects = [part.plain for part in parts if part.plain is not None]
    return objects if len(objects) == len(parts) else ()


def join(node: Node, objects: Sequence[Node]) -> Node:
    """The node and `objects` as one object; the same node where there are none, or they contradict each other."""
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
    """The node with something more in its description, which is put last where there was none."""
    if not text:
        return node
    description = text_in(node.get("description"))
    return {**node, "description": f"{description} [{text}]" if description else f"[{text}]"}


class Repeats:
    """Repeated definitions: in place while they are small, else in definitions that are written once."""

    def __init__(self, size: int, taken: Collection[str]) -> None:
        self._room_in_place = self._room_in_definitions = min(MAX_JOINED_BYTES, MAX_JOINED_FOLD * size)
        self._open: set[bytes] = set()
        self._names: dict[bytes, str] = {}
        self._free_names = (name for name in map("joined_{}".format, itertools.count(1)) if name not in taken)
        self.definitions: list[tuple[str, Node]] = []
        """The definitions by name, as they were given. Grows while they are fitted."""

    def begin(self, schema: msgspec.Raw, size: int) -> bool:
        """Whether `schema` may be written in place with `size` bytes of definitions: never within itself."""
        key = _key(schema)
        if key in self._open or key in self._names or size > self._room_in_place:
            return False
        self._room_in_place -= size
        self._open.add(key)
        return True

    def end(self, schema: msgspec.Raw) -> None:
        """Is called when all that began with `schema` is written."""
        self._open.remove(_key(schema))

    def refer(self, schema: msgspec.Raw, node: Node, size: int) -> Node | None:
        """A reference to the definition that `schema` has become; None where there is no room for another one."""
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

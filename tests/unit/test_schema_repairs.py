"""Schemas that vendors are known to refuse, said as they take them."""

from __future__ import annotations

import json
from typing import Any

from services.models.providers.schemas.repairs import MAX_DEPTH, repair_schema
from tests.rows import for_each


def of(schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema}}


MENDED: dict[str, tuple[Any, Any]] = {
    "a list of anything": (of({"type": "array"}), of({"type": "array", "items": {}})),
    "a list or nothing": (of({"type": ["array", "null"]}), of({"type": ["array", "null"], "items": {}})),
    "a tuple": (
        of({"type": "array", "prefixItems": [{"type": "str"}]}),
        of({"type": "array", "prefixItems": [{"type": "string"}], "items": {}}),
    ),
    "within alternatives": (
        of({"anyOf": [{"type": "array"}, {"type": "null"}]}),
        of({"anyOf": [{"type": "array", "items": {}}, {"type": "null"}]}),
    ),
    "within a map": (
        {"type": "dict", "additionalProperties": {"type": "list"}},
        {"type": "object", "additionalProperties": {"type": "array", "items": {}}},
    ),
    "any": (of({"type": "any", "description": "x"}), of({"description": "x"})),
    "the words of Google": ({"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}, of({"type": "string"})),
    "the words of Python": (of({"type": ["int", "None"]}), of({"type": ["integer", "null"]})),
    "required of the property itself": (
        of({"type": "string", "required": True}),
        of({"type": "string"}) | {"required": ["a"]},
    ),
    "not required of the property itself": (of({"type": "string", "required": False}), of({"type": "string"})),
    "nulls for what is not said": (
        of({"type": "string", "description": None, "enum": None}) | {"required": None, "$defs": None},
        of({"type": "string"}),
    ),
    "null among the values": (of({"default": None, "enum": [None]}), of({"default": None, "enum": [None]})),
    "objects that PHP wrote": (of({"type": "object", "properties": []}), of({"type": "object", "properties": {}})),
    "definitions": (
        {"$defs": {"A": {"type": "float"}}, "$ref": "#/$defs/A"},
        {"$defs": {"A": {"type": "number"}}, "$ref": "#/$defs/A"},
    ),
}


@for_each("case", MENDED)
def test_what_is_refused_is_said_otherwise(case: str) -> None:
    given, mended = MENDED[case]
    assert json.loads(repair_schema(json.dumps(given), with_items=True)) == mended


@for_each(
    "text",
    [
        '{"type":"object",  "properties":{"a":{"type":"array","items":{"type":"string"}}},"x":1.10}',
        '{"properties":{"type":{"type":"string"},"required":{"type":"boolean"},"items":{"type":"array","items":true}}}',
        '{"enum":[{"type":"any"}],"default":{"type":"array"},"const":{"required":true}}',
        '{"type":"file"}',
        '{"type":7,"properties":7}',
        "[1]",
        "no JSON",
    ],
)
def test_what_needs_no_change_stays_byte_for_byte(text: str) -> None:
    assert repair_schema(text, with_items=True) == text


def test_lists_may_hold_anything_where_nobody_asks() -> None:
    text = json.dumps(of({"type": "array"}))
    assert repair_schema(text, with_items=False) == text


def test_a_deep_schema_is_mended_as_far_as_schemas_may_go() -> None:
    schema: dict[str, Any] = {"type": "any"}
    for _ in range(2 * MAX_DEPTH):
        schema = {"not": schema}
    assert repair_schema(json.dumps(schema), with_items=True) == json.dumps(schema)

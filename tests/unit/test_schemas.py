"""JSON Schemas as providers enforce them.

The SDKs are imported by the tests that need them: they take seconds to load.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from services.models.providers.schemas.fitting import fit_schema
from services.models.providers.schemas.rules import ANTHROPIC_OUTPUT, OPENAI_STRICT, SchemaRules
from tests.rows import for_each

BOTH = pytest.mark.parametrize("rules", [ANTHROPIC_OUTPUT, OPENAI_STRICT], ids=["anthropic", "openai"])


def fitted(schema: Any, rules: SchemaRules) -> Any:
    return json.loads(fit_schema(json.dumps(schema), rules, "f", "P")[0])


def changes(schema: Any, rules: SchemaRules) -> str:
    """What the notice says was changed, "" for no notice."""
    _, notices = fit_schema(json.dumps(schema), rules, "response_format.schema_json", "Provider")
    if not notices:
        return ""
    (notice,) = notices
    assert (notice.code, notice.field) == ("SCHEMA_CHANGED", "response_format.schema_json")
    start = "Provider enforces a part of JSON Schema only, so the schema was changed: "
    assert notice.message.startswith(start)
    return notice.message.removeprefix(start)


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def of(schema: Any) -> dict[str, Any]:
    """An object that needs no change but within its one property."""
    return closed(a=schema)


@BOTH
@pytest.mark.parametrize(
    "schema",
    [
        ' { "type" :"object", "required":["b","a"],"properties":{"a":{"type":"number","const":1.10},'
        '"b":{"type":["string","null"]}},'
        ' "additionalProperties":  false }',
        '{"anyOf":[{"type":"string","format":"uuid","pattern":"^[a-z]+$"},{"$ref":"#/$defs/x"}],'
        '"$defs":{"x":{"type":["number","string"],"enum":[1e400,"\\u00fc"]}}}',
        '{"type":"array","items":true,"minItems":1}',
        "{}",
        "true",
        "not a schema",
    ],
)
def test_what_fits_is_the_very_same_text(schema: str, rules: SchemaRules) -> None:
    result, notices = fit_schema(schema, rules, "f", "P")
    assert result == schema
    assert notices == []


@BOTH
def test_every_object_is_closed(rules: SchemaRules) -> None:
    inner = {"type": "object", "properties": {}, "required": []}
    schema = closed(a={"type": "array", "items": inner}, b={"anyOf": [inner, {"type": "null"}]}) | {
        "$defs": {"c": inner}
    }
    shut = inner | {"additionalProperties": False}
    assert fitted(schema, rules) == (
        closed(a={"type": "array", "items": shut}, b={"anyOf": [shut, {"type": "null"}]}) | {"$defs": {"c": shut}}
    )
    assert changes(schema, rules) == (
        "$.properties.a.items with no properties but its own; "
        "$.properties.b.anyOf[0] with no properties but its own; "
        "$.$defs.c with no properties but its own"
    )


@BOTH
def test_open_objects_say_in_their_description_what_they_were_open_for(rules: SchemaRules) -> None:
    schema = of({**closed(), "additionalProperties": {"type": "integer"}, "description": "Counts."})
    assert fitted(schema, rules)["properties"]["a"] == {
        **closed(),
        "description": 'Counts. [additionalProperties: {"type": "integer"}]',
    }
    assert fitted(of({**closed(), "additionalProperties": True}), rules) == of(closed())


@BOTH
@pytest.mark.parametrize(
    ("node", "gone", "told"),
    [
        ({"type": "string", "minLength": 1, "maxLength": 9}, "minLength, maxLength", "minLength: 1, maxLength: 9"),
        ({"type": "string", "format": "color"}, "format", 'format: "color"'),
        ({"type": "string", "pattern": "(?=x)y"}, "pattern", 'pattern: "(?=x)y"'),
        ({"type": "string", "pattern": "(?<!x)y"}, "pattern", 'pattern: "(?<!x)y"'),
        ({"type": "array", "items": {"type": "null"}, "uniqueItems": True}, "uniqueItems", "uniqueItems: true"),
        ({"type": "string", "examples": ["a"], "x-ours": 1.50}, "examples, x-ours", 'examples: ["a"], x-ours: 1.5'),
        ({"type": "string", "not": {"const": "a"}}, "not", 'not: {"const": "a"}'),
    ],
)
def test_what_cannot_be_enforced_goes_into_the_description(
    node: dict[str, Any], gone: str, told: str, rules: SchemaRules
) -> None:
    kept = {name: value for name, value in node.items() if name not in gone.split(", ")}
    assert fitted(of(node), rules)["properties"]["a"] == {**kept, "description": f"[{told}]"}
    described = fitted(of({"description": "Old.", **node}), rules)["properties"]["a"]
    assert described == {"description": f"Old. [{told}]", **kept}
    assert changes(of(node), rules) == f"$.properties.a without {gone}"


@for_each("name", ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"])
def test_bounds_of_numbers_are_enforced_by_openai_alone(name: str) -> None:
    schema = of({"type": "number", name: 2})
    assert fitted(schema, OPENAI_STRICT) == schema
    assert fitted(schema, ANTHROPIC_OUTPUT) == of({"type": "number", "description": f"[{name}: 2]"})


@for_each(("count", "enforced"), [(0, True), (1, True), (2, False)])
def test_at_least_one_item_is_all_that_anthropic_enforces(count: int, enforced: bool) -> None:
    schema = of({"type": "array", "items": {"type": "string"}, "minItems": count})
    assert (fitted(schema, ANTHROPIC_OUTPUT) == schema) is enforced
    assert fitted(schema, OPENAI_STRICT) == schema


def test_formats_are_those_of_the_vendors() -> None:
    from anthropic.lib._parse._transform import SupportedStringFormats

    for text_format in SupportedStringFormats:
        schema = of({"type": "string", "format": text_format})
        assert fitted(schema, ANTHROPIC_OUTPUT) == schema, text_format
        assert (fitted(schema, OPENAI_STRICT) == schema) is (text_format != "uri"), text_format


@BOTH
def test_what_is_of_no_use_to_a_model_is_not_described(rules: SchemaRules) -> None:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **of({"type": "null"}), "$comment": "x"}
    assert fitted(schema, rules) == of({"type": "null"})
    assert changes(schema, rules) == "$ without $schema, $comment"


@BOTH
def test_alternatives_are_any_of(rules: SchemaRules) -> None:
    one = {"oneOf": [{"type": "string", "maxLength": 1}, {"type": "null"}], "discriminator": {"propertyName": "x"}}
    assert fitted(of(one), rules) == of(
        {"anyOf": [{"type": "string", "description": "[maxLength: 1]"}, {"type": "null"}]}
    )
    assert "$.properties.a with anyOf for oneOf; $.properties.a without discriminator" in changes(of(one), rules)


@BOTH
def test_a_reference_stands_alone(rules: SchemaRules) -> None:
    schema = of({"$ref": "#/$defs/x", "description": "The x."}) | {"$defs": {"x": {"type": "string"}}}
    assert fitted(schema, rules)["properties"]["a"] == {"anyOf": [{"$ref": "#/$defs/x"}], "description": "The x."}
    assert changes(schema, rules) == "", "it means the same"
    alone = of({"allOf": [{"$ref": "#/$defs/x"}]})
    assert fitted(alone, rules) == of({"anyOf": [{"$ref": "#/$defs/x"}]})


@BOTH
def test_a_root_that_refers_to_itself_becomes_the_object_that_it_names(rules: SchemaRules) -> None:
    node = closed(children={"type": "array", "items": {"$ref": "#/$defs/Node"}})
    schema = {"$defs": {"Node": node}, "$ref": "#/$defs/Node"}
    assert fitted(schema, rules) == {**node, "$defs": {"Node": node}}
    assert changes(schema, rules) == ""


def test_all_of_several_stays_where_it_is_taken() -> None:
    schema = of({"allOf": [{"type": "string"}, {"const": "a"}]})
    assert fitted(schema, ANTHROPIC_OUTPUT) == schema
    assert changes(schema, OPENAI_STRICT) == "$.properties.a without allOf"


# ------------------------------------------------------------------------------------------------------- required


@for_each(
    ("given", "sent"),
    [
        ({"type": "string"}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"$ref": "#/$defs/x"}, {"anyOf": [{"$ref": "#/$defs/x"}, {"type": "null"}]}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"enum": ["a", None]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"enum": ["a"]}, {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]}),
        ({"const": None}, {"type": "null", "const": None}),
        (True, True),
    ],
)
def test_openai_may_write_null_for_what_was_optional(given: Any, sent: Any) -> None:
    schema = {**closed(a={"type": "string"}, b=given), "required": ["a"]}
    assert fitted(schema, OPENAI_STRICT) == closed(a={"type": "string"}, b=sent)
    assert changes(schema, OPENAI_STRICT) == "$ requires b too, as null where there is no default"
    assert fitted(schema, ANTHROPIC_OUTPUT) == schema


def test_openai_writes_a_value_for_what_has_a_default() -> None:
    schema = {**closed(a={"type": "integer", "default": 3}, b={"type": "string", "default": None}), "required": []}
    assert fitted(schema, OPENAI_STRICT) == closed(
        a={"type": "integer", "description": "[default: 3]"}, b={"anyOf": [{"type": "string"}, {"type": "null"}]}
    )
    assert fitted(schema, ANTHROPIC_OUTPUT) == schema


def test_an_object_of_which_nothing_is_said_gets_properties() -> None:
    assert fitted({"type": "object"}, OPENAI_STRICT) == closed()
    assert fitted({"type": "object"}, ANTHROPIC_OUTPUT) == {
        "type": "object",
        "properties": {},
        "additionalProperties": False,
    }


def test_properties_may_be_called_like_keywords() -> None:
    schema = closed(minLength={"type": "string"}, properties={"type": "string"}, default={"type": "null"})
    for rules in (ANTHROPIC_OUTPUT, OPENAI_STRICT):
        assert fitted(schema, rules) == schema


def test_keys_stay_in_their_order_and_numbers_as_they_are() -> None:
    text = '{"z":{},"type":"object","properties":{"b":{"minLength":1.0e2},"a":{"const":0.10}},"required":["b","a"]}'
    result, _ = fit_schema(text, OPENAI_STRICT, "f", "P")
    assert result == (
        '{"type":"object","properties":{"b":{"description":"[minLength: 1.0e2]"},"a":{"type":"number","const":0.10}},'
        '"required":["b","a"],"description":"[z: {}]","additionalProperties":false}'
    )


def test_many_changes_are_counted() -> None:
    schema = closed(**{f"p{index}": {"type": "string", "maxLength": 1} for index in range(30)})
    assert changes(schema, ANTHROPIC_OUTPUT).endswith("$.properties.p9 without maxLength; and 20 more")


# ---------------------------------------------------------------------------------------- beside the vendors' SDKs


class Leaf(BaseModel):
    kind: Literal["leaf"] = "leaf"
    weight: float = Field(gt=0, description="In grams.")


class Branch(BaseModel):
    kind: Literal["branch"] = "branch"
    leaves: list[Leaf] = Field(default_factory=list, max_length=9)


class Tree(BaseModel):
    name: str = Field(min_length=1, pattern="^[A-Z]")
    age: int | None = None
    top: Leaf | Branch = Field(discriminator="kind")
    best: Leaf = Field(description="The best one.")
    notes: dict[str, str] = {}


def without_words(schema: Any, *names: str) -> Any:
    """A schema without its descriptions, which everybody words differently, and without keywords called `names`."""
    if isinstance(schema, list):
        return [without_words(item, *names) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: without_words(value, *names) for key, value in schema.items() if key not in {"description", *names}}
    return kept["anyOf"][0] if list(kept) == ["anyOf"] and len(kept["anyOf"]) == 1 else kept


def test_a_model_is_sent_to_anthropic_as_by_its_sdk() -> None:
    """But for defaults and simple patterns, which the API takes and its SDK moves into descriptions, and for the `type`
    beside a constant, which the SDK leaves out."""
    from anthropic.lib._parse._transform import transform_schema

    schema = Tree.model_json_schema()
    ours = without_words(fitted(schema, ANTHROPIC_OUTPUT), "default", "pattern")
    theirs = without_words(transform_schema(schema))
    for definitions in ours["$defs"].values():
        if "const" in definitions["properties"].get("kind", {}):
            del definitions["properties"]["kind"]["type"]
    assert ours == theirs


def test_a_model_is_sent_to_openai_with_what_its_sdk_requires() -> None:
    from openai.lib._pydantic import _ensure_strict_json_schema

    schema = Tree.model_json_schema()
    theirs = _ensure_strict_json_schema(json.loads(json.dumps(schema)), path=(), root=schema)
    ours = fitted(schema, OPENAI_STRICT)
    assert ours["required"] == theirs["required"]
    assert ours["additionalProperties"] is theirs["additionalProperties"] is False
    assert ours["$defs"].keys() == theirs["$defs"].keys()
    for name, definition in ours["$defs"].items():
        assert definition["required"] == theirs["$defs"][name]["required"]


# ------------------------------------------------------------------------------------------------------- anything

KEYWORDS = "type properties required items anyOf oneOf allOf $ref $defs additionalProperties enum const default format"
WORDS = st.sampled_from([*KEYWORDS.split(), "pattern", "minItems", "minLength", "description", "object", "null"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=20,
)


@BOTH
@given(schema=st.dictionaries(WORDS, JSON, max_size=6))
def test_anything_comes_out_as_json_that_needs_no_further_change(schema: dict[str, Any], rules: SchemaRules) -> None:
    once, notices = fit_schema(json.dumps(schema), rules, "f", "P")
    assert isinstance(json.loads(once), dict)
    twice, more = fit_schema(once, rules, "f", "P")
    assert json.loads(twice) == json.loads(once)
    assert not more
    assert notices or not changes(schema, rules)


OBJECT_OF_A = '{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}'
OBJECT_OF_B = '{"properties":{"b":{"type":"string"}},"required":["b"]}'
JOINED = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}


@BOTH
@pytest.mark.parametrize(
    "schema",
    [
        f'{{"allOf":[{OBJECT_OF_A},{OBJECT_OF_B}]}}',
        f'{{"allOf":[{OBJECT_OF_A},{{"$ref":"#/$defs/b"}}],"$defs":{{"b":{OBJECT_OF_B}}}}}',
        f'{{"type":"object","allOf":[{OBJECT_OF_A},{OBJECT_OF_A}],{OBJECT_OF_B[1:]}',
    ],
)
def test_objects_that_an_object_must_all_be_are_joined_to_one(schema: str, rules: SchemaRules) -> None:
    value = json.loads(fit_schema(schema, rules, "field", "P")[0])
    value.pop("$defs", None)
    assert value | {"required": sorted(value["required"])} == JOINED


@BOTH
def test_schemas_that_cannot_be_joined_are_told_in_the_description(rules: SchemaRules) -> None:
    """Closed one by one they would take no object at all."""
    schema = f'{{"type":"object","allOf":[{OBJECT_OF_A},{{"not":{OBJECT_OF_B}}}]}}'
    text, notices = fit_schema(schema, rules, "field", "P")
    value = json.loads(text)
    assert "allOf" not in value
    assert '"not"' in value["description"]
    assert "$ without allOf" in notices[0].message


@BOTH
def test_what_joined_objects_say_of_themselves_is_told(rules: SchemaRules) -> None:
    described = '{"description":"Give it in metres.","title":"Length",' + OBJECT_OF_A[1:]
    value = json.loads(fit_schema(f'{{"allOf":[{described},{OBJECT_OF_B}]}}', rules, "field", "P")[0])
    assert "Give it in metres." in value["description"]
    assert set(value["properties"]) == {"a", "b"}


@BOTH
def test_object_with_properties_of_any_name_is_not_joined_but_told(rules: SchemaRules) -> None:
    opened = '{"additionalProperties":{"type":"string"},' + OBJECT_OF_A[1:]
    value = json.loads(fit_schema(f'{{"type":"object","allOf":[{opened},{OBJECT_OF_B}]}}', rules, "field", "P")[0])
    assert "additionalProperties" in value["description"]


@BOTH
def test_definitions_that_are_joined_in_many_places_do_not_multiply(rules: SchemaRules) -> None:
    large = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(200)}}
    other = {"type": "object", "properties": {"b": {"type": "string"}}}
    both = {"allOf": [{"$ref": "#/$defs/large"}, {"$ref": "#/$defs/other"}]}
    schema = {
        "type": "object",
        "properties": {f"q{n}": both for n in range(300)},
        "$defs": {"large": large, "other": other},
    }
    given = json.dumps(schema)
    text, _ = fit_schema(given, rules, "field", "P")
    assert len(text) < 10 * len(given) + 200_000

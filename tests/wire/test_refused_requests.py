"""What a vendor is known to refuse is mended with a notice, or refused by its field before anything is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from docs.features import endpoint_target
from proto.models_pb2 import (
    PARAMETER_POLICY_PASSTHROUGH,
    PARAMETER_POLICY_STRICT,
    ChatMessage,
    ContentPart,
    Media,
    ResponseFormat,
    ToolDefinition,
)
from services.models.providers.base import Encoded
from services.shared.errors import InvalidRequest
from tests.rows import for_each
from tests.wire.test_history_rules import TARGETS, USER, encoded, told

OPENAI_DIALECTS = for_each("name", ["openai", "responses"])
ENFORCING = for_each("name", ["openai", "responses", "anthropic"])
every_target = for_each("name", TARGETS)

COUNTS = {"type": "object", "additionalProperties": {"type": "integer"}}


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


# What cannot be enforced: the schema, and whether Anthropic can although OpenAI cannot.
LIMITS: dict[str, tuple[Any, bool]] = {
    "a map": (closed(counts=COUNTS), False),
    "a map of anything": (closed(counts={"type": "object", "additionalProperties": True}), False),
    "a map of anything, as a schema": (closed(counts={"type": "object", "additionalProperties": {}}), False),
    "an object of which nothing is said": (closed(counts={"type": "object"}), False),
    "a map that may be null": (closed(counts={"anyOf": [COUNTS, {"type": "null"}]}), False),
    "a map beside properties": (closed(counts={**closed(n={"type": "integer"}), **COUNTS}), False),
    "an object open beside its properties": (
        closed(counts={**closed(n={"type": "integer"}), "additionalProperties": True}),
        False,
    ),
    "a map in a list": (closed(counts={"type": "array", "items": COUNTS}), False),
    "a map in a definition": ({**closed(counts={"$ref": "#/$defs/counts"}), "$defs": {"counts": COUNTS}}, False),
    "a map by a pattern": (closed(counts={"type": "object", "patternProperties": {"^a": {"type": "integer"}}}), False),
    "a map at the root": (COUNTS, False),
    "anything": (closed(value={}), True),
    "anything with a title": (closed(value={"title": "Value"}), True),
    "true": (closed(value=True), True),
    "items of any kind": (closed(value={"type": "array", "items": {}}), True),
}
every_limit = for_each("case", LIMITS)


def format_of(body: Encoded, name: str) -> dict[str, Any]:
    sent = json.loads(body.request.body)
    if name == "openai":
        return dict(sent["response_format"]["json_schema"])
    if name == "responses":
        return dict(sent["text"]["format"])
    return dict(sent.get("output_config", {}).get("format", {}))


def answered_as(name: str, schema: Any, **fields: Any) -> Encoded:
    wanted = ResponseFormat(type="json_schema", schema_json=json.dumps(schema), strict=True)
    return encoded(TARGETS[name], [USER], response_format=wanted, **fields)


@OPENAI_DIALECTS
@every_limit
def test_schema_that_would_be_emptied_is_sent_whole_and_not_enforced(name: str, case: str) -> None:
    schema, _ = LIMITS[case]
    body = answered_as(name, schema)
    sent = format_of(body, name)
    assert (sent["schema"], sent["strict"]) == (schema, False)
    assert told(body) == [("SCHEMA_CHANGED", "response_format.schema_json")]
    assert json.dumps(schema).encode() in body.request.body


@every_limit
def test_schema_that_would_be_emptied_is_a_tool_at_anthropic(case: str) -> None:
    schema, is_enforced = LIMITS[case]
    body = answered_as("anthropic", schema)
    if is_enforced:
        assert format_of(body, "anthropic")
        return
    assert [tool["input_schema"] for tool in json.loads(body.request.body)["tools"]] == [schema]
    assert told(body) == [("PARAMETER_CHANGED", "response_format")]


@ENFORCING
def test_schema_that_would_be_emptied_is_refused_by_a_strict_policy(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        answered_as(name, LIMITS["a map"][0], parameter_policy=PARAMETER_POLICY_STRICT)
    assert refused.value.violations[0].field.startswith("response_format")


@ENFORCING
@for_each("case", ["a map", "a map of anything", "a map in a list"])
def test_strict_tool_that_would_be_emptied_is_sent_whole(name: str, case: str) -> None:
    schema, _ = LIMITS[case]
    body = encoded(TARGETS[name], [USER], tools=[tool_of(schema, strict=True)])
    (sent,) = json.loads(body.request.body)["tools"]
    function = sent.get("function", sent)
    assert function.get("parameters", function.get("input_schema")) == schema
    assert function["strict"] is False
    assert told(body) == [("SCHEMA_CHANGED", "tools[0].parameters_json")]


@OPENAI_DIALECTS
def test_values_get_the_type_that_they_have(name: str) -> None:
    schema = closed(kind={"const": "a"}, size={"enum": [1, 2.5]}, mixed={"enum": ["a", None, True]})
    assert format_of(answered_as(name, schema), name)["schema"]["properties"] == {
        "kind": {"type": "string", "const": "a"},
        "size": {"type": "number", "enum": [1, 2.5]},
        "mixed": {"type": ["string", "null", "boolean"], "enum": ["a", None, True]},
    }


ITEM = closed(n={"type": "integer"})


@OPENAI_DIALECTS
@for_each("strict", [True, False])
@for_each(
    "schema",
    [
        {"type": "array", "items": ITEM},
        {"anyOf": [ITEM, closed(m={"type": "string"})]},
        {"oneOf": [ITEM, closed(m={"type": "string"})]},
        {"type": "string"},
        {"enum": ["a", "b"]},
        {"$ref": "#/$defs/items", "$defs": {"items": {"type": "array", "items": ITEM}}},
        {"description": "anything"},
        {},
    ],
    ids=["list", "anyOf", "oneOf", "text", "enum", "reference", "untyped", "empty"],
)
def test_root_that_is_no_object_is_refused_by_its_field(name: str, schema: Any, strict: bool) -> None:
    wanted = ResponseFormat(type="json_schema", schema_json=json.dumps(schema), strict=strict)
    with pytest.raises(InvalidRequest) as refused:
        encoded(TARGETS[name], [USER], response_format=wanted)
    assert [violation.field for violation in refused.value.violations] == ["response_format.schema_json"]
    passed_on = encoded(TARGETS[name], [USER], response_format=wanted, parameter_policy=PARAMETER_POLICY_PASSTHROUGH)
    assert format_of(passed_on, name)["schema"] == schema


@OPENAI_DIALECTS
@for_each("strict", [True, False])
@for_each("schema", [{"$ref": "#/$defs/item", "$defs": {"item": ITEM}}, {**ITEM, "type": None}])
def test_root_that_means_an_object_says_so(name: str, schema: Any, strict: bool) -> None:
    schema = {keyword: value for keyword, value in schema.items() if value is not None}
    wanted = ResponseFormat(type="json_schema", schema_json=json.dumps(schema), strict=strict)
    sent = format_of(encoded(TARGETS[name], [USER], response_format=wanted), name)["schema"]
    assert (sent["type"], sent["properties"]) == ("object", ITEM["properties"])


# ------------------------------------------------------------------------------------------------ schemas of tools


def tool_of(schema: Any, **fields: Any) -> ToolDefinition:
    text = schema if isinstance(schema, str) else json.dumps(schema)
    return ToolDefinition(name="find", parameters_json=text, **fields)


def parameters(name: str, schema: Any, **fields: Any) -> Any:
    body = encoded(TARGETS[name], [USER], tools=[tool_of(schema, **fields)])
    # What is closed to be enforced is told.
    assert told(body) == [] or fields.get("strict")
    (sent,) = json.loads(body.request.body)["tools"]
    function = sent.get("function", sent)
    return function.get("parameters", function.get("input_schema"))


CITY = {"city": {"type": "string"}}


@every_target
@for_each("strict", [None, False, True])
@for_each(
    "schema",
    ["", {}, {"type": "object"}, {"properties": CITY}, {"type": ["object", "null"], "properties": CITY}],
    ids=["none", "empty", "object", "untyped", "or null"],
)
def test_schema_of_a_tool_is_an_object(name: str, schema: Any, strict: bool | None) -> None:
    sent = parameters(name, schema, strict=strict) if strict is not None else parameters(name, schema)
    if sent is None:
        # Chat Completions takes a tool of which nothing is said.
        assert schema == ""
        return
    assert sent["type"] == "object"
    assert "properties" in sent or name == "anthropic"
    if "properties" in str(schema):
        assert sent["properties"].keys() == CITY.keys()


ALTERNATIVES = [closed(a={"type": "string"}, kind={"const": 1}), closed(b={"type": "integer"}, kind={"const": 2})]


@ENFORCING
@for_each("keyword", ["anyOf", "oneOf"])
@for_each("typed", [True, False])
def test_alternatives_at_the_root_of_a_tool_are_joined(name: str, keyword: str, typed: bool) -> None:
    schema = {"type": "object", keyword: ALTERNATIVES} if typed else {keyword: ALTERNATIVES}
    body = encoded(TARGETS[name], [USER], tools=[tool_of(schema)])
    (sent,) = json.loads(body.request.body)["tools"]
    function = sent.get("function", sent)
    joined = function.get("parameters", function.get("input_schema"))
    assert (joined["type"], set(joined["properties"]), joined["required"]) == ("object", {"a", "b", "kind"}, ["kind"])
    assert keyword not in joined
    assert json.dumps(ALTERNATIVES) in joined["description"]
    assert told(body) == [("SCHEMA_CHANGED", "tools[0].parameters_json")]


@ENFORCING
@for_each("kind", ["string", "array"])
def test_tool_of_no_object_is_refused_by_its_field(name: str, kind: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        encoded(TARGETS[name], [USER], tools=[tool_of({"type": kind})])
    assert [violation.field for violation in refused.value.violations] == ["tools[0].parameters_json"]


@every_target
def test_as_many_tools_as_the_vendor_takes(name: str) -> None:
    tools = [ToolDefinition(name=f"t{number}") for number in range(129)]
    if name in ("openai", "responses"):
        with pytest.raises(InvalidRequest) as refused:
            encoded(TARGETS[name], [USER], tools=tools)
        assert [violation.field for violation in refused.value.violations] == ["tools"]
        tools.pop()
    assert len(json.loads(encoded(TARGETS[name], [USER], tools=tools).request.body)["tools"]) == len(tools)


# ---------------------------------------------------------------------------------------------------------- others


@every_target
@for_each("mime_type", ["image/jpg", "IMAGE/JPG", "image/pjpeg"])
def test_images_are_called_what_vendors_call_them(name: str, mime_type: str) -> None:
    picture = ContentPart(media=Media(data=b"\xff\xd8", mime_type=mime_type))
    body = encoded(TARGETS[name], [ChatMessage(role="user", parts=[picture])])
    assert b"image/jpeg" in body.request.body
    assert mime_type.encode() not in body.request.body
    assert told(body) == [("MEDIA_TYPE_CHANGED", "messages[0].parts[0].media.mime_type")]


@every_target
def test_media_types_are_sent_in_small_letters(name: str) -> None:
    picture = ContentPart(media=Media(data=b"\xff\xd8", mime_type="Image/PNG"))
    body = encoded(TARGETS[name], [ChatMessage(role="user", parts=[picture])])
    assert b"image/png" in body.request.body
    assert told(body) == []


@for_each(("name", "longest"), [("openai", 64), ("responses", 64), ("anthropic", 256), ("vllm", 1024)])
def test_ids_of_end_users_are_as_long_as_the_vendor_takes(name: str, longest: int) -> None:
    fits = encoded(TARGETS[name], [USER], end_user_id="u" * longest)
    assert b"u" * longest in fits.request.body
    assert told(fits) == []
    if longest == 1024:
        return
    longer = encoded(TARGETS[name], [USER], end_user_id="u" * (longest + 1))
    again = encoded(TARGETS[name], [USER], end_user_id="u" * (longest + 1))
    assert told(longer) == [("PARAMETER_CHANGED", "end_user_id")]
    assert b"uuuu" not in longer.request.body
    assert longer.request.body == again.request.body


@for_each("adapter", ["openai-compatible", "vllm"])
def test_registration_takes_members_out_of_every_body(adapter: str) -> None:
    target = endpoint_target(adapter, default_options_json='{"stream_options": null, "temperature": null, "top_k": 4}')
    body = encoded(target, [USER], stream=True, config={"temperature": 0.5})
    sent = json.loads(body.request.body)
    assert sent.keys() == {"model", "messages", "stream", "top_k"}
    assert told(body) == [("PARAMETER_DROPPED", "temperature")]

"""Fitting a schema takes time and room in proportion to it, whatever is nested in what; and references never unfold
without an end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from proto.models_pb2 import ChatMessage, ChatRequest, ToolDefinition
from services.models.providers.base import Conversation
from services.models.providers.schemas.fitting import fit_schema
from services.models.providers.schemas.repairs import repair_schema
from services.models.providers.schemas.rules import ANTHROPIC_OUTPUT, OPENAI_STRICT, SchemaRules
from services.models.validation.limits import MAX_SCHEMA_LENGTH
from services.models.validation.request import check_chat_request
from services.models.validation.work import work_to_check
from services.shared.offload import LARGE_BYTES
from tests.fuzz.schema_fuzz import (
    SIZES,
    WAYS,
    check,
    check_memory,
    grows_in_proportion,
    in_proportion,
    problem_of,
    request_with,
    targets,
)
from tests.fuzz.schema_recipes import LISTS, MAPS, SINGLES
from tests.rows import for_each
from tests.timing import cpu_seconds

BOTH = for_each("rules", [ANTHROPIC_OUTPUT, OPENAI_STRICT], ids=["anthropic", "openai"])

TARGETS = targets()
KEYWORDS = (*MAPS, *LISTS, *SINGLES)
STRING = '{"type":"string","maxLength":1}'
D = '{"$ref":"#/$defs/d"}'
N = '{"$ref":"#/$defs/n"}'


def around(keyword: str, schema: str, beside: str = "") -> str:
    """A schema in which another one stands under a keyword, two levels of JSON deep."""
    if keyword in MAPS:
        return f'{{"{keyword}":{{"a":{schema}}}{beside}}}'
    if keyword in LISTS:
        return f'{{"{keyword}":[{schema},{{}}]{beside}}}'
    return f'{{"x":[],"{keyword}":{schema}{beside}}}'


def nested(levels: int, *keywords: str, beside: str = "") -> str:
    schema = STRING
    for level in range(levels):
        schema = around(keywords[level % len(keywords)], schema, beside)
    return schema


def properties(made: Callable[[int], str], count: int) -> str:
    return ",".join(f'"p{number}":{made(number)}' for number in range(count))


def an_object(made: Callable[[int], str], count: int, more: str = "") -> str:
    return f'{{"type":"object","properties":{{{properties(made, count)}}}{more}}}'


def joined(title: object, *references: str) -> str:
    return f'{{"title":"{title}","allOf":[{",".join(references)}]}}'


def with_definitions(root: str, d: str, n: str = '{"type":"object","properties":{"n":{}}}') -> str:
    return f'{root[:-1]},"$defs":{{"d":{d},"n":{n}}}}}'


def chain(links: int) -> str:
    """Definitions each of which joins the next."""
    nexts = [joined("", f'{{"$ref":"#/$defs/c{link + 1}"}}', D) for link in range(links)]
    tables = ",".join(f'"c{link}":{{"properties":{{"next":{place}}}}}' for link, place in enumerate(nexts))
    return f'{{"$ref":"#/$defs/c0","$defs":{{{tables},"d":{an_object(lambda _: STRING, 1)}}}}}'


# Each makes a schema of about so many KiB as it is told, for 1, 2 and 4.
GROWING: dict[str, Callable[[int], str]] = {
    "wide objects": lambda size: an_object(lambda _: '{"type":"object"}', 40 * size),
    "wide allOf": lambda size: an_object(lambda _: '{"allOf":[{"type":"object"},{"maxLength":1}]}', 20 * size),
    "enum that is quoted": lambda size: an_object(lambda _: '{"not":{"enum":["' + '\\"' * 400 + '"]}}', size),
    "backslashes deep in a text": lambda size: nested(20, "not", "oneOf").replace("string", "\\\\" * 400 * size),
    "escapes at each level": lambda size: nested(25, "allOf", beside=',"description":"' + '\\"' * 20 * size + '"'),
    "long names": lambda size: an_object(lambda n: '{"maxLength":1}', 20).replace('"p', '"' + "p" * 50 * size),
    "long names around others": lambda size: nested(25, "properties").replace('"a"', '"' + "a" * 40 * size + '"'),
    "long names of keywords": lambda size: "{" + ",".join(f'"{n}{"k" * 90}":1' for n in range(10 * size)) + "}",
    "many required": lambda size: an_object(lambda _: "{}", 100 * size, ',"required":["p1"]'),
    "many references": lambda size: with_definitions(an_object(lambda _: D, 50 * size), '{"type":"object"}'),
    "definitions that nest": lambda size: nested(
        28, "$defs", "definitions", beside=',"type":"object"' + " " * 40 * size
    ),
    "root that refers": lambda size: f'{{"$ref":"#/$defs/d","$defs":{{"d":{an_object(lambda _: STRING, 30 * size)}}}}}',
    "same join from many places": lambda size: with_definitions(
        an_object(lambda _: joined("", D, N), 20 * size), an_object(lambda _: "{}", 20 * size)
    ),
    "other join at each place": lambda size: with_definitions(
        an_object(lambda n: joined(n, D, N), 20 * size), an_object(lambda _: "{}", 20 * size)
    ),
    "join of what cannot be joined": lambda size: with_definitions(
        an_object(lambda n: joined(n, D, N), 20 * size), an_object(lambda _: "{}", 40 * size, ',"maxProperties":9')
    ),
    "join of contradictions": lambda size: with_definitions(
        an_object(lambda n: joined(n, D, N), 20 * size),
        an_object(lambda _: "{}", 20 * size, ',"required":["p0"]'),
        '{"type":"object","properties":{"p0":{"type":"null"}}}',
    ),
    "join of a type that is long": lambda size: with_definitions(
        an_object(lambda n: joined(n, D, D), 20 * size), '{"type":["object"' + ',"null"' * 100 * size + "]}"
    ),
    "join with itself, everywhere": lambda size: with_definitions(
        an_object(lambda n: joined(n, D, N), 3 * size), an_object(lambda n: joined(n, D, N), 10 * size)
    ),
    "join of a chain": lambda size: chain(12 * size),
    "joins in joins": lambda size: nested(
        12, "properties", beside=f',"allOf":[{D},{{"type":"object"}}],"title":"{" " * 50 * size}"'
    ),
    "deep additionalProperties": lambda size: nested(
        28, "additionalProperties", beside=',"type":"object"' + " " * 30 * size
    ),
    "payload at the bottom": lambda size: nested(28, "items").replace("string", "x" * 1000 * size),
    "alternatives that may be null": lambda size: nested(30, "anyOf", "properties", beside=" " * 50 * size),
}


@for_each("name", GROWING)
def test_schema_of_twice_the_size_costs_twice_as_much(name: str) -> None:
    made = [GROWING[name](size) for size in SIZES]
    for target in TARGETS.values():
        for way in WAYS:
            costs = [check(text, target, way) for text in made]
            assert in_proportion(costs) or grows_in_proportion(GROWING[name], target, way)
    check_memory(made[-1] + " ", TARGETS["gpt-4o"], "form")
    check_memory(made[-1] + " ", TARGETS["claude-haiku-4-5"], "form")


@for_each("keyword", KEYWORDS)
def test_keywords_may_be_nested_in_each_other_as_deep_as_is_let_in(keyword: str) -> None:
    for other in KEYWORDS[KEYWORDS.index(keyword) :]:
        for beside in ("", ',"anyOf":[{"type":"null"}]'):
            levels = 31 if keyword in (*MAPS, *LISTS) or other in (*MAPS, *LISTS) else 62
            schema = nested(levels, keyword, other, beside=beside if f'"{keyword}"' not in beside else "")
            for target in TARGETS.values():
                for way in WAYS:
                    check(schema, target, way)


def test_random_schemas_grow_in_proportion() -> None:
    found = [problem for number in range(50) if (problem := problem_of(4, number))]
    assert not found


# ------------------------------------------------------------------------------------------------------- quoted once


@BOTH
def test_what_is_taken_out_is_quoted_as_it_was_given(rules: SchemaRules) -> None:
    given = '[ {"maxLength":1.0},{"oneOf":[{"type":"object"}], "anyOf": [{"const":1}]} ]'
    text, notices = fit_schema(f'{{"type":"array","items":{{"oneOf":{given},"anyOf":[{{}}]}}}}', rules, "f", "P")
    items = {"anyOf": [{}], "description": f"[oneOf: {given}]"}
    assert json.loads(text) == {"type": "array", "items": items}
    assert notices[0].message.endswith("was changed: $.items without oneOf")


# --------------------------------------------------------------------------------------------------------- recursion


BASE = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
SELF = {"allOf": [{"$ref": "#/$defs/base"}, {"$ref": "#/$defs/node"}]}


def linked_list() -> Any:
    node = {"type": "object", "properties": {"next": SELF}, "required": ["next"]}
    return {"$ref": "#/$defs/node", "$defs": {"base": BASE, "node": node}}


def tree() -> Any:
    node = {"type": "object", "properties": {"left": SELF, "right": SELF}, "required": ["left", "right"]}
    root = {"type": "object", "properties": {"root": {"$ref": "#/$defs/node"}}, "required": ["root"]}
    return {**root, "$defs": {"base": BASE, "node": node, "joined_1": {"type": "null"}}}


@BOTH
@for_each("schema", [linked_list(), tree()], ids=["linked list", "tree"])
def test_object_that_is_joined_with_itself_refers_to_itself(schema: Any, rules: SchemaRules) -> None:
    text, _ = fit_schema(json.dumps(schema), rules, "f", "P")
    fitted = json.loads(text)
    inner = {name: {} for name in schema["$defs"]["node"]["properties"]}
    node: Any = fitted["$defs"]["node"]
    # As deep as anybody looks.
    for _ in range(10):
        assert node["additionalProperties"] is False
        assert inner.keys() <= node["properties"].keys()
        assert set(node["required"]) == node["properties"].keys()
        for name in inner:
            child = node["properties"][name]
            if "$ref" in child:
                child = fitted["$defs"][child["$ref"].removeprefix("#/$defs/")]
            assert child["properties"]["id"] == {"type": "string"}
        node = child
    assert fit_schema(text, rules, "f", "P") == (text, [])
    assert (
        fitted["$defs"].get("joined_1") != schema["$defs"].get("joined_1", {"none": 1}) or "joined_2" in fitted["$defs"]
    )


@BOTH
def test_what_would_be_joined_too_often_becomes_a_definition(rules: SchemaRules) -> None:
    large = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(200)}}
    both = {"allOf": [{"$ref": "#/$defs/large"}, {"$ref": "#/$defs/other"}]}
    places = {f"q{n}": both for n in range(300)}
    schema = {"type": "object", "properties": places, "$defs": {"large": large, "other": BASE}}
    given = json.dumps(schema)
    text, notices = fit_schema(given, rules, "f", "P")
    fitted = json.loads(text)
    assert fitted["$defs"]["joined_1"]["properties"].keys() == {"id", *large["properties"]}
    assert '"allOf"' not in text
    assert "without allOf" not in notices[0].message
    assert len(text) < 10 * len(given)


@BOTH
def test_objects_that_exclude_each_other_are_told_wherever_they_are_written(rules: SchemaRules) -> None:
    """Where there is no room for them in place, too."""
    large = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(100)}}
    both = {"allOf": [{"$ref": "#/$defs/large"}, {"$ref": "#/$defs/other"}]}
    places = {f"q{n}": {"type": "object", "allOf": [both, both]} for n in range(50)}
    schema = {"type": "object", "properties": places, "$defs": {"large": large, "other": BASE}}
    text, _ = fit_schema(json.dumps(schema), rules, "f", "P")
    assert text.count("[allOf: [{") == len(places)
    assert '"allOf":' not in text
    assert fit_schema(text, rules, "f", "P")[0] == text


@BOTH
def test_nested_objects_may_extend_the_same_definition_in_place(rules: SchemaRules) -> None:
    """That is no recursion."""
    inner = {"allOf": [{"$ref": "#/$defs/base"}, {"properties": {"inner": {"type": "null"}}}]}
    outer = {"allOf": [{"$ref": "#/$defs/base"}, {"properties": {"outer": inner}}]}
    schema = {"type": "object", "properties": {"a": outer}, "required": ["a"], "$defs": {"base": BASE}}
    text, _ = fit_schema(json.dumps(schema), rules, "f", "P")
    assert json.loads(text)["$defs"].keys() == {"base"}
    assert "allOf" not in text


# ----------------------------------------------------------------------------------------------------------- numbers


@BOTH
@for_each("keyword", ["type", "required", "minItems", "pattern", "enum", "default", "$ref", "allOf"])
def test_numbers_may_have_any_length(keyword: str, rules: SchemaRules) -> None:
    """Python reads no integer of more than 4300 digits."""
    for value in ("1" * 5000, f"[{'1' * 5000}]"):
        schema = f'{{"type":"object","properties":{{"a":{{"{keyword}":{value}}}}},"required":["a"]}}'
        assert value in fit_schema(schema, rules, "f", "P")[0]


# ----------------------------------------------------------------------------------------------------------- notices


@BOTH
def test_notices_are_short_whatever_things_are_called(rules: SchemaRules) -> None:
    schema = STRING
    for _ in range(20):
        schema = f'{{"properties":{{"{"n" * 5000}":{schema}}},"{"k" * 5000}":1}}'
    _, notices = fit_schema(schema, rules, "f", "P")
    assert len(notices[0].message) < 25_000
    assert "; and " in notices[0].message


# ------------------------------------------------------------------------------------------------- beside the loop


@for_each("name", GROWING)
def test_no_schema_that_is_fitted_on_the_loop_takes_long(name: str) -> None:
    """At most 20 ms, with a factor of ten of room."""
    schema = GROWING[name](1)
    for size in range(2, 100):
        larger = GROWING[name](size)
        conversation = Conversation(request_with(larger, "form"), [ChatMessage(role="user", content="Hello")])
        if conversation.work() >= LARGE_BYTES:
            break
        schema = larger
    for rules in (ANTHROPIC_OUTPUT, OPENAI_STRICT):
        text = schema + " " * 99
        assert cpu_seconds(lambda text=text, rules=rules: fit_schema(text, rules, "f", "P")) < 0.2


@for_each(
    "made",
    [
        lambda length: '{"a":[' + ",".join(["[" * 60 + "]" * 60] * (length // 121)) + "]}",
        lambda length: "{" + ",".join(f'"{number}":[]' for number in range(length // 12)) + "}",
        lambda length: '{"' + "_x" * (length // 2) + '":0}',
        lambda length: '{"a":"' + "\\\\" * (length // 2) + '"}',
    ],
    ids=["combs", "members", "names", "escapes"],
)
@for_each("field", ["tools", "config", "form", "options"])
def test_no_json_that_is_checked_on_the_loop_takes_long(made: Callable[[int], str], field: str) -> None:
    length = MAX_SCHEMA_LENGTH - 100
    while True:
        request = request_of(made(length), field)
        if work_to_check(request) < LARGE_BYTES:
            break
        length //= 2
    assert cpu_seconds(lambda: check_chat_request(request)) < 0.2


def request_of(text: str, field: str) -> ChatRequest:
    request = ChatRequest(model="m", messages=[ChatMessage(role="user", content="Hello")])
    if field == "options":
        request.provider_options_json["openai"] = text
    elif field == "form":
        request.response_format.type, request.response_format.schema_json = "json_schema", text
    elif field == "config":
        tool = request.tools.add()
        tool.provider_tool.type, tool.provider_tool.config_json = "x", text
    else:
        request.tools.add(name="t", parameters_json=text)
    return request


def test_small_requests_are_not_looked_at_twice() -> None:
    request = request_of("{}", "tools")
    assert work_to_check(request) == request.ByteSize()


@for_each("count", [1, 40])
def test_no_schema_of_a_tool_that_is_mended_on_the_loop_takes_long(count: int) -> None:
    """One large schema, or many small ones: at most 100 ms, with a factor of four of room."""
    tools, size = [ToolDefinition(name="f", parameters_json="{}")], 1
    while True:
        schema = json.dumps({"type": "object", "properties": {f"p{number}": {} for number in range(size)}})
        request = request_with("{}", "form")
        request.tools.extend([ToolDefinition(name="f", parameters_json=schema)] * count)
        if Conversation(request, [ChatMessage(role="user", content="Hello")]).work() >= LARGE_BYTES:
            break
        tools, size = list(request.tools), size + size // 4 + 1
    texts = [tool.parameters_json + " " * blanks for blanks, tool in enumerate(tools)]
    assert cpu_seconds(lambda: [repair_schema(text, with_items=True) for text in texts]) < 0.4


def test_properties_that_say_that_they_are_required_are_gathered_in_time() -> None:
    schema = {
        "properties": {f"p{number}": {"required": True} for number in range(6000)},
        "required": [f"q{number}" for number in range(12_000)],
    }
    text = json.dumps(schema)
    assert cpu_seconds(lambda: repair_schema(text, with_items=True)) < 0.5
    assert len(json.loads(repair_schema(text, with_items=True))["required"]) == 18_000

"""Types as JSON Schemas, JSON as their values, and functions as tools."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict, Union
from uuid import UUID

import pytest
from pydantic import BaseModel

from genai_platform import ToolDefinition
from genai_platform.requests import build_chat_request
from genai_platform.type_schemas import describe_type
from genai_platform.type_values import read_value
from tests.rows import for_each


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Street:
    name: str
    number: int = 1


@dataclass
class Person:
    """Somebody."""

    name: Annotated[str, "the whole name"]
    streets: list[Street]
    born: date | None = field(default=None, metadata={"description": "the day"})
    friends: list[Person] = field(default_factory=list)


class Place(TypedDict):
    """Somewhere."""

    name: str
    height: NotRequired[float]


class Model(BaseModel):
    name: str


class Nested(BaseModel):
    model: Model


@dataclass
class Mixed:
    nested: Nested
    model: Model


@dataclass
class Checked:
    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError("number must not be negative")


NESTED = {
    "properties": {"model": {"$ref": "#/$defs/Model"}},
    "required": ["model"],
    "title": "Nested",
    "type": "object",
}
STREET = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "number": {"type": "integer"}},
    "required": ["name"],
}
MODEL = {
    "properties": {"name": {"title": "Name", "type": "string"}},
    "required": ["name"],
    "title": "Model",
    "type": "object",
}


@for_each(
    ("kind", "schema"),
    [
        (int, {"type": "integer"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (Sequence[str], {"type": "array", "items": {"type": "string"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (
            tuple[int, str],
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        ),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (Mapping[str, Any], {"type": "object", "additionalProperties": {}}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Color, {"enum": ["red", "blue"]}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (Optional[bool], {"anyOf": [{"type": "boolean"}, {"type": "null"}]}),  # noqa: UP045
        (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),  # noqa: UP007
        (Annotated[int, 3, "a number"], {"type": "integer", "description": "a number"}),
        (datetime, {"type": "string", "format": "date-time"}),
        (Street, STREET),
        (list[Street], {"type": "array", "items": {"$ref": "#/$defs/Street"}, "$defs": {"Street": STREET}}),
        (
            Place,
            {
                "type": "object",
                "properties": {"name": {"type": "string"}, "height": {"type": "number"}},
                "required": ["name"],
                "description": "Somewhere.",
            },
        ),
        (Model, MODEL),
        (
            list[Nested | Model],
            {
                "type": "array",
                "items": {"anyOf": [NESTED, MODEL]},
                "$defs": {"Model": MODEL},
            },
        ),
    ],
)
def test_type_has_a_schema(kind: Any, schema: dict[str, Any]) -> None:
    assert describe_type(kind) == schema


def test_class_that_holds_itself_is_described_once() -> None:
    described = describe_type(Person)
    assert described["$ref"] == "#/$defs/Person"
    person = described["$defs"]["Person"]
    assert person["description"] == "Somebody."
    assert person["properties"]["name"] == {"type": "string", "description": "the whole name"}
    assert person["properties"]["born"]["description"] == "the day"
    assert person["properties"]["friends"]["items"] == {"$ref": "#/$defs/Person"}
    assert person["required"] == ["name", "streets"]


def test_pydantic_models_stand_within_dataclasses() -> None:
    assert describe_type(Mixed)["$defs"] == {"Model": MODEL}
    read = read_value(Mixed, {"nested": {"model": {"name": "a"}}, "model": {"name": "b"}})
    assert read == Mixed(Nested(model=Model(name="a")), Model(name="b"))


@for_each("kind", [complex, bytes, dict[int, str], list[complex], type(len)])
def test_type_that_json_has_no_values_for_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="has no JSON Schema; use a dataclass, a TypedDict or a Pydantic model"):
        describe_type(kind)


def test_classes_of_one_name_are_refused() -> None:
    other = dataclass(type("Street", (), {"__annotations__": {"a": int}}))
    with pytest.raises(TypeError, match="two classes of one schema are called Street"):
        describe_type(Street | other)


ADA = {
    "name": "Ada",
    "streets": [{"name": "Lace", "number": 7.0}],
    "born": "1815-12-10",
    "friends": [{"name": "B", "streets": []}],
}


@for_each(
    ("kind", "value", "expected"),
    [
        (Person, ADA, Person("Ada", [Street("Lace", 7)], date(1815, 12, 10), [Person("B", [])])),
        (Street, {"name": "a", "more": 1}, Street("a")),
        (Place, {"name": "a", "height": 3}, {"name": "a", "height": 3.0}),
        (list[Model], [{"name": "a"}], [Model(name="a")]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[int], [1, 1], {1}),
        (dict[str, Street], {"a": {"name": "b"}}, {"a": Street("b")}),
        (Color, "blue", Color.BLUE),
        (Literal["a", 1], 1, 1),
        (UUID, "00000000-0000-0000-0000-000000000001", UUID(int=1)),
        (Any, {"a": 1}, {"a": 1}),
        (int | None, None, None),
        (int | str, "a", "a"),
        (Place | Street, {"name": "a", "number": 2}, Street("a", 2)),
        (Place | Street, {"name": "a", "number": 2, "more": 3}, {"name": "a"}),
        (Annotated[int, "x"], 3, 3),
    ],
)
def test_json_is_read_as_a_value_of_the_type(kind: Any, value: Any, expected: Any) -> None:
    read = read_value(kind, value)
    assert (read, type(read)) == (expected, type(expected))


@for_each(
    ("kind", "value", "text"),
    [
        (int, True, "answer: must be a value of type int"),
        (int, 1.5, "answer: must be a value of type int"),
        (bool, 1, "answer: must be a value of type bool"),
        (str, None, "answer: must be a value of type str"),
        (list[int], {}, "answer: must be a list"),
        (tuple[int, str], [1], "answer: must have 2 items"),
        (Person, {"name": "Ada"}, "answer: must have the members name, streets, born, friends"),
        (Person, {"name": "Ada", "streets": [{"name": 3}]}, r"answer.streets\[0\].name: must be a value of type str"),
        (dict[str, int], {"a": "b"}, "answer.a: must be a value of type int"),
        (Color, "green", "answer: must be one of 'red', 'blue'"),
        (Literal[1], True, "answer: must be one of 1"),
        (Street | None, 3, "answer: must be one of Street, NoneType"),
        (date, "yesterday", "Invalid isoformat"),
        (Checked, {"number": -1}, "number must not be negative"),
    ],
)
def test_json_of_another_type_is_refused_by_its_place(kind: Any, value: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read_value(kind, value)


def weather(city: str, days: int = 1, unit: Literal["C", "F"] = "C", at: Street | None = None) -> str:
    """Tells the weather.

    As far as it is known.

    Args:
        city: The name of the city,
            as people call it.
        days (int): How many days.

    Returns:
        The weather: a text.
    """
    return f"{city} {days} {unit} {at}"


async def search(query: Annotated[str, "the words"], limit: int = 3) -> list[str]:
    """Searches.

    :param query: not this
    :param int limit: at most
    :returns: nothing
    """
    return [query] * limit


class Shop:
    def order(self, name: str, options=None) -> None:  # type: ignore[no-untyped-def]  # as people write them
        pass


def tool(function: Any) -> ToolDefinition:
    return build_chat_request("Hi", {"tools": [function]}).tools[0]


def test_function_is_a_tool() -> None:
    described = tool(weather)
    assert (described.name, described.description) == ("weather", "Tells the weather.\n\nAs far as it is known.")
    assert json.loads(described.parameters_json) == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The name of the city, as people call it."},
            "days": {"type": "integer", "description": "How many days."},
            "unit": {"enum": ["C", "F"]},
            "at": {"anyOf": [{"$ref": "#/$defs/Street"}, {"type": "null"}]},
        },
        "required": ["city"],
        "$defs": {"Street": STREET},
    }


def test_parameters_are_described_by_annotations_and_by_sphinx() -> None:
    described = tool(search)
    assert described.description == "Searches."
    properties = json.loads(described.parameters_json)["properties"]
    assert properties["query"]["description"] == "the words"
    assert properties["limit"]["description"] == "at most"


def test_method_is_a_tool_without_its_object() -> None:
    assert json.loads(tool(Shop().order).parameters_json) == {
        "type": "object",
        "properties": {"name": {"type": "string"}, "options": {}},
        "required": ["name"],
    }


def variadic(*words: str) -> None: ...


def unknown(word: complex) -> None: ...


@for_each(
    ("function", "text"),
    [
        (
            variadic,
            r"tools\[0\]: the parameters of variadic cannot .*: \*words: 'str' cannot be given by name",
        ),
        (unknown, r"tools\[0\]: the parameters of unknown cannot be described: complex has no JSON Schema"),
        (lambda word: word, r"tools\[0\]: must be a ToolDefinition, a dict of its fields, or a function with a name"),
    ],
)
def test_function_that_a_model_cannot_call_is_refused(function: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        tool(function)

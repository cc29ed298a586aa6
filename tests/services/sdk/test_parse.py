"""Answers as values, against a real server.

The asynchronous client takes all tests; the blocking one, which is generated from it, takes one.
"""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import dataclass
from typing import Any, Literal, Self

import grpc
import pytest
from pydantic import BaseModel, Field, RootModel, ValidationError

from genai_platform import (
    AsyncGenAIPlatform,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    GenAIError,
    GenAIPlatform,
    ParseError,
    ResponseFormat,
)
from genai_platform.async_models import AsyncModels
from services.shared import errors
from tests.services.sdk.backend import Backend


class Street(BaseModel):
    name: str
    number: int = 1


class Person(BaseModel):
    name: str
    age: int = Field(ge=0)
    nickname: str | None = None
    streets: list[Street] = Field(default_factory=list)


ADA = '{"name": "Ada", "age": 36, "nickname": null, "streets": [{"name": "Lace", "number": 7}]}'
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"z": {"type": "number"}, "a": {"type": "string"}}}


class Streets(RootModel[list[Street]]):
    pass


class Place(RootModel[Street | Person]):
    pass


class Tree(RootModel["list[Tree] | int"]):
    pass


class Kind(RootModel[Literal["a", "b"]]):
    pass


LACE = '{"name": "Lace", "number": 7}'
ROOTS: list[tuple[Any, str, Any]] = [
    (Streets, f"[{LACE}]", Streets([Street(name="Lace", number=7)])),
    (Place, LACE, Place(Street(name="Lace", number=7))),
    (Tree, "[[1], 2]", Tree([Tree([Tree(1)]), Tree(2)])),
    (Kind, '"b"', Kind("b")),
    ({"type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "integer"}}}, "[1]", [1]),
    ({"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"type": "integer"}]}, "[1, [2]]", [1, [2]]),
]
"""What is no object at its root, an answer, and the value that it is."""


@pytest.fixture
def models(async_platform: AsyncGenAIPlatform) -> AsyncModels:
    return async_platform.models


def answer(backend: Backend, text: str, finish_reason: str = "stop") -> ChatResponse:
    """Scripts the answer to every chat, and returns it."""
    response = ChatResponse(text=text, finish_reason=finish_reason, model="m", response_id="chat-1")

    async def chat(request: ChatRequest, _: object) -> ChatResponse:
        return response

    backend.answers["Chat"] = chat
    return response


def asked(backend: Backend) -> Any:
    """The request that came."""
    return backend.received[-1].request


async def test_an_answer_is_an_instance_of_the_class(backend: Backend, models: AsyncModels) -> None:
    response = answer(backend, ADA)
    parsed = await models.parse("Who was first?", schema=Person, model="m", temperature=0)
    assert parsed.value == Person(name="Ada", age=36, streets=[Street(name="Lace", number=7)])
    assert parsed.response == response
    assert asked(backend).model == "m"
    assert asked(backend).config.temperature == 0
    assert asked(backend).messages[0].content == "Who was first?"


def test_the_blocking_client_returns_the_same_instance(backend: Backend) -> None:
    response = answer(backend, ADA)
    with GenAIPlatform(backend.address) as platform:
        parsed = platform.models.parse("Who was first?", schema=Person, model="m")
    assert parsed.value == Person(name="Ada", age=36, streets=[Street(name="Lace", number=7)])
    assert parsed.response == response


async def test_a_class_is_asked_for_by_its_name_with_all_its_fields(backend: Backend, models: AsyncModels) -> None:
    """Some providers know no optional properties, and would have them null, which `number` is not."""
    answer(backend, ADA)
    await models.parse("Who?", schema=Person, model="m")
    wanted = asked(backend).response_format
    schema = json.loads(wanted.schema_json)
    assert (wanted.type, wanted.name, wanted.strict) == ("json_schema", "Person", True)
    assert schema["required"] == ["name", "age", "nickname", "streets"]
    assert schema["$defs"]["Street"]["required"] == ["name", "number"]
    assert schema["properties"]["age"] == Person.model_json_schema()["properties"]["age"]


async def test_a_dict_is_sent_as_it_is_and_gives_what_the_json_says(backend: Backend, models: AsyncModels) -> None:
    answer(backend, '{"z": 1.5, "a": "ü"}')
    parsed = await models.parse("Go.", schema=SCHEMA, strict=None, model="m")
    assert parsed.value == {"z": 1.5, "a": "ü"}
    wanted = asked(backend).response_format
    assert wanted == ResponseFormat(type="json_schema", schema_json=json.dumps(SCHEMA))


def resolved(schema: Any, root: Any) -> Any:
    """What a reference within `root` names."""
    target = root
    for name in schema["$ref"].removeprefix("#/").split("/"):
        target = target[name]
    return target


@pytest.mark.parametrize(("schema", "text", "value"), ROOTS, ids=["list", "union", "tree", "word", "dict", "itself"])
async def test_what_is_no_object_is_asked_for_as_the_member_of_one(
    backend: Backend, models: AsyncModels, schema: Any, text: str, value: Any
) -> None:
    for given in (f'{{"value": {text}}}', text):
        answer(backend, given)
        parsed = await models.parse("Where?", model="m", schema=schema)
        assert parsed.value == value
    sent = json.loads(asked(backend).response_format.schema_json)
    assert (sent["type"], list(sent["properties"]), sent["required"]) == ("object", ["value"], ["value"])
    assert sent["additionalProperties"] is False
    for reference in re.findall(r'\{"\$ref": "[^"]*"\}', json.dumps(sent)):
        assert resolved(json.loads(reference), sent)


async def test_object_that_the_root_refers_to_is_no_other(backend: Backend, models: AsyncModels) -> None:
    schema = {"$ref": "#/$defs/p", "$defs": {"p": SCHEMA}}
    answer(backend, '{"value": 1}')
    assert (await models.parse("Who?", model="m", schema=schema)).value == {"value": 1}
    assert json.loads(asked(backend).response_format.schema_json) == schema


async def test_a_title_becomes_a_name_that_providers_take(backend: Backend, models: AsyncModels) -> None:
    answer(backend, "{}")
    await models.parse("Go.", schema={**SCHEMA, "title": "A häuser list"}, model="m")
    assert asked(backend).response_format.name == "A_h_user_list"


async def test_a_request_is_asked_as_it_is_and_left_as_it_was(backend: Backend, models: AsyncModels) -> None:
    answer(backend, ADA)
    request = ChatRequest(model="m", messages=[ChatMessage(role="user", content="Who?")], session_id="s")
    before = request.SerializeToString(deterministic=True)
    assert (await models.parse(request, schema=Person)).value.name == "Ada"
    assert request.SerializeToString(deterministic=True) == before
    sent = ChatRequest()
    sent.CopyFrom(asked(backend))
    sent.ClearField("response_format")
    assert sent == request


@dataclass
class Sum:
    total: int
    currency: str = "EUR"


async def test_types_are_schemas_and_their_values_the_answers(backend: Backend, models: AsyncModels) -> None:
    answer(backend, '{"total": 3, "currency": "USD"}')
    assert (await models.parse("How much?", schema=Sum, model="m")).value == Sum(3, "USD")
    sent: Any = backend.received[-1].request
    assert (sent.response_format.name, json.loads(sent.response_format.schema_json)["required"]) == (
        "Sum",
        ["total", "currency"],
    )
    for schema, text, value in (
        (list[Street], f'{{"value": [{LACE}]}}', [Street(name="Lace", number=7)]),
        (Sum | None, '{"value": null}', None),
        (int, "5", 5),
    ):
        answer(backend, text)
        assert (await models.parse("How much?", schema=schema, model="m")).value == value
    answer(backend, '{"value": ["no"]}')
    with pytest.raises(ParseError, match="ANSWER_INVALID") as caught:
        await models.parse("How much?", schema=list[int], model="m")
    assert str(caught.value.__cause__) == "answer[0]: must be a value of type int"


class Loud:
    """A class that is no Pydantic model and has what `parse` needs."""

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        return SCHEMA

    @classmethod
    def model_validate_json(cls, json_data: str, /) -> Self:
        return cls(json_data.upper())


async def test_any_class_with_a_schema_that_reads_json_will_do(backend: Backend, models: AsyncModels) -> None:
    answer(backend, '{"a": "b"}')
    parsed = await models.parse("Go.", schema=Loud, model="m")
    assert isinstance(parsed.value, Loud)
    assert parsed.value.text == '{"A": "B"}'


@pytest.mark.parametrize(
    ("finish_reason", "reason"),
    [
        ("refusal", "ANSWER_REFUSED"),
        ("content_filter", "ANSWER_FILTERED"),
        ("length", "ANSWER_CUT_OFF"),
        ("tool_calls", "ANSWER_CALLS_TOOLS"),
        ("pause", "ANSWER_PAUSED"),
    ],
)
async def test_an_answer_that_ended_otherwise_is_an_error_that_has_it(
    backend: Backend, models: AsyncModels, finish_reason: str, reason: str
) -> None:
    """Even when what came is valid JSON by chance."""
    response = answer(backend, ADA, finish_reason)
    with pytest.raises(ParseError) as caught:
        await models.parse("Who?", schema=Person, model="m")
    assert (caught.value.reason, caught.value.response) == (reason, response)
    assert caught.value.metadata == {"finish_reason": finish_reason, "response_id": "chat-1"}
    assert "Ada" not in str(caught.value)


@pytest.mark.parametrize("schema", [Person, SCHEMA], ids=["class", "dict"])
@pytest.mark.parametrize("text", ["", "Ada, I think.", '{"name": "Ada"', "[" * 100_000])
async def test_an_answer_that_is_no_json_is_an_error_that_has_it(
    backend: Backend, models: AsyncModels, text: str, schema: Any
) -> None:
    response = answer(backend, text)
    with pytest.raises(
        ParseError, match=r"ask again, or name a model that enforces schemas \[ANSWER_INVALID\]"
    ) as caught:
        await models.parse("Who?", schema=schema, model="m")
    assert caught.value.response == response
    assert "Ada" not in str(caught.value)


async def test_json_that_does_not_follow_the_schema_tells_why_in_its_cause(
    backend: Backend, models: AsyncModels
) -> None:
    answer(backend, '{"name": "Ada", "age": -1}')
    with pytest.raises(ParseError) as caught:
        await models.parse("Who?", schema=Person, model="m")
    assert caught.value.reason == "ANSWER_INVALID"
    assert isinstance(caught.value.__cause__, ValidationError)


async def test_a_parse_error_is_caught_like_every_error_of_a_call(backend: Backend, models: AsyncModels) -> None:
    answer(backend, "", "length")
    with pytest.raises(grpc.RpcError) as caught:
        await models.parse("Who?", schema=Person, model="m")
    assert isinstance(caught.value, GenAIError)
    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    assert "max_tokens" in caught.value.details()


def test_a_parse_error_survives_pickling() -> None:
    error = ParseError("text", reason="ANSWER_REFUSED", response=ChatResponse(text="No.", finish_reason="refusal"))
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is ParseError
    assert vars(copy) == vars(error)


async def test_errors_of_the_call_stay_what_they_are(backend: Backend, models: AsyncModels) -> None:
    backend.raises("Chat", errors.NotFound("no such model", reason="MODEL_NOT_FOUND"))
    with pytest.raises(GenAIError, match="MODEL_NOT_FOUND") as caught:
        await models.parse("Who?", schema=Person, model="m")
    assert not isinstance(caught.value, ParseError)


@pytest.mark.parametrize("schema", [None, "{}", Person(name="x", age=1)])
async def test_what_is_no_schema_is_refused_before_anything_is_sent(
    backend: Backend, models: AsyncModels, schema: Any
) -> None:
    with pytest.raises(TypeError, match="schema must be a JSON Schema as a dict, or a type"):
        await models.parse("Who?", schema=schema, model="m")
    assert not backend.received


async def test_a_form_of_the_answer_is_given_once(backend: Backend, models: AsyncModels) -> None:
    with pytest.raises(TypeError, match="as schema= and as response_format"):
        await models.parse("Who?", schema=Person, model="m", response_format={"type": "json_object"})
    request = ChatRequest(response_format=ResponseFormat(type="text"))
    with pytest.raises(TypeError, match="as schema= and as response_format"):
        await models.parse(request, schema=Person)
    assert not backend.received

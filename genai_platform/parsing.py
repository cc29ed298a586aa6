"""Structured output for `parse`: the request for a schema, and the answer as a value."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from genai_platform.building import build
from genai_platform.errors import ParseError
from genai_platform.requests import Messages, build_chat_request
from genai_platform.schemas import VALUE, Schema, describe_format, describe_schema, is_object
from genai_platform.type_schemas import is_self_describing
from genai_platform.type_values import read_value
from genai_platform.v1.models_pb2 import ChatRequest, ChatResponse, ResponseFormat

UNFINISHED = {
    "refusal": ("ANSWER_REFUSED", "the model refused to answer; its words are in the error's response"),
    "content_filter": ("ANSWER_FILTERED", "the provider's content filter ended the answer; change the question"),
    "length": ("ANSWER_CUT_OFF", "the answer was cut off; allow more with max_tokens"),
    "tool_calls": ("ANSWER_CALLS_TOOLS", "the model called tools; answer the calls in the error's response, then ask"),
    "pause": ("ANSWER_PAUSED", "the provider paused the answer; send the error's response.message back to go on"),
}


Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Parsed(Generic[Value]):
    """The result of `parse`."""

    value: Value
    """A value of the type; for a dict schema the decoded JSON, which is not validated here: most providers enforce
    the schema themselves, and `response.warnings` names the parts that they do not enforce."""
    response: ChatResponse
    """The complete answer."""


def build_parse_request(
    given: ChatRequest | Messages | None, fields: Mapping[str, Any], schema: Schema, strict: bool | None
) -> ChatRequest:
    """Builds a chat request whose answer is JSON that follows `schema`.

    Raises TypeError as `build_chat_request` does, and for a request that has a `response_format` already.
    """
    built = build_chat_request(given, fields)
    if built.HasField("response_format"):
        raise TypeError("the form of the answer is given twice: as schema= and as response_format")
    request = ChatRequest()
    request.CopyFrom(built)
    request.response_format.CopyFrom(build(ResponseFormat, **describe_format(schema, strict)))
    return request


def read_answer(response: ChatResponse, schema: Schema) -> Parsed[Any]:
    """Reads a complete answer. Raises ParseError when it was refused or cut off, or does not follow the schema."""
    if response.finish_reason in UNFINISHED:
        reason, message = UNFINISHED[response.finish_reason]
        raise ParseError(message, reason=reason, response=response)
    read = _reader(schema)
    is_wrapped = not is_object(describe_schema(schema)[1])
    problem: Exception | None = None
    for text in _candidates(response):
        try:
            return Parsed(read(_unwrap(text) if is_wrapped else text), response)
        except (ValueError, RecursionError) as error:
            problem = problem or error
    message = "the answer does not follow the schema; ask again, or name a model that enforces schemas"
    raise ParseError(message, reason="ANSWER_INVALID", response=response) from problem


def _reader(schema: Schema) -> Callable[[str], Any]:
    if isinstance(schema, Mapping):
        return json.loads
    if is_self_describing(schema):
        read: Callable[[str], Any] = cast(Any, schema).model_validate_json
        return read
    return lambda text: read_value(schema, json.loads(text))


def _candidates(response: ChatResponse) -> Iterator[str]:
    """The texts that may hold the value: the whole one, and the last part, which may follow remarks about a tool."""
    yield response.text
    texts = [part.text for part in response.message.parts if part.text]
    if len(texts) > 1:
        yield texts[-1]


def _unwrap(text: str) -> str:
    """The JSON of a wrapped value. Servers that do not enforce schemas may have answered with the bare value."""
    given = json.loads(text)
    if isinstance(given, dict) and given.keys() == {VALUE}:
        return json.dumps(given[VALUE], ensure_ascii=False)
    return text

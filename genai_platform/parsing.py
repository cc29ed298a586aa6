"""Structured output for `parse`: the response format for a schema, and the answer as a value.

A schema is a JSON Schema as a dict, a Pydantic model, or any class with the same two class methods.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from genai_platform.building import build
from genai_platform.errors import ParseError
from genai_platform.requests import Messages, build_chat_request
from proto.models_pb2 import ChatRequest, ChatResponse, ResponseFormat

MAX_NAME_LENGTH = 64
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")

# The keywords of JSON Schema that hold schemas: as the values of an object, as the items of a list, or one by itself.
SCHEMA_MAPS = ("properties", "$defs", "definitions")
SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
SCHEMAS = ("items", "additionalProperties")

ALTERNATIVES = frozenset({"anyOf", "oneOf"})
DEFINITIONS = ("$defs", "definitions")
_TO_DEFINITIONS = tuple(f"#/{name}/" for name in DEFINITIONS)

VALUE = "value"
"""The only member of the object that wraps a value of another type."""

UNFINISHED = {
    "refusal": ("ANSWER_REFUSED", "the model refused to answer; its words are in the error's response"),
    "content_filter": ("ANSWER_FILTERED", "the provider's content filter ended the answer; change the question"),
    "length": ("ANSWER_CUT_OFF", "the answer was cut off; allow more with max_tokens"),
    "tool_calls": ("ANSWER_CALLS_TOOLS", "the model called tools; answer the calls in the error's response, then ask"),
    "pause": ("ANSWER_PAUSED", "the provider paused the answer; send the error's response.message back to go on"),
}


class ReadsJson(Protocol):
    """A class that `parse` accepts, such as a Pydantic model."""

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]: ...

    @classmethod
    def model_validate_json(cls, json_data: str, /) -> Self: ...


Model = TypeVar("Model", bound=ReadsJson)
Value = TypeVar("Value")

Schema = type[ReadsJson] | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parsed(Generic[Value]):
    """The result of `parse`."""

    value: Value
    """An instance of the class; for a dict schema the decoded JSON, which is not validated here: most providers enforce
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
    request.response_format.CopyFrom(build_response_format(schema, strict))
    return request


def build_response_format(schema: Schema, strict: bool | None = True) -> ResponseFormat:
    """The response format for `schema`.

    The schema of a class has all of its properties required, also those with defaults: some providers support no
    optional ones. A dict is sent unchanged. A schema of another type than object, such as a list or a union, is wrapped
    as the only member of an object: providers enforce schemas of objects only.
    """
    title, described = _describe(schema)
    if not _is_object(described):
        described = _wrap(described)
    name = _NO_NAME.sub("_", title[:MAX_NAME_LENGTH])
    schema_json = json.dumps(described, ensure_ascii=False)
    return build(ResponseFormat, type="json_schema", schema_json=schema_json, name=name, strict=strict)


def read_answer(response: ChatResponse, schema: Schema) -> Parsed[Any]:
    """Reads a complete answer. Raises ParseError when it was refused or cut off, or does not follow the schema."""
    if response.finish_reason in UNFINISHED:
        reason, message = UNFINISHED[response.finish_reason]
        raise ParseError(message, reason=reason, response=response)
    read = json.loads if isinstance(schema, Mapping) else schema.model_validate_json
    is_wrapped = not _is_object(_describe(schema)[1])
    problem: Exception | None = None
    for text in _candidates(response):
        try:
            return Parsed(read(_unwrap(text) if is_wrapped else text), response)
        except (ValueError, RecursionError) as error:
            problem = problem or error
    message = "the answer does not follow the schema; ask again, or name a model that enforces schemas"
    raise ParseError(message, reason="ANSWER_INVALID", response=response) from problem


def _candidates(response: ChatResponse) -> Iterator[str]:
    """The texts that may hold the value: the whole one, and the last part, which may follow remarks about a tool."""
    yield response.text
    texts = [part.text for part in response.message.parts if part.text]
    if len(texts) > 1:
        yield texts[-1]


def _describe(schema: Schema) -> tuple[str, dict[str, Any]]:
    """The name and the JSON Schema of a schema."""
    if isinstance(schema, Mapping):
        return str(schema.get("title", "")), dict(schema)
    if isinstance(schema, type) and hasattr(schema, "model_json_schema") and hasattr(schema, "model_validate_json"):
        return schema.__name__, _require_all(schema.model_json_schema())
    raise TypeError("schema must be a JSON Schema as a dict, or a class such as a Pydantic model")


def _is_object(schema: Mapping[str, Any]) -> bool:
    """Whether all values of a schema are objects; an `anyOf` or `oneOf` at the root counts as no."""
    seen: set[str] = set()
    root: Any = schema
    while isinstance(root, Mapping) and "type" not in root and isinstance(root.get("$ref"), str):
        if root["$ref"] in seen:
            return False
        seen.add(root["$ref"])
        root = _find(schema, root["$ref"])
    if not isinstance(root, Mapping) or not ALTERNATIVES.isdisjoint(root):
        return False
    return root.get("type") == "object" or ("type" not in root and "properties" in root)


def _find(schema: Mapping[str, Any], reference: str) -> Any:
    """The definition that a reference names; None for a reference to anything else."""
    kind, _, name = reference.removeprefix("#/").partition("/")
    definitions = schema.get(kind) if kind in DEFINITIONS else None
    return definitions.get(name) if isinstance(definitions, Mapping) else None


def _wrap(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an object whose only member has the given schema."""
    definitions = {name: _moved(schema[name]) for name in DEFINITIONS if name in schema}
    value = _moved({name: member for name, member in schema.items() if name not in DEFINITIONS})
    members = {"properties": {VALUE: value}, "required": [VALUE], "additionalProperties": False}
    return {"type": "object", **members, **definitions}


def _moved(schema: Any) -> Any:
    """A part of a wrapped schema, with references to its old root corrected; definitions stay at the root."""
    if isinstance(schema, list):
        return [_moved(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    moved = {name: _moved(member) for name, member in schema.items()}
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#") and not reference.startswith(_TO_DEFINITIONS):
        moved["$ref"] = f"#/properties/{VALUE}{reference[1:]}"
    return moved


def _unwrap(text: str) -> str:
    """The JSON of a wrapped value. Servers that do not enforce schemas may have answered with the bare value."""
    given = json.loads(text)
    if isinstance(given, dict) and given.keys() == {VALUE}:
        return json.dumps(given[VALUE], ensure_ascii=False)
    return text


def _require_all(schema: Any) -> Any:
    """The schema with all properties required, in every object within it."""
    if not isinstance(schema, dict):
        return schema
    required = dict(schema)
    for name in SCHEMA_MAPS:
        if name in schema:
            required[name] = {key: _require_all(value) for key, value in schema[name].items()}
    for name in SCHEMA_LISTS:
        if name in schema:
            required[name] = [_require_all(value) for value in schema[name]]
    for name in SCHEMAS:
        if name in schema:
            required[name] = _require_all(schema[name])
    if "properties" in schema:
        required["required"] = list(schema["properties"])
    return required

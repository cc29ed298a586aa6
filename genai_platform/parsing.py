"""Answers as values: asks for JSON that follows a schema, and reads it.

A schema is a JSON Schema as a dict, or a class that has one and reads JSON: a Pydantic model, or whatever has the same
two class methods. A streamed answer works too, by `response_format`: its tokens are valid JSON once they are whole.
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

# Where a schema holds others: as the values of an object, as the items of a list, or by itself.
SCHEMA_MAPS = ("properties", "$defs", "definitions")
SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
SCHEMAS = ("items", "additionalProperties")

ALTERNATIVES = frozenset({"anyOf", "oneOf"})
DEFINITIONS = ("$defs", "definitions")
_TO_DEFINITIONS = tuple(f"#/{name}/" for name in DEFINITIONS)

VALUE = "value"
"""The member that holds a value which is no object."""

UNFINISHED = {
    "refusal": ("ANSWER_REFUSED", "the model refused to answer; its words are in the error's response"),
    "content_filter": ("ANSWER_FILTERED", "the provider's content filter ended the answer; change the question"),
    "length": ("ANSWER_CUT_OFF", "the answer was cut off; allow more with max_tokens"),
    "tool_calls": ("ANSWER_CALLS_TOOLS", "the model called tools; answer the calls in the error's response, then ask"),
    "pause": ("ANSWER_PAUSED", "the provider paused the answer; send the error's response.message back to go on"),
}


class ReadsJson(Protocol):
    """What `parse` needs of a class. A Pydantic model has it."""

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]: ...

    @classmethod
    def model_validate_json(cls, json_data: str, /) -> Self: ...


Model = TypeVar("Model", bound=ReadsJson)
Value = TypeVar("Value")

Schema = type[ReadsJson] | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parsed(Generic[Value]):
    """An answer that was read."""

    value: Value
    """An instance of the class, or for a dict schema what the JSON says. The latter is not checked once more: most
    providers keep to the schema by themselves, and `response.warnings` tells what they do not enforce."""
    response: ChatResponse
    """The whole answer."""


def build_parse_request(
    given: ChatRequest | Messages | None, fields: Mapping[str, Any], schema: Schema, strict: bool | None
) -> ChatRequest:
    """The request of a chat, with an answer in JSON that follows `schema`.

    Raises TypeError as `build_chat_request` does, and for a request that has a form of the answer already.
    """
    built = build_chat_request(given, fields)
    if built.HasField("response_format"):
        raise TypeError("the form of the answer is given twice: as schema= and as response_format")
    request = ChatRequest()
    request.CopyFrom(built)
    request.response_format.CopyFrom(build_response_format(schema, strict))
    return request


def build_response_format(schema: Schema, strict: bool | None = True) -> ResponseFormat:
    """The form of an answer that follows `schema`.

    A class is asked for with all its fields, those with defaults too: some providers know no optional ones. A dict is
    sent as it is. What is no object, a list or a choice between several for one, is asked for as the only member of
    one: providers enforce no other schemas.
    """
    title, described = _describe(schema)
    if not _is_object(described):
        described = _wrap(described)
    name = _NO_NAME.sub("_", title[:MAX_NAME_LENGTH])
    schema_json = json.dumps(described, ensure_ascii=False)
    return build(ResponseFormat, type="json_schema", schema_json=schema_json, name=name, strict=strict)


def read_answer(response: ChatResponse, schema: Schema) -> Parsed[Any]:
    """Reads a whole answer. Raises ParseError for one that ended otherwise or is not what was asked for."""
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
    """Where the value may be: in the whole text, or behind what a model says before it uses a tool of its provider."""
    yield response.text
    texts = [part.text for part in response.message.parts if part.text]
    if len(texts) > 1:
        yield texts[-1]


def _describe(schema: Schema) -> tuple[str, dict[str, Any]]:
    """What a schema is called, and the schema itself."""
    if isinstance(schema, Mapping):
        return str(schema.get("title", "")), dict(schema)
    if isinstance(schema, type) and hasattr(schema, "model_json_schema") and hasattr(schema, "model_validate_json"):
        return schema.__name__, _require_all(schema.model_json_schema())
    raise TypeError("schema must be a JSON Schema as a dict, or a class such as a Pydantic model")


def _is_object(schema: Mapping[str, Any]) -> bool:
    """Whether a schema says that its values are objects, and not alternatives."""
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
    """The definition that a reference names; None for one of another form."""
    kind, _, name = reference.removeprefix("#/").partition("/")
    definitions = schema.get(kind) if kind in DEFINITIONS else None
    return definitions.get(name) if isinstance(definitions, Mapping) else None


def _wrap(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an object whose only member is the value."""
    definitions = {name: _moved(schema[name]) for name in DEFINITIONS if name in schema}
    value = _moved({name: member for name, member in schema.items() if name not in DEFINITIONS})
    members = {"properties": {VALUE: value}, "required": [VALUE], "additionalProperties": False}
    return {"type": "object", **members, **definitions}


def _moved(schema: Any) -> Any:
    """A part of a schema whose root has become the member of another; definitions stay at the root."""
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
    """The value out of its object. A server that enforces no schema may have given it without."""
    given = json.loads(text)
    if isinstance(given, dict) and given.keys() == {VALUE}:
        return json.dumps(given[VALUE], ensure_ascii=False)
    return text


def _require_all(schema: Any) -> Any:
    """The schema with every property of every object in it required."""
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

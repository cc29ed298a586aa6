"""Python values for the fields of a request: what each field takes, and the error for anything else."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel

import genai_platform
from genai_platform import (
    AnswerCache,
    ChatConfig,
    ChatMessage,
    ContentPart,
    Media,
    ParameterPolicy,
    PromptRef,
    ReasoningConfig,
    Session,
    Timeouts,
    ToolCall,
    ToolChoice,
    ToolChoiceMode,
    ToolDefinition,
)
from genai_platform.building import build
from genai_platform.requests import build_chat_request
from proto import models_pb2, sessions_pb2
from tests.rows import for_each

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = ToolDefinition(name="weather", description="Tells it.", parameters_json=json.dumps(SCHEMA), strict=True)


def chat(given: Any = "Hi", **fields: Any) -> genai_platform.ChatRequest:
    return build_chat_request(given, fields)


@for_each(
    "tool",
    [
        WEATHER,
        {"name": "weather", "description": "Tells it.", "parameters": SCHEMA, "strict": True},
        {"name": "weather", "description": "Tells it.", "parameters_json": json.dumps(SCHEMA), "strict": True},
        {
            "type": "function",
            "function": {"name": "weather", "description": "Tells it.", "parameters": SCHEMA, "strict": True},
        },
        {"type": "function", "name": "weather", "description": "Tells it.", "parameters": SCHEMA, "strict": True},
        {"name": "weather", "description": "Tells it.", "input_schema": SCHEMA, "strict": True},
    ],
)
def test_tool_is_written_in_many_ways(tool: Any) -> None:
    assert list(chat(tools=[tool]).tools) == [WEATHER]


@for_each(
    ("choice", "expected"),
    [
        ("required", ToolChoice(mode=ToolChoiceMode.TOOL_CHOICE_MODE_REQUIRED)),
        ("TOOL_CHOICE_MODE_NONE", ToolChoice(mode=ToolChoiceMode.TOOL_CHOICE_MODE_NONE)),
        (ToolChoiceMode.TOOL_CHOICE_MODE_AUTO, ToolChoice(mode=ToolChoiceMode.TOOL_CHOICE_MODE_AUTO)),
        ({"mode": "auto"}, ToolChoice(mode=ToolChoiceMode.TOOL_CHOICE_MODE_AUTO)),
        ({"tool_name": "weather"}, ToolChoice(tool_name="weather")),
        ({"type": "function", "function": {"name": "weather"}}, ToolChoice(tool_name="weather")),
        ({"type": "function", "name": "weather"}, ToolChoice(tool_name="weather")),
    ],
)
def test_choice_of_tools_is_written_in_many_ways(choice: Any, expected: ToolChoice) -> None:
    assert chat(tool_choice=choice).tool_choice == expected


class Person(BaseModel):
    name: str


@for_each(
    ("given", "kind", "schema", "name"),
    [
        ("json_object", "json_object", None, ""),
        ({"type": "json_object"}, "json_object", None, ""),
        ({"schema": SCHEMA, "name": "n"}, "json_schema", SCHEMA, "n"),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}, "json_schema", SCHEMA, "n"),
        (Person, "json_schema", Person.model_json_schema(), "Person"),
    ],
)
def test_format_of_the_answer_is_written_in_many_ways(given: Any, kind: str, schema: Any, name: str) -> None:
    built = chat(response_format=given).response_format
    assert (built.type, built.name) == (kind, name)
    assert (json.loads(built.schema_json) if built.schema_json else None) == schema


def test_short_forms_of_other_fields() -> None:
    built = chat(
        reasoning="low", prompt="support/answer", cache=60, parameter_policy="Strict", provider_options={"a": {"b": 1}}
    )
    assert built.reasoning == ReasoningConfig(effort="low")
    assert built.prompt == PromptRef(name="support/answer")
    assert built.cache == AnswerCache(max_age=timedelta(seconds=60))
    assert built.parameter_policy == ParameterPolicy.PARAMETER_POLICY_STRICT
    assert dict(built.provider_options_json) == {"a": '{"b": 1}'}


def test_conversation_of_openai_is_understood() -> None:
    data = base64.b64encode(b"png").decode()
    conversation = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}", "detail": "low"}},
                {"type": "image_url", "image_url": "https://a/b.png"},
                {"type": "input_audio", "input_audio": {"data": data, "format": "mp3"}},
                {"type": "file", "file": {"file_id": "f1"}},
                "And this?",
                Media(url="https://c"),
                {"media": {"url": "https://d"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "ok"},
    ]
    parts = [
        ContentPart(text="What is this?"),
        ContentPart(media=Media(data=b"png", mime_type="image/png", detail="low")),
        ContentPart(media=Media(url="https://a/b.png")),
        ContentPart(media=Media(data=b"png", mime_type="audio/mp3")),
        ContentPart(media=Media(file_id="f1")),
        ContentPart(text="And this?"),
        ContentPart(media=Media(url="https://c")),
        ContentPart(media=Media(url="https://d")),
    ]
    assert list(chat(conversation).messages) == [
        ChatMessage(role="user", parts=parts),
        ChatMessage(role="assistant", tool_calls=[ToolCall(id="c", name="f", arguments_json="{}")]),
        ChatMessage(role="tool", tool_call_id="c", content="ok"),
    ]


class Indexed:
    def __index__(self) -> int:
        return 7


class Floating:
    def __float__(self) -> float:
        return 0.5


def test_numbers_of_other_libraries_are_numbers() -> None:
    assert build(ChatConfig, seed=Indexed(), temperature=Floating(), top_p=Indexed()) == ChatConfig(
        seed=7, temperature=0.5, top_p=7
    )


def test_times_and_bytes_are_those_of_python() -> None:
    assert build(Session, create_time=datetime(2026, 1, 2, tzinfo=UTC)).create_time.seconds == 1767312000
    assert build(Session, create_time=Timestamp(seconds=3)).create_time.seconds == 3
    assert build(Timeouts, connect=Duration(seconds=2)).connect.seconds == 2
    assert build(Media, data=bytearray(b"a")) == build(Media, data=memoryview(b"a")) == Media(data=b"a")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"timeouts": {"connect": "x"}}, "timeouts.connect: must be a number of seconds or a timedelta, not a str"),
    ({"timeouts": {"connect": float("inf")}}, "timeouts.connect: must be a number of seconds, not inf"),
    ({"timeouts": {"connect": True}}, "timeouts.connect: must be a number of seconds or a timedelta, not True"),
    ({"timeouts": 3}, "timeouts: must be a Timeouts or a dict of its fields, not 3"),
    ({"timeouts": ChatConfig()}, "timeouts: must be a Timeouts or a dict of its fields, not a ChatConfig"),
    ({"stop_sequences": "END"}, "stop_sequences: must be a list of texts, not one text; put it into brackets"),
    ({"stop_sequences": ["a", 3]}, "stop_sequences[1]: must be a text, not 3"),
    ({"stop_sequences": {"a": 1}}, "stop_sequences: must be a list of texts, not a dict"),
    (
        {"config": {"stop_sequences": "END"}},
        "config.stop_sequences: must be a list of texts, not one text; put it into brackets",
    ),
    ({"fallback_models": "m"}, "fallback_models: must be a list of texts, not one text; put it into brackets"),
    ({"tools": {"name": "f"}}, "tools: must be a list of ToolDefinitions, not a dict"),
    (
        {"tools": [{"name": "f", "parameters": {"a": {1}}}]},
        "tools[0].parameters: cannot be written as JSON: Object of type set is not JSON serializable",
    ),
    (
        {"tools": [{"name": "f", "parameters": {}, "parameters_json": "{}"}]},
        "tools[0].parameters_json: is given twice, as parameters_json and as parameters",
    ),
    (
        {"tools": [{"type": "web_search"}]},
        'tools[0].type: a tool that the provider runs is written {"provider_tool": {"type": …}}',
    ),
    ({"tools": [None]}, "tools[0]: must be a ToolDefinition or a dict of its fields, not None"),
    ({"temperature": "0.5"}, "temperature: must be a number, not a str"),
    ({"temperature": True}, "temperature: must be a number, not True"),
    ({"temperature": float("nan")}, "temperature: must be a number, not nan"),
    ({"config": {"temperature": []}}, "config.temperature: must be a number, not a list"),
    ({"max_tokens": 1.5}, "max_tokens: must be a whole number, not 1.5"),
    ({"max_tokens": True}, "max_tokens: must be a whole number, not True"),
    ({"max_tokens": 2**31}, "max_tokens: must be from -2147483648 to 2147483647, not 2147483648"),
    ({"logprobs": 5}, "logprobs: must be True or False, not 5"),
    ({"model": 4}, "model: must be a text, not 4"),
    ({"model": b"m"}, "model: must be a text, not a bytes"),
    ({"system": 4}, "system: must be a text, not 4"),
    ({"tags": ["a"]}, "tags: must be a dict, not a list"),
    ({"tags": {"a": 1}}, "tags.a: must be a text, not 1"),
    ({"tags": {1: "a"}}, "tags: a key: must be a text, not 1"),
    ({"parameter_policy": "lax"}, "parameter_policy: must be one of adapt, strict, passthrough, not 'lax'"),
    ({"parameter_policy": 9}, "parameter_policy: must be one of adapt, strict, passthrough, not 9"),
    (
        {"tool_choice": "any"},
        "tool_choice: must be auto, none or required, not 'any'; one tool is named by {\"tool_name\": …}",
    ),
    ({"tool_choice": {"mode": "any"}}, "tool_choice.mode: must be one of auto, none, required, not 'any'"),
    ({"tool_choice": {"mode": "auto", "tool_name": "f"}}, "tool_choice: mode and tool_name exclude each other"),
    (
        {"messages": [{"parts": [{"media": {"data": "x"}}]}]},
        "messages[0].parts[0].media.data: must be bytes, not a str; Media.from_file reads a file",
    ),
    (
        {"messages": [{"parts": [{"text": "x", "refusal": "y"}]}]},
        "messages[0].parts[0]: text and refusal exclude each other",
    ),
    (
        {"messages": [{"content": [{"type": "image"}]}]},
        'messages[0].content[0].type: \'image\' is no kind of part; write {"text": …} or {"media": {"url": …}}',
    ),
    (
        {"messages": [{"content": [{"type": "image_url", "image_url": "data:a,b"}]}]},
        "messages[0].content[0].image_url.url: a data: URL must say ;base64 before its comma",
    ),
    (
        {"messages": [{"content": [{"type": "input_audio", "input_audio": {"data": "~"}}]}]},
        "messages[0].content[0].input_audio.data: is no base64",
    ),
    (
        {"messages": [{"content": ["a"], "parts": [{"text": "a"}]}]},
        "messages[0]: has its parts twice, as content and as parts",
    ),
    ({"config": {"temprature": 1}}, "config.temprature: no such field; did you mean temperature?"),
]


@for_each(("fields", "text"), WRONG)
def test_wrong_value_names_its_field_and_what_was_given(fields: dict[str, Any], text: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        chat(None if "messages" in fields else "Hi", **fields)
    assert str(caught.value) == text


@for_each(
    ("name", "meant"),
    [
        ("stop", "did you mean stop_sequences?"),
        ("max_completion_tokens", "did you mean max_tokens?"),
        ("reasoning_effort", 'did you mean reasoning={"effort": …}?'),
        ("system_prompt", "did you mean system?"),
        ("user", "did you mean end_user_id?"),
        ("extra_body", "did you mean provider_options?"),
        ("functions", "did you mean tools?"),
        ("stream", "call chat_stream for a stream"),
        ("n", "a call has one answer; make several calls"),
        ("Temperature", "did you mean temperature?"),
        ("xyz", "a chat has no such field"),
    ],
)
def test_names_of_other_interfaces_are_answered_with_those_of_this_one(name: str, meant: str) -> None:
    with pytest.raises(TypeError) as caught:
        chat(**{name: 1})
    assert str(caught.value) in (f"{name}: no such field; {meant}", f"{name}: {meant}")


def test_text_is_never_repeated_in_an_error() -> None:
    with pytest.raises(TypeError) as caught:
        build(genai_platform.RegisterModelRequest, credential="sk-secret")
    assert str(caught.value) == "credential: must be a Credential or a dict of its fields, not a str"


def messages_of_the_contract() -> list[type[Message]]:
    names = [*models_pb2.DESCRIPTOR.message_types_by_name, *sessions_pb2.DESCRIPTOR.message_types_by_name]
    return [getattr(genai_platform, name) for name in names]


@for_each("message", messages_of_the_contract(), ids=lambda message: message.__name__)
@for_each("value", [object(), "x", b"x", 2**70, -1.5, float("nan"), True, [object()], [None], {"x": object()}, {1: 2}])
def test_no_value_for_any_field_is_answered_in_words_of_protobuf(message: type[Message], value: Any) -> None:
    told = {name: refusal_of(message, name, value) for name in message.DESCRIPTOR.fields_by_name}
    assert not {name: text for name, text in told.items() if text and (not text.startswith(name) or "proto" in text)}


def refusal_of(message: type[Message], name: str, value: Any) -> str:
    try:
        build(message, **{name: value})
    except (TypeError, ValueError) as error:
        return str(error)
    return ""

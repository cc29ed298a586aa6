"""Bodies for Responses, held against the request types of OpenAI's own SDK, and words against its answer types.

The SDK is imported by the tests that need it: it takes seconds to load.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from pydantic import TypeAdapter

from proto.models_pb2 import (
    ChatConfig,
    ChatMessage,
    ChatRequest,
    ContentPart,
    Media,
    ProviderState,
    ProviderTool,
    Reasoning,
    ReasoningConfig,
    ResponseFormat,
    ToolCall,
    ToolChoice,
    ToolDefinition,
    ToolResult,
)
from services.models.providers.answers.finish_reasons import FINISH_REASONS
from services.models.providers.base import Conversation, Target
from services.models.providers.dialects import OPENAI_RESPONSES
from services.models.providers.errors.error_body import REASONS_BY_WORD
from services.models.providers.facts import ModelFacts
from services.models.providers.openai.responses.tools import NAMELESS

TARGET = Target(
    OPENAI_RESPONSES, "openai", "gpt-6-luna", "https://api.openai.com/v1", {}, ModelFacts(), state_owner="openai"
)

USER = ChatMessage(role="user", content="Hello")
FIND = ToolDefinition(name="find", description="Finds.", parameters_json='{"type": "object"}')
CALL = ToolCall(id="call-a", name="find", arguments_json='{"n": 1}')
IMAGE = ContentPart(media=Media(data=b"x", mime_type="image/png"))
DOCUMENT = ContentPart(media=Media(url="https://x.test/a.pdf", detail="low"))
STATES = (
    b'{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"gAAA"}',
    b'{"id":"msg_1","type":"message","status":"completed","role":"assistant","phase":"commentary",'
    b'"content":[{"type":"output_text","text":"Hm.","annotations":[]}]}',
    b'{"id":"fc_1","type":"function_call","status":"completed","call_id":"call-a","name":"find","arguments":"{}"}',
)
CUSTOM_STATE = b'{"id":"ctc_1","type":"custom_tool_call","call_id":"call-b","name":"query","input":"SELECT 1"}'
CUSTOM_CALL = ContentPart(
    tool_call=ToolCall(id="call-b", name="query", arguments_json="SELECT 1"),
    provider_state=ProviderState(provider="openai", data=CUSTOM_STATE),
)

CONVERSATIONS: dict[str, list[ChatMessage]] = {
    "one question": [USER],
    "system and developer": [
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="developer", content="Be kind."),
        USER,
        ChatMessage(role="assistant", content="Hi."),
        USER,
    ],
    "tool calls": [
        USER,
        ChatMessage(role="assistant", content="Let me see.", tool_calls=[CALL]),
        ChatMessage(role="tool", tool_call_id="call-a", content="found"),
        ChatMessage(role="assistant", tool_calls=[CALL]),
        ChatMessage(
            role="tool",
            parts=[ContentPart(tool_result=ToolResult(tool_call_id="call-a", content=[IMAGE, DOCUMENT]))],
        ),
    ],
    "call of a custom tool": [
        USER,
        ChatMessage(role="assistant", parts=[CUSTOM_CALL]),
        ChatMessage(
            role="tool",
            parts=[ContentPart(tool_result=ToolResult(tool_call_id="call-b", content=[ContentPart(text="1"), IMAGE]))],
        ),
    ],
    "media": [ChatMessage(role="user", parts=[ContentPart(text="Look:"), IMAGE, DOCUMENT])],
    "state": [
        USER,
        ChatMessage(
            role="assistant",
            parts=[
                ContentPart(reasoning=Reasoning(), provider_state=ProviderState(provider="openai", data=data))
                for data in STATES
            ],
        ),
        ChatMessage(role="tool", tool_call_id="call-a", content="found"),
    ],
}

SETTINGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "parameters": {"config": ChatConfig(temperature=0, max_tokens=100, top_p=1, seed=7, stop_sequences=["END"])},
    "reasoning": {"reasoning": ReasoningConfig(effort="high", include_text=True)},
    "tools": {
        "tools": [FIND, ToolDefinition(name="stop", strict=True)],
        "config": ChatConfig(parallel_tool_calls=False),
    },
    "own tools": {"tools": [ToolDefinition(provider_tool=ProviderTool(type="web_search"))]},
    "custom tool": {
        "tools": [ToolDefinition(name="query", provider_tool=ProviderTool(type="custom"))],
        "tool_choice": ToolChoice(tool_name="query"),
    },
    "tool choice required": {"tools": [FIND], "tool_choice": ToolChoice(mode="TOOL_CHOICE_MODE_REQUIRED")},
    "tool choice by name": {"tools": [FIND], "tool_choice": ToolChoice(tool_name="find")},
    "json schema": {
        "response_format": ResponseFormat(type="json_schema", schema_json='{"type": "object"}', strict=True)
    },
    "json object": {"response_format": ResponseFormat(type="json_object")},
    "end user": {"end_user_id": "user-7", "prompt_cache_key": "shop"},
}


@functools.cache
def request_type(*, stream: bool) -> TypeAdapter[Any]:
    from openai.types.responses import response_create_params as params

    return TypeAdapter((params.ResponseCreateParamsNonStreaming, params.ResponseCreateParamsStreaming)[stream])


def body_of(conversation: str, settings: str, *, stream: bool) -> Any:
    request = ChatRequest(model="any", **SETTINGS[settings])
    encoded = OPENAI_RESPONSES.encode(Conversation(request, CONVERSATIONS[conversation]), TARGET, stream=stream)
    return msgspec.json.decode(encoded.request.body)


def plain(value: Any) -> Any:
    """A validated value, with the iterables drained that pydantic validates only then."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_body_is_of_the_vendors_type(conversation: str, settings: str) -> None:
    """Also that nothing is in it which the type does not know: validation drops such members."""
    for stream in (False, True):
        body = body_of(conversation, settings, stream=stream)
        assert plain(request_type(stream=stream).validate_python(body, strict=True)) == body


def test_types_would_notice() -> None:
    body = body_of("tool calls", "tools", stream=False)
    del body["input"][1]["content"]
    with pytest.raises(ValueError, match="content"):
        plain(request_type(stream=False).validate_python(body, strict=True))


def test_every_tool_without_a_name_is_known() -> None:
    from openai.types.responses import ToolParam

    members = {kind: hints for tool in get_args(ToolParam) for kind, hints in tool_types(tool)}
    nameless = {kind for kind, hints in members.items() if not hints & {"name", "server_label"}}
    assert nameless == NAMELESS


def tool_types(tool: Any) -> Iterable[tuple[str, set[str]]]:
    """The words for a type of tool, each with the members that it has."""
    hints = get_type_hints(tool)
    for kind in get_args(hints["type"]):
        yield kind, set(hints)


def test_every_reason_of_an_end_is_known() -> None:
    """But for those of a connection that is no request: messages sent while the model answers."""
    from openai.types.responses.response import IncompleteDetails

    reasons = get_args(get_args(IncompleteDetails.model_fields["reason"].annotation)[0])
    assert set(reasons) - {"max_messages", "steered"} <= FINISH_REASONS.keys()


def test_every_code_of_a_failure_has_a_meaning() -> None:
    from openai.types.responses import ResponseError

    codes = set(get_args(ResponseError.model_fields["code"].annotation))
    assert codes <= REASONS_BY_WORD.keys()

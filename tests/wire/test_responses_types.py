"""Bodies for Responses, held against the request types of OpenAI's own SDK, and words against its answer types.

The SDK is imported by the tests that need it: it takes seconds to load.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args, get_type_hints

import msgspec

from proto.models_pb2 import (
    ChatMessage,
    ChatRequest,
    ContentPart,
    Media,
    ProviderState,
    ProviderTool,
    Reasoning,
    ToolCall,
    ToolChoice,
    ToolDefinition,
    ToolResult,
)
from services.models.providers.answers.finish_reasons import FINISH_REASONS
from services.models.providers.base import Conversation, Target
from services.models.providers.errors.error_body import REASONS_BY_WORD
from services.models.providers.facts import ModelFacts
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES
from services.models.providers.openai.responses.tools import NAMELESS
from tests.rows import row
from tests.wire.vendor_types import validated

TARGET = Target(
    OPENAI_RESPONSES, "openai", "gpt-6-luna", "https://api.openai.com/v1", {}, ModelFacts(), state_owner="openai"
)

USER = ChatMessage(role="user", content="Hello")
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
    "call of a custom tool": [
        USER,
        ChatMessage(role="assistant", parts=[CUSTOM_CALL]),
        ChatMessage(
            role="tool",
            parts=[ContentPart(tool_result=ToolResult(tool_call_id="call-b", content=[ContentPart(text="1"), IMAGE]))],
        ),
    ],
    "detail of a document": [ChatMessage(role="user", parts=[ContentPart(text="Look:"), DOCUMENT])],
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


def test_bodies_are_of_the_vendors_type() -> None:
    """What no body in tests/wire/bodies has. Validation drops members that the type does not know."""
    query = ToolDefinition(name="query", provider_tool=ProviderTool(type="custom"))
    for name, messages in CONVERSATIONS.items():
        request = ChatRequest(model="any", tools=[query], tool_choice=ToolChoice(tool_name="query"))
        encoded = OPENAI_RESPONSES.encode(Conversation(request, messages), TARGET, stream=False)
        body = msgspec.json.decode(encoded.request.body)
        with row(name):
            assert validated("openai_responses", body) == body


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

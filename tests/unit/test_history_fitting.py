"""Rules for histories that no dialect here has, and a native one of another vendor needs."""

from __future__ import annotations

from proto.models_pb2 import ChatMessage, ChatRequest, ContentPart, ProviderState, ToolCall, ToolResult
from services.models.catalog.vendors import ADAPTER_TYPES
from services.models.providers.base import Conversation
from services.models.providers.history.call_arguments import fit_arguments
from services.models.providers.history.tool_names import fit_tool_names
from services.models.providers.notices import Notices
from services.models.transport.api_roots import api_roots

RULES = ADAPTER_TYPES["openai"].dialect.history.tool_names


def test_results_name_their_tool_as_its_calls_do() -> None:
    assert RULES
    call = ToolCall(id="a", name="files.read", arguments_json="{}")
    answer = ContentPart(tool_result=ToolResult(tool_call_id="a", name="files.read"))
    unnamed = ContentPart(tool_result=ToolResult(tool_call_id="a"))
    messages = [
        ChatMessage(role="assistant", tool_calls=[call]),
        ChatMessage(role="tool", parts=[answer, unnamed]),
    ]
    fitted, _ = fit_tool_names(Conversation(ChatRequest(), messages), RULES, [])
    called, answered = fitted.messages
    name = called.tool_calls[0].name
    assert name != "files.read"
    assert [part.tool_result.name for part in answered.parts] == [name, ""]
    assert messages[1].parts[0].tool_result.name == "files.read"


def test_arguments_beside_state_are_kept_only_where_the_state_has_them() -> None:
    state = ProviderState(provider="mine", data=b'{"signature":"x"}')
    part = ContentPart(tool_call=ToolCall(id="a", name="find", arguments_json='{"city": "Os'), provider_state=state)
    placed = [("messages[0]", ChatMessage(role="assistant", parts=[part]))]
    notices: Notices = []
    assert fit_arguments(placed, "mine", notices) is placed
    ((_, fitted),) = fit_arguments(placed, None, notices)
    assert fitted.parts[0].tool_call.arguments_json == '{"arguments":"{\\"city\\": \\"Os"}'
    assert [notice.code for notice in notices] == ["TOOL_ARGUMENTS_WRAPPED"]


def test_version_of_an_api_may_be_another_one() -> None:
    assert list(api_roots("https://a", "/v1beta", without_version=True)) == ["https://a/v1beta", "https://a"]
    assert list(api_roots("https://a/v1beta", "/v1beta")) == ["https://a/v1beta", "https://a"]
    assert list(api_roots("https://a/v1", "/v1beta")) == ["https://a/v1"]

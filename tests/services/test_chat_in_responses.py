"""A chat goes to OpenAI's Responses where only that can carry it, and what decides may be in the session's history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proto.models_pb2 import ChatMessage, ContentPart, PreviewChatRequest, ToolDefinition
from tests.scripted_upstream import ScriptedUpstream
from tests.services.chat_in_session import Platform, chat, platform, turn
from tests.services.model_service import chat_request
from tests.services.vendor_answers import answered_in_any_dialect

MODEL = "gpt-6-luna"
TOOL = ToolDefinition(name="weather", parameters_json='{"type":"object"}')

both_verbs = pytest.mark.parametrize("verb", ["Chat", "ChatStream"])


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=answered_in_any_dialect) as server:
        yield server


@pytest.fixture
async def services(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Platform]:
    async with platform(tmp_path, upstream) as running:
        yield running


def paths(upstream: ScriptedUpstream) -> list[str]:
    return [request.path for request in upstream.requests if request.method == "POST"]


@both_verbs
async def test_tools_take_a_reasoning_model_to_responses(
    services: Platform, upstream: ScriptedUpstream, verb: str
) -> None:
    for tools in ([], [TOOL]):
        response = await chat(services.models, chat_request(MODEL, tools=tools), verb)
        assert response.text == "Hi."
    assert paths(upstream) == ["/v1/chat/completions", "/v1/responses"]


@both_verbs
async def test_state_in_the_history_takes_the_next_turn_to_responses(
    services: Platform, upstream: ScriptedUpstream, verb: str
) -> None:
    """Only Responses takes back what it encrypted, and a later turn may have no tools any more."""
    state = {"provider": "openai", "data": b'{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"}'}
    thought = ContentPart(reasoning={"redacted": True}, provider_state=state)
    earlier = [
        ChatMessage(role="user", content="Hello!"),
        ChatMessage(role="assistant", parts=[thought, ContentPart(text="Hi.")]),
    ]
    await services.sessions.append(*earlier)
    await chat(services.models, turn("And now?", MODEL), verb)
    assert paths(upstream) == ["/v1/responses"]
    assert b'"encrypted_content":"x"' in upstream.requests[-1].body


@both_verbs
async def test_reasoning_in_the_history_is_told_as_lost_to_a_model_that_does_not_reason(
    services: Platform, upstream: ScriptedUpstream, verb: str
) -> None:
    """OpenAI refuses it there by either way, and the call behind it without it, but for one in our own form."""
    owned = {"provider": "openai"}
    thought = ContentPart(
        reasoning={"redacted": True}, provider_state=owned | {"data": b'{"type":"reasoning","id":"rs_1"}'}
    )
    call = ContentPart(
        tool_call={"id": "a", "name": "weather", "arguments_json": "{}"},
        provider_state=owned | {"data": b'{"type":"function_call","id":"fc_1","call_id":"a","name":"weather"}'},
    )
    await services.sessions.append(
        ChatMessage(role="user", content="Hello!"),
        ChatMessage(role="assistant", parts=[thought, call]),
        ChatMessage(role="tool", tool_call_id="a", content="Rain."),
    )
    response = await chat(services.models, turn("And now?", "gpt-4o-mini"), verb)
    assert paths(upstream) == ["/v1/chat/completions"]
    assert [message["role"] for message in upstream.requests[-1].json()["messages"]] == [
        "user",
        "assistant",
        "tool",
        "user",
    ]
    assert [notice.code for notice in response.warnings if notice.field == "session_id"] == ["REASONING_DROPPED"]


async def test_a_preview_is_of_the_dialect_that_carries_the_request(services: Platform) -> None:
    for tools, path in (([], "/chat/completions"), ([TOOL], "/responses")):
        preview = PreviewChatRequest(request=chat_request(MODEL, tools=tools))
        assert (await services.models.PreviewChat(preview)).path == path

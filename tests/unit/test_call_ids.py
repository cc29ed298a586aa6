"""Ids of tool calls are what the provider takes, and calls and results keep belonging together."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from proto.models_pb2 import ChatMessage, ChatRequest, ContentPart, ProviderState, ToolCall, ToolResult
from services.models.providers.base import Conversation
from services.models.providers.history.call_ids import fit_call_ids
from services.models.providers.names import CallIdRules

PLAIN = CallIdRules(re.compile("[A-Za-z0-9_]{1,40}"))
UNIQUE = CallIdRules(PLAIN.pattern, are_unique=True)


def talk(*messages: ChatMessage) -> Conversation:
    request = ChatRequest(messages=messages)
    return Conversation(request, request.messages)


def calling(*call_ids: str) -> ChatMessage:
    return ChatMessage(role="assistant", tool_calls=[ToolCall(id=call_id, name="find") for call_id in call_ids])


def calling_in_parts(*call_ids: str, owner: str = "") -> ChatMessage:
    state = ProviderState(provider=owner, data=b"{}") if owner else None
    calls = [ToolCall(id=call_id, name="find") for call_id in call_ids]
    return ChatMessage(role="assistant", parts=[ContentPart(tool_call=call, provider_state=state) for call in calls])


def result(call_id: str) -> ChatMessage:
    return ChatMessage(role="tool", tool_call_id=call_id, content="found")


def result_in_parts(call_id: str) -> ChatMessage:
    return ChatMessage(role="tool", parts=[ContentPart(tool_result=ToolResult(tool_call_id=call_id))])


def ids(conversation: Conversation) -> list[str]:
    """All ids in the order in which they stand."""
    found: list[str] = []
    for message in conversation.messages:
        found += [call.id for call in message.tool_calls]
        found += [part.tool_call.id or part.tool_result.tool_call_id for part in message.parts]
        found += [message.tool_call_id] if message.tool_call_id else []
    return found


def test_what_fits_is_left_alone() -> None:
    conversation = talk(ChatMessage(role="user", content="x"), calling("a", "b"), result("b"), result_in_parts("a"))
    assert fit_call_ids(conversation, UNIQUE, "me") is conversation


def test_id_that_does_not_fit_is_replaced_in_call_and_result() -> None:
    conversation = talk(calling("find:0"), result("find:0"), calling_in_parts("é"), result_in_parts("é"))
    first, first_result, second, second_result = ids(fit_call_ids(conversation, PLAIN, "me"))
    assert first == first_result
    assert second == second_result
    assert first != second
    assert all(PLAIN.pattern.fullmatch(call_id) for call_id in (first, second))
    assert ids(conversation) == ["find:0", "find:0", "é", "é"]


def test_same_id_gives_the_same_one_in_every_request() -> None:
    """Cached prompts are found again only by the same bytes."""
    short = fit_call_ids(talk(calling("find:0"), result("find:0")), UNIQUE, "me")
    longer = fit_call_ids(talk(calling("find:0"), result("find:0"), calling("b"), result("b")), UNIQUE, "me")
    assert ids(longer)[:2] == ids(short)


def test_id_of_an_earlier_call_is_replaced_where_ids_must_differ() -> None:
    conversation = talk(calling("a"), result("a"), calling("a"), result("a"))
    assert fit_call_ids(conversation, PLAIN, "me") is conversation
    first, first_result, second, second_result = ids(fit_call_ids(conversation, UNIQUE, "me"))
    assert first == first_result == "a"
    assert second == second_result != "a"


def test_call_in_the_providers_own_form_keeps_its_id() -> None:
    own = talk(calling_in_parts("find:0", owner="me"), result("find:0"))
    assert fit_call_ids(own, PLAIN, "me") is own
    others = talk(calling_in_parts("find:0", owner="you"), result("find:0"))
    assert ids(fit_call_ids(others, PLAIN, "me"))[0] != "find:0"


@given(st.lists(st.sampled_from(["a", "b", "find:0", "x" * 50]), max_size=8))
def test_results_belong_to_their_calls_and_no_two_calls_have_the_same_id(call_ids: list[str]) -> None:
    messages = [message for call_id in call_ids for message in (calling(call_id), result(call_id))]
    fitted = ids(fit_call_ids(talk(*messages), UNIQUE, "me"))
    assert fitted[0::2] == fitted[1::2]
    assert len(set(fitted)) == len(call_ids)
    assert all(UNIQUE.pattern.fullmatch(call_id) for call_id in fitted)

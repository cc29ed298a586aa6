"""Contexts: the window of a conversation that is sent to a model."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proto import sessions_pb2 as pb
from proto.models_pb2 import ChatMessage, ContentPart, Media, ToolCall, ToolResult, WindowPolicy
from services.sessions import contexts
from services.sessions.stored_messages import StoredMessage
from services.sessions.windows import Entry, Limits, Window
from tests.services.session_service import Service, said
from tests.support.databases import on_postgresql_too


@pytest.fixture
async def service(service: Service) -> Service:
    await service.create()
    return service


def called(*ids: str) -> ChatMessage:
    return said("assistant", tool_calls=[ToolCall(id=name, name="f") for name in ids])


def called_in_parts(name: str) -> ChatMessage:
    return said("assistant", parts=[ContentPart(tool_call=ToolCall(id=name, name="f"))])


def answered(name: str) -> ChatMessage:
    return said("tool", "42", tool_call_id=name)


def answered_in_parts(name: str) -> ChatMessage:
    return said("tool", parts=[ContentPart(tool_result=ToolResult(tool_call_id=name))])


async def fetch_context(service: Service, **window: int) -> pb.GetContextResponse:
    policy = WindowPolicy(**window) if window else None
    response: pb.GetContextResponse = await service.call(
        "GetContext", pb.GetContextRequest(session_id="s", window=policy)
    )
    return response


async def window(service: Service, max_messages: int) -> list[int]:
    return [entry.sequence for entry in (await fetch_context(service, max_messages=max_messages)).messages]


async def test_without_a_window_the_whole_history_is_the_context(service: Service) -> None:
    await service.append(*["x"] * 250)
    answer = await fetch_context(service)
    assert [entry.sequence for entry in answer.messages] == list(range(1, 251))
    assert (answer.next_sequence, answer.dropped_messages) == (251, 0)
    assert answer.estimated_tokens == 250 * 5


async def test_an_empty_session_has_an_empty_context(service: Service) -> None:
    for answer in (await fetch_context(service), await fetch_context(service, max_messages=5, max_tokens=5)):
        assert answer == pb.GetContextResponse(next_sequence=1)


async def test_a_window_begins_with_a_turn(service: Service) -> None:
    await service.append(said("user"), said("assistant"), said("user"), said("user"), said("assistant"))
    windows = {limit: await window(service, limit) for limit in range(7)}
    last_turn, whole = [3, 4, 5], [1, 2, 3, 4, 5]
    assert windows == {0: [], 1: [], 2: [], 3: last_turn, 4: last_turn, 5: whole, 6: whole}
    assert (await fetch_context(service, max_messages=4)).dropped_messages == 2


async def test_a_tool_call_stays_with_its_results(service: Service) -> None:
    """Here the user speaks between a call and its result, so that there is no whole turn that begins with it."""
    await service.append(
        said("user"), called("a", "b"), answered("a"), said("user"), answered("b"), said("assistant"), said("user")
    )
    assert await window(service, 1) == [7]
    assert await window(service, 6) == [7]
    assert await window(service, 7) == [1, 2, 3, 4, 5, 6, 7]


async def test_calls_and_results_in_parts_stay_together_too(service: Service) -> None:
    await service.append(
        said("user"), called_in_parts("a"), said("user"), answered_in_parts("a"), said("assistant"), said("user")
    )
    assert await window(service, 5) == [6]
    assert await window(service, 6) == [1, 2, 3, 4, 5, 6]


async def test_repeated_call_ids_belong_to_their_turns(service: Service) -> None:
    for _ in range(3):
        await service.append(said("user"), called("call_1"), answered("call_1"), said("assistant"))
    assert await window(service, 8) == [5, 6, 7, 8, 9, 10, 11, 12]


async def test_instructions_at_the_head_are_kept(service: Service) -> None:
    await service.append(said("system"), said("developer"))
    for _ in range(3):
        await service.append(said("user"), said("assistant"))
    assert await window(service, 1) == []
    assert await window(service, 2) == [1, 2]
    assert await window(service, 5) == [1, 2, 7, 8]
    assert await window(service, 8) == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_conversation_that_begins_with_the_assistant_is_a_whole_window(service: Service) -> None:
    await service.append(said("assistant"), said("user"), said("assistant"))
    assert await window(service, 3) == [1, 2, 3]
    assert await window(service, 2) == [2, 3]


async def test_result_without_its_call_hides_no_message_that_fits(service: Service) -> None:
    await service.append(said("user"), answered("lost"), said("assistant"))
    assert await window(service, 3) == [1, 2, 3]


async def test_a_window_can_be_of_tokens(service: Service) -> None:
    for _ in range(3):
        await service.append(said("user", "x" * 400), said("assistant", "x" * 400))
    answer = await fetch_context(service, max_tokens=450)
    assert [entry.sequence for entry in answer.messages] == [3, 4, 5, 6]
    assert answer.estimated_tokens == 4 * 104
    assert (await fetch_context(service, max_tokens=450, max_messages=3)).dropped_messages == 4


@on_postgresql_too
async def test_window_of_a_long_history(service: Service) -> None:
    await service.append(said("user"), *[said("assistant")] * 350)
    await service.append(said("user"))
    assert await window(service, 351) == [352]
    assert len(await window(service, 352)) == 352


async def test_history_too_large_for_one_response_is_refused(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contexts, "MAX_CONTEXT_BYTES", 10_000)
    for _ in range(4):
        await service.append("x" * 3_000)
    failure = await service.fail("GetContext", pb.GetContextRequest(session_id="s"))
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CONTEXT_TOO_LARGE")


def test_tokens_are_estimated_from_text_and_media() -> None:
    picture = ContentPart(media=Media(data=b"x" * 10**6))
    message = said("user", "ignored", parts=[ContentPart(text="x" * 40), picture, ContentPart(refusal="x" * 4)])
    assert entry_of(message).tokens == 4 + 11 + 1000
    assert entry_of(called("a")).tokens == 4 + 1


@given(
    st.lists(
        st.sampled_from(["system", "user", "user", "assistant", "call a", "call b", "answer a", "answer b"]),
        max_size=14,
    ),
    st.integers(min_value=0, max_value=15),
)
@settings(max_examples=100)
def test_windows_keep_limits_and_calls_with_their_results(kinds: list[str], limit: int) -> None:
    messages = [conversation_message(kind) for kind in kinds]
    chosen = Window(Limits(messages=limit, tokens=None))
    entries = [entry_of(message, n) for n, message in enumerate(messages, start=1)]
    if all(chosen.add(entry) for entry in reversed(entries)):
        chosen.close_turn()
    start = len(messages) - len(chosen.entries)
    assert chosen.entries == entries[start:]
    assert len(chosen.entries) <= limit
    if len(messages) <= limit:
        assert start == 0
    if 0 < start < len(messages):
        assert messages[start].role in ("system", "user")
        assert messages[start - 1].role in ("assistant", "tool")
        assert not parted_calls(messages, start)


def entry_of(message: ChatMessage, sequence: int = 1) -> Entry:
    return Entry.of(StoredMessage(sequence, message.SerializeToString(), 0))


def conversation_message(kind: str) -> ChatMessage:
    verb, _, name = kind.partition(" ")
    if verb == "call":
        return called(name)
    return answered(name) if verb == "answer" else said(kind)


def parted_calls(messages: list[ChatMessage], start: int) -> list[str]:
    """The results from `start` on whose call is nowhere before them in the window."""
    made: set[str] = set()
    parted: list[str] = []
    for message in messages[start:]:
        made |= {call.id for call in message.tool_calls}
        if message.tool_call_id and message.tool_call_id not in made:
            parted.append(message.tool_call_id)
    return parted

"""Conversations, their export, and memory against the real services.

The asynchronous client takes all tests; the blocking one, which is generated from it, takes one of each kind.
"""

from __future__ import annotations

import io
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from genai_platform import (
    AppendMessagesRequest,
    AsyncConversation,
    AsyncGenAIPlatform,
    ChatMessage,
    ChatRequest,
    Conflict,
    ContentPart,
    GenAIPlatform,
    InvalidRequest,
    ListSessionsRequest,
    NotFound,
    ProviderState,
    SessionMessage,
    ToolCall,
)
from genai_platform.async_sessions import AsyncSessions
from tests.services.sdk.platform import ENDLESS, listed


@pytest.fixture
async def sessions(address: str) -> AsyncIterator[AsyncSessions]:
    async with AsyncGenAIPlatform(address) as platform:
        yield platform.sessions


@pytest.fixture
def user() -> str:
    return uuid.uuid4().hex


async def said(conversation: AsyncConversation) -> list[tuple[int, str, str]]:
    entries = await listed(conversation.messages())
    return [(entry.sequence, entry.message.role, entry.message.content) for entry in entries]


def test_the_blocking_client_has_conversations_exports_and_memory(address: str, user: str, tmp_path: Path) -> None:
    with GenAIPlatform(address) as platform:
        with platform.sessions.create(user_id=user, model="gpt-4o") as conversation:
            assert conversation.chat("One").text == "[user: One]"
            assert "".join(conversation.stream_text("Two")) == "user: One | assistant: [user: One] | user: Two"
        again = platform.sessions.open(conversation.session_id, user_id=user)
        assert [entry.sequence for entry in again.messages()] == [1, 2, 3, 4]
        assert again.truncate(3).removed_count == 2
        assert platform.sessions.export(again.session_id, tmp_path / "export.jsonl") == 2
        restored = platform.sessions.restore(tmp_path / "export.jsonl", user_id=user)
        assert [entry.message.content for entry in restored.messages()] == ["One", "[user: One]"]
        again.delete()
        with pytest.raises(NotFound):
            platform.sessions.open(again.session_id)

        memory = platform.sessions.memory(user)
        memory.set("a", [1])
        assert (memory.get("a"), dict(memory.items()), list(memory)) == ([1], {"a": [1]}, ["a"])
        memory.delete("a")
        assert memory.get("a", "missing") == "missing"


async def test_a_conversation_is_entered_or_awaited(sessions: AsyncSessions, user: str) -> None:
    async with sessions.create(user_id=user, model="gpt-4o") as conversation:
        assert (await conversation.chat("One")).text == "[user: One]"
        assert (await conversation.chat("Two")).text == "[user: One | assistant: [user: One] | user: Two]"
        assert "".join(await listed(conversation.stream_text("Three"))).endswith("| user: Three")
    again = await sessions.open(conversation.session_id, user_id=user)
    assert [entry.sequence async for entry in again.messages()] == [1, 2, 3, 4, 5, 6]
    async with sessions.open(conversation.session_id, user_id=user) as entered:
        assert entered.session == again.session


FORGOTTEN: dict[str, Callable[[AsyncSessions], object]] = {
    "create": lambda sessions: sessions.create(),
    "open": lambda sessions: sessions.open("s"),
    "restore": lambda sessions: sessions.restore("export.jsonl"),
}


@pytest.mark.parametrize("method", FORGOTTEN)
def test_a_session_that_is_not_awaited_warns_as_every_call_does(method: str) -> None:
    with pytest.warns(RuntimeWarning, match=rf"coroutine 'AsyncSessions\.{method}' was never awaited"):
        FORGOTTEN[method](AsyncGenAIPlatform().sessions)


async def test_a_session_is_created_with_all_that_is_said_of_it(sessions: AsyncSessions, user: str) -> None:
    conversation = await sessions.create(
        session_id=f"s-{user}", user_id=user, title="T", metadata={"k": "v"}, ttl=timedelta(hours=1), system="Be."
    )
    session = conversation.session
    assert (session.session_id, session.user_id, session.title) == (f"s-{user}", user, "T")
    assert dict(session.metadata) == {"k": "v"}
    assert session.expire_time.ToNanoseconds() > session.create_time.ToNanoseconds()
    assert await said(conversation) == [(1, "system", "Be.")]
    assert (await conversation.chat("One", model="gpt-4o")).text == "[system: Be. | user: One]"


async def test_another_users_session_is_not_found(sessions: AsyncSessions, user: str) -> None:
    conversation = await sessions.create(user_id=user, model="gpt-4o")
    with pytest.raises(NotFound):
        await sessions.open(conversation.session_id, user_id="somebody-else")
    with pytest.raises(NotFound):
        await sessions.export(conversation.session_id, io.StringIO(), user_id="somebody-else")


async def test_a_turn_wins_over_what_the_conversation_was_opened_with(sessions: AsyncSessions) -> None:
    conversation = await sessions.create(model="no-such-model", temperature=0)
    with pytest.raises(NotFound):
        await conversation.chat("One")
    assert (await conversation.chat("One", model="gpt-4o", config={"temperature": 1})).text
    assert len(await said(conversation)) == 2, "the turn that failed has left nothing"


async def test_a_stream_that_is_left_early_keeps_nothing(sessions: AsyncSessions) -> None:
    conversation = await sessions.create(model="gpt-4o")
    stream = conversation.chat_stream(ENDLESS)
    await anext(stream)
    with pytest.raises(Conflict) as busy:
        await conversation.chat("Meanwhile")
    assert busy.value.reason == "SESSION_BUSY"
    await stream.close()
    assert (await first_answer(conversation, "Two")) == "[user: Two]"


async def first_answer(conversation: AsyncConversation, text: str) -> str:
    """Says something as soon as the turn before is over: cancelling one takes a moment."""
    deadline = time.monotonic() + 10
    while True:
        try:
            answer: str = (await conversation.chat(text)).text
            return answer
        except Conflict:
            assert time.monotonic() < deadline


async def test_the_end_is_taken_back_and_said_differently(sessions: AsyncSessions) -> None:
    conversation = await sessions.create(model="gpt-4o")
    for text in ("One", "Two"):
        await conversation.chat(text)
    assert (await conversation.truncate(3)).removed_count == 2
    assert "Two" not in (await conversation.chat("Other")).text
    newest = await listed(conversation.messages(descending=True))
    assert [entry.sequence for entry in newest] == [4, 3, 2, 1]


async def test_keywords_that_no_turn_has_are_a_type_error_before_anything_is_made(
    sessions: AsyncSessions, user: str
) -> None:
    with pytest.raises(TypeError, match="modle: no such field; did you mean model"):
        await sessions.create(user_id=user, modle="gpt-4o")
    assert not (await sessions.list_sessions(ListSessionsRequest(user_id=user))).sessions
    conversation = await sessions.create(user_id=user)
    with pytest.raises(TypeError, match=r"models\.chat"):
        await conversation.chat(ChatRequest(model="gpt-4o"))


# ------------------------------------------------------------------------------------------ export, restore


TURN = [
    ChatMessage(role="user", content="Ünï \u2028 \u0085 🎉\r\n\x01", name="ann"),
    ChatMessage(
        role="assistant",
        tool_calls=[ToolCall(id="c1", name="f", arguments_json='{"n": 9007199254740993}')],
        parts=[
            ContentPart(provider_state=ProviderState(provider="p", data=bytes(range(256)))),
            ContentPart(tool_call=ToolCall(id="c1", name="f", arguments_json='{"n": 9007199254740993}')),
        ],
    ),
    ChatMessage(role="tool", tool_call_id="c1", content="1.0"),
    ChatMessage(role="assistant", content="Done."),
]


async def test_an_export_is_one_line_for_each_message_and_comes_back_as_it_was(
    sessions: AsyncSessions, user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genai_platform.session_requests.BATCH_MESSAGES", 3)
    session_id = (await sessions.create(user_id=user)).session_id
    for _ in range(2):
        await sessions.append_messages(AppendMessagesRequest(session_id=session_id, messages=TURN))
    path, text = tmp_path / "export.jsonl", io.StringIO()
    assert await sessions.export(session_id, path, user_id=user) == 8
    assert await sessions.export(session_id, text) == 8
    assert path.read_bytes().decode("ascii") == text.getvalue()
    lines = text.getvalue().splitlines()
    assert len(lines) == 8
    assert json.loads(lines[2])["message"]["tool_call_id"] == "c1"
    assert [entry.name for entry in tmp_path.iterdir()] == ["export.jsonl"]

    text.seek(0)
    for source in (path, text):
        restored = await sessions.restore(source, user_id=user, title="Again", model="gpt-4o")
        assert restored.session.title == "Again"
        entries: list[SessionMessage] = await listed(restored.messages())
        assert [entry.sequence for entry in entries] == list(range(1, 9))
        assert [entry.message for entry in entries] == TURN * 2


async def test_an_export_that_fails_leaves_the_old_file(sessions: AsyncSessions, tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    path.write_text("old")
    conversation = await sessions.create()
    await conversation.delete()
    with pytest.raises(NotFound):
        await conversation.export(path)
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("export.jsonl", "old")]


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        ('{"sequence": "1", "message": {"role": "user", "content": "secret"}}\n{"sequence": "3"}\n', 2),
        ('{"sequence": "1", "message": {"role": "user", "content": "secret"}}\n{"sequence": "2", "mess', 2),
        ("secret\n", 1),
        ('{"sequence": 1, "unknown": "secret"}\n', 1),
    ],
)
async def test_a_file_that_is_no_export_restores_nothing(
    sessions: AsyncSessions, user: str, lines: str, number: int
) -> None:
    with pytest.raises(InvalidRequest, match=f"line {number}") as refused:
        await sessions.restore(io.StringIO(lines), user_id=user)
    assert refused.value.reason == "EXPORT_INVALID"
    assert "secret" not in str(refused.value)
    assert not (await sessions.list_sessions(ListSessionsRequest(user_id=user))).sessions


async def test_a_restore_that_the_platform_refuses_leaves_no_session(sessions: AsyncSessions, user: str) -> None:
    lines = '{"sequence": "1", "message": {"role": "nobody", "content": "x"}}\n'
    with pytest.raises(InvalidRequest, match="role"):
        await sessions.restore(io.StringIO(lines), user_id=user)
    assert not (await sessions.list_sessions(ListSessionsRequest(user_id=user))).sessions


# ------------------------------------------------------------------------------------------------- memory


async def test_memory_keeps_python_values(sessions: AsyncSessions, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai_platform._async.sessions.PAGE_SIZE", 2)
    memory = sessions.memory(user)
    values = {"a": None, "ab": [1, 2.5, True, "ü"], "b": {"x": {}}, "c": 2**70, "d": ""}
    for key, value in values.items():
        await memory.set(key, value)
    assert await memory.get("ab") == [1, 2.5, True, "ü"]
    assert await memory.get("a", "missing") is None
    assert await memory.get("", "missing") == "missing"
    assert dict(await listed(memory.items())) == values
    assert [key for key, _ in await listed(memory.items("a"))] == ["a", "ab"]
    assert await listed(memory) == list(values)
    await memory.delete("a")
    assert await memory.get("a", "missing") == "missing"
    with pytest.raises(NotFound):
        await memory.delete("a")
    with pytest.raises(ValueError, match="JSON"):
        await memory.set("x", float("nan"))

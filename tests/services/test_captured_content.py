"""Captured content: what is kept of a chat, for whom and for how long."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proto import models_pb2
from services.models.capture import captured_content
from services.models.capture.captured_content import Captured, CapturedContent
from services.models.capture.policy import NOTHING, CapturePolicy, choose_policy, read_policy
from services.models.capture.redaction import Redactor
from services.models.capture.transcripts import Transcript, of_answer, of_conversation
from services.shared.database import Database
from services.shared.errors import NotFound
from tests.services.model_service import LOG

MIGRATIONS = Path(captured_content.__file__).parent / "migrations"


@contextlib.asynccontextmanager
async def opened(directory: Path, keep_days: float = 14) -> AsyncIterator[CapturedContent]:
    database = await Database.open(f"sqlite:///{directory / 'capture.db'}", MIGRATIONS, LOG, announced=False)
    content = CapturedContent(database, Redactor(), LOG, keep_days)
    try:
        yield content
    finally:
        await content.close()
        await database.close()


def captured(call_id: str = "call-1", text: str = "user: hello", answer: str | None = "hi") -> Captured:
    said = Transcript(answer, len(answer)) if answer is not None else None
    return Captured(call_id, "project-1", "gpt-5", Transcript(text, len(text)), said)


async def test_both_sides_of_a_chat_are_kept_redacted(tmp_path: Path) -> None:
    async with opened(tmp_path) as content:
        content.keep(captured(text="user: I am ada@example.com", answer="Hello [email]"))
        await content.wait_until_stored()
        request, answer = await content.find("call-1", "project-1")
    assert (request.direction, request.text, request.redactions) == (
        "request",
        "user: I am [redacted email]",
        {"email": 1},
    )
    assert (answer.direction, answer.text, answer.model) == ("answer", "Hello [email]", "gpt-5")
    assert b"ada@example.com" not in (tmp_path / "capture.db").read_bytes()


async def test_content_is_that_of_its_project(tmp_path: Path) -> None:
    async with opened(tmp_path) as content:
        content.keep(captured(answer=None))
        await content.wait_until_stored()
        assert len(await content.find("call-1", None)) == 1
        for call_id, project in (("call-1", "project-2"), ("call-2", "project-1")):
            with pytest.raises(NotFound) as refused:
                await content.find(call_id, project)
            assert refused.value.reason == "CONTENT_NOT_FOUND"


async def test_content_is_gone_after_its_time(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_days=0) as content:
        content.keep(captured())
        await content.wait_until_stored()
        with pytest.raises(NotFound):
            await content.find("call-1", None)
        await content.purge()
        with contextlib.closing(sqlite3.connect(tmp_path / "capture.db")) as connection:
            assert connection.execute("SELECT count(*) FROM captured_content").fetchone() == (0,)


async def test_what_waits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured_content, "MAX_WAITING_CHARACTERS", 100)
    async with opened(tmp_path) as content:
        content.keep(captured("small"))
        content.keep(captured("large", text="x" * 200))
        await content.wait_until_stored()
        assert await content.find("small", None)
        with pytest.raises(NotFound):
            await content.find("large", None)


async def test_storage_that_fails_ends_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as content:
        with contextlib.closing(sqlite3.connect(tmp_path / "capture.db")) as connection:
            connection.execute("ALTER TABLE captured_content RENAME TO elsewhere")
            connection.commit()
            content.keep(captured("lost"))
            await content.wait_until_stored()
            connection.execute("ALTER TABLE elsewhere RENAME TO captured_content")
            connection.commit()
        content.keep(captured("kept"))
        await content.wait_until_stored()
        assert await content.find("kept", None)


def test_transcript_has_the_end_of_a_long_conversation() -> None:
    messages = [
        models_pb2.ChatMessage(role="system", content="s" * 100),
        models_pb2.ChatMessage(role="user", content="last"),
    ]
    transcript = of_conversation(messages, limit=20)
    assert transcript.text.endswith("user: last\n")
    assert len(transcript.text) == 20
    assert transcript.characters == len("system: \nuser: last\n") + 100


def test_transcript_names_what_is_no_text() -> None:
    parts = [
        models_pb2.ContentPart(text="look"),
        models_pb2.ContentPart(media=models_pb2.Media(data=b"1234", mime_type="image/png")),
        models_pb2.ContentPart(tool_call=models_pb2.ToolCall(name="f", arguments_json="{}")),
        models_pb2.ContentPart(
            tool_result=models_pb2.ToolResult(tool_call_id="c", content=[models_pb2.ContentPart(text="42")])
        ),
        models_pb2.ContentPart(refusal="no"),
    ]
    expected = "look\n[image/png, 4 bytes]\n[calls f with {}]\n[result of c]\n42\nno"
    message = models_pb2.ChatMessage(role="assistant", parts=parts)
    assert of_answer(models_pb2.ChatResponse(message=message)) == (expected, len(expected))
    assert of_answer(models_pb2.ChatResponse(text="abc"), limit=2) == ("ab", 3)


@pytest.mark.parametrize(
    ("text", "failed", "kept"),
    [
        ("off", True, False),
        ("errors", True, True),
        ("errors", False, False),
        ("all", False, True),
        ("sample:0.5", False, True),
        ("sample:0.01", False, False),
        ("sample:0", False, False),
        ("sample:1", True, True),
    ],
)
def test_policy_says_which_chats_are_kept(text: str, failed: bool, kept: bool) -> None:
    assert read_policy(text).keeps(failed=failed, draw=lambda: 0.25) is kept


@pytest.mark.parametrize("text", ["", "on", "sample:", "sample:2", "sample:-1", "sample:0.1x", "ALL"])
def test_policy_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be off"):
        read_policy(text)


def test_project_decides_and_the_caller_may_opt_out() -> None:
    everything = CapturePolicy("all")
    assert choose_policy(NOTHING, "all", ()) == everything
    assert choose_policy(everything, "", ()) == everything
    assert choose_policy(everything, "off", ()) == NOTHING
    assert choose_policy(everything, "a newer word", ()) == NOTHING
    assert choose_policy(NOTHING, "all", (("genai-capture", "off"),)) == NOTHING
    assert choose_policy(NOTHING, "off", (("genai-capture", "all"),)) == NOTHING

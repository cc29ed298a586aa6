"""Captured content: what is kept of a chat, for whom and for how long."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from proto import content_pb2, content_pb2_grpc, models_pb2
from proto.identity_pb2 import CallerIdentity
from services.models.capture import captured_content
from services.models.capture.captured_content import Captured, CapturedContent
from services.models.capture.policy import NOTHING, CapturePolicy, choose_policy, read_policy
from services.models.capture.redaction import Redactor
from services.models.capture.transcripts import Transcript, of_answer, of_conversation
from services.shared.database import Database
from services.shared.errors import NotFound, StartupError
from services.shared.identity import Callers, IdentitySigner
from services.shared.logs import open_log
from services.shared.metadata import IDENTITY_KEY
from tests.scripted_upstream import ScriptedUpstream, json_answer
from tests.services.log_file import LogFile
from tests.services.model_service import (
    LOG,
    ModelService,
    chat_request,
    completion,
    model_service,
    piece,
    streamed_completion,
)

SIGNER = IdentitySigner([b"k" * 32])
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


def caller(project: str = "project-1", capture: str = "all", *scopes: str) -> CallerIdentity:
    return CallerIdentity(
        key_id="key", project_id=project, capture=capture, scopes=scopes or ("generate", "content.read")
    )


@contextlib.asynccontextmanager
async def capturing(
    directory: Path, upstream: ScriptedUpstream, log: LogFile, **settings: str
) -> AsyncIterator[ModelService]:
    """A Model Service that asks who calls, with its log."""
    callers = Callers()
    callers.require(SIGNER)
    chosen = {"AUTH_MODE": "required", **settings}
    opened_log = open_log("models", file=log)
    async with model_service(directory, upstream, log=opened_log, callers=callers, **chosen) as service:
        yield service


def signed(identity: CallerIdentity, *more: tuple[str, str]) -> list[tuple[str, str | bytes]]:
    return [(IDENTITY_KEY, SIGNER.sign(identity)), *more]


async def texts_of(service: ModelService, call_id: str, identity: CallerIdentity) -> dict[str, str]:
    """The kept texts of a call by direction, as soon as there are any."""
    stub = content_pb2_grpc.ContentServiceStub(service.channel)
    async with asyncio.timeout(10):
        while True:
            request = content_pb2.GetContentRequest(call_id=call_id)
            try:
                response = await stub.GetContent(request, metadata=signed(identity))
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise
                await asyncio.sleep(0.02)
            else:
                return {text.direction: text.text for text in response.texts}


async def test_content_is_kept_where_the_project_asks_for_it(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.play(json_answer(completion("Your key is sk-abcdefghijklmnop1234.")))
    upstream.play(streamed_completion(piece("Hi"), piece(" there.")))
    upstream.play(json_answer({"error": {"message": "no"}}, status=400))
    log = LogFile()
    async with capturing(tmp_path, upstream, log) as service:
        request = chat_request(text="I am ada@example.com")
        await service.stub.Chat(request, metadata=signed(caller()))
        async for _ in service.stub.ChatStream(request, metadata=signed(caller())):
            pass
        with pytest.raises(grpc.aio.AioRpcError):
            await service.stub.Chat(request, metadata=signed(caller()))
        whole, streamed, failed = [call["call_id"] for call in await log.calls(3)]
        asked = "user: I am [redacted email]\n"
        assert await texts_of(service, whole, caller()) == {
            "request": asked,
            "answer": "Your key is [redacted secret].",
        }
        assert await texts_of(service, streamed, caller()) == {"request": asked, "answer": "Hi there."}
        assert await texts_of(service, failed, caller()) == {"request": asked}
        assert await texts_of(service, whole, caller("project-2", "", "content.read", "admin"))


async def test_content_is_not_kept_where_nobody_asks_for_it(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.play(*[json_answer(completion("Hi."))] * 3)
    log = LogFile()
    async with capturing(tmp_path, upstream, log) as service:
        request = chat_request(text="a secret")
        await service.stub.Chat(request, metadata=signed(caller(capture="")))
        await service.stub.Chat(request, metadata=signed(caller(), ("genai-capture", "off")))
        await service.stub.Chat(request, metadata=signed(caller()))
        *unkept, kept = [call["call_id"] for call in await log.calls(3)]
        assert await texts_of(service, kept, caller())
        stub = content_pb2_grpc.ContentServiceStub(service.channel)
        for call_id, identity, code in (
            (unkept[0], caller(), grpc.StatusCode.NOT_FOUND),
            (unkept[1], caller(), grpc.StatusCode.NOT_FOUND),
            (kept, caller("project-2"), grpc.StatusCode.NOT_FOUND),
            (kept, caller("project-1", "all", "generate", "usage.read"), grpc.StatusCode.PERMISSION_DENIED),
            ("", caller(), grpc.StatusCode.INVALID_ARGUMENT),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.GetContent(content_pb2.GetContentRequest(call_id=call_id), metadata=signed(identity))
            assert refused.value.code() is code


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"CAPTURE": "some"}, "CAPTURE: must be off"),
        ({"CAPTURE_REDACT": "email,names"}, "CAPTURE_REDACT: names: must be"),
    ],
)
async def test_setting_that_says_nothing_is_named(settings: dict[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=words):
        async with model_service(tmp_path, **{"AUTH_MODE": "required", **settings}):
            pass

"""What a caller and the log are told of a provider's refusal, and of one that cannot be reached."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from genai_platform.errors import InvalidRequest, translate_error
from services.shared.logs import open_log
from tests.scripted_upstream import Ending, ScriptedUpstream, event, event_stream, json_answer
from tests.services.log_file import LogFile
from tests.services.model_service import (
    ANTHROPIC_KEY,
    OPENAI_KEY,
    STRANGER,
    ModelService,
    chat_request,
    model_service,
    piece,
    registration,
)
from tests.support.errors import failure_of, stream_failure

MAPPED_KEY = "mapped-key-0123456789"
SAYS = "This model takes no pictures of cats."


@pytest.fixture
def log_file() -> LogFile:
    return LogFile()


@pytest.fixture
async def service(
    tmp_path: Path, upstream: ScriptedUpstream, log_file: LogFile, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ModelService]:
    monkeypatch.setenv("MINE_API_KEY", MAPPED_KEY)
    log = open_log("models", file=log_file)
    async with model_service(tmp_path, upstream, log=log) as service:
        yield service


def refused(message: str, **members: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message, **members}}


@pytest.mark.parametrize("model", ["gpt-4o", "claude-haiku-4-5"])
async def test_refusal_is_explained_to_the_caller_and_not_to_the_log(
    service: ModelService, upstream: ScriptedUpstream, log_file: LogFile, model: str
) -> None:
    upstream.default = json_answer(refused(SAYS), status=400)
    whole = await failure_of(service.stub.Chat(chat_request(model)))
    _, streamed = await stream_failure(service.stub.ChatStream(chat_request(model)))
    for failure in (whole, streamed):
        assert failure.metadata["provider_message"] == SAYS
        assert failure.message.endswith(f"; it says: {SAYS}")
    await log_file.calls(2)
    assert SAYS.encode() not in log_file.getvalue()


async def test_refusal_in_mid_stream_is_explained(
    service: ModelService, upstream: ScriptedUpstream, log_file: LogFile
) -> None:
    upstream.play(
        event_stream(piece("a"), event(refused(SAYS, code=400))),
        event_stream(piece("a"), event(refused(SAYS, code=500))),
    )
    chunks, failure = await stream_failure(service.stub.ChatStream(chat_request()))
    assert [chunk.token for chunk in chunks] == ["a"]
    assert failure.metadata["provider_message"] == SAYS
    _, failure = await stream_failure(service.stub.ChatStream(chat_request()))
    assert "provider_message" not in failure.metadata
    await log_file.calls(2)
    assert SAYS.encode() not in log_file.getvalue()


async def test_no_key_of_the_platform_is_told_whosever_it_is(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.default = json_answer(refused(f"{OPENAI_KEY} {ANTHROPIC_KEY} {MAPPED_KEY}"), status=400)
    await service.stub.RegisterModel(registration(upstream))
    for model in ("gpt-4o", "claude-haiku-4-5", "mine"):
        failure = await failure_of(service.stub.Chat(chat_request(model)))
        assert failure.metadata["provider_message"] == "*** *** ***"


async def test_sdk_has_it_as_a_property(service: ModelService, upstream: ScriptedUpstream) -> None:
    long = "Größe " * 1000
    upstream.default = json_answer(refused(long), status=400)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.Chat(chat_request())
    error = translate_error(caught.value, address="here", secure=False, limit="1 s", request_id="r")
    assert isinstance(error, InvalidRequest)
    assert error.provider_message.startswith("Größe Größe")
    assert 1020 < len(error.provider_message.encode()) <= 1024


async def test_host_that_cannot_be_reached_is_told_to_whom_it_concerns(
    service: ModelService, upstream: ScriptedUpstream, log_file: LogFile
) -> None:
    await service.stub.RegisterModel(registration(upstream, endpoint="http://127.0.0.1:1/v1"))
    operators = await failure_of(service.stub.Chat(chat_request("mine")))
    strangers = await failure_of(service.stub.Chat(chat_request("mine"), metadata=STRANGER))
    assert operators.reason == strangers.reason == "UPSTREAM_UNREACHABLE"
    assert operators.metadata["upstream_host"] == "127.0.0.1:1"
    assert "refused the connection" in operators.message
    assert "127.0.0.1" not in json.dumps([strangers.message, strangers.metadata])
    _, *logged = await log_file.calls(3)
    for entry in logged:
        assert entry["upstream_host"] == "127.0.0.1:1"
        assert entry["cause"].startswith("ConnectionRefusedError")


async def test_stranger_is_told_nothing_of_what_a_strangers_model_reaches(
    tmp_path: Path, upstream: ScriptedUpstream, log_file: LogFile
) -> None:
    log = open_log("models", file=log_file)
    async with model_service(tmp_path, upstream, log=log, MODELS_ALLOWED_ENDPOINTS="private") as service:
        closed = registration(upstream, endpoint="http://127.0.0.1:1/v1")
        await service.stub.RegisterModel(closed, metadata=STRANGER)
        for metadata in (None, STRANGER):
            failure = await failure_of(service.stub.Chat(chat_request("mine"), metadata=metadata))
            assert failure.reason == "UPSTREAM_UNREACHABLE"
            assert "127.0.0.1" not in json.dumps([failure.message, failure.metadata])
            assert "refused" not in failure.message
        _, *logged = await log_file.calls(3)
        assert {entry["upstream_host"] for entry in logged} == {"127.0.0.1:1"}


async def test_answer_that_breaks_off_is_told_with_its_host(
    service: ModelService, upstream: ScriptedUpstream, log_file: LogFile
) -> None:
    upstream.default = event_stream(piece("a"), ending=Ending.CUT)
    _, failure = await stream_failure(service.stub.ChatStream(chat_request()))
    assert failure.reason == "UPSTREAM_STREAM_INTERRUPTED"
    (entry,) = await log_file.calls(1)
    assert (entry["upstream_host"], entry["cause"]) == (f"127.0.0.1:{upstream.port}", "ConnectionClosed")
    assert failure.metadata["upstream_host"] == entry["upstream_host"]

"""Attempts of chats through a real Model Service: what is tried again, elsewhere, or not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import grpc
import pytest

from proto import models_pb2
from services.models.attempts import attempts as attempts_module
from services.models.attempts import circuit_breaker
from services.shared.backoff import Backoff
from services.shared.intake import PROCESS_INTAKE
from services.shared.logs import open_log
from tests.rows import for_each
from tests.scripted_upstream import Ending, Received, Script, ScriptedUpstream, event, event_stream, json_answer
from tests.services.log_file import LogFile
from tests.services.model_service import (
    STRANGER,
    ModelService,
    chat_request,
    completion,
    model_service,
    piece,
    registration,
)
from tests.services.vendor_answers import answered_in_any_dialect
from tests.support.errors import Failure, failure_of, stream_failure


def failing(status: int, **headers: str) -> Script:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return json_answer({"error": {"message": "no", "type": "x"}}, status=status, headers=names)


@pytest.fixture
async def service(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ModelService]:
    monkeypatch.setattr(attempts_module, "PAUSES", Backoff(interval=0.01, first_retry=0.001))
    async with model_service(tmp_path, upstream, MODELS_MAX_ATTEMPTS="3") as service:
        yield service


Way = Literal["Chat", "ChatStream"]
WAYS: tuple[Way, ...] = ("Chat", "ChatStream")


async def ask(service: ModelService, way: Way, **fields: Any) -> models_pb2.ChatResponse:
    request = chat_request(**fields)
    if way == "Chat":
        return await service.stub.Chat(request)
    chunks = [chunk async for chunk in service.stub.ChatStream(request)]
    return chunks[-1].response


async def fail(service: ModelService, way: Way, **fields: Any) -> Failure:
    request = chat_request(**fields)
    if way == "Chat":
        return await failure_of(service.stub.Chat(request))
    chunks, failure = await stream_failure(service.stub.ChatStream(request))
    assert not chunks
    return failure


def outcomes(response: models_pb2.ChatResponse) -> list[tuple[str, str, int]]:
    return [(attempt.model, attempt.outcome, attempt.http_status) for attempt in response.attempts]


def attempts_of(failure: Failure) -> list[tuple[str, str]]:
    return [(entry["model"], entry["outcome"]) for entry in json.loads(failure.metadata["attempts"])]


OVERLOADED_EVENT = event_stream(event({"error": {"message": "busy", "type": "overloaded_error", "code": 529}}))

SAME_AGAIN = {
    **{f"status {status}": (failing(status), status) for status in (408, 500, 529)},
    "rate limit that says when": (failing(429, retry_after="0"), 429),
    "half an answer": (json_answer(completion("a long answer"), ending=Ending.CUT), 0),
}


@for_each("way", WAYS)
@for_each("fault", SAME_AGAIN)
async def test_failure_before_the_first_output_is_tried_again(
    service: ModelService, upstream: ScriptedUpstream, way: Way, fault: str
) -> None:
    script, status = SAME_AGAIN[fault]
    upstream.requests.clear()
    upstream.play(script, answered_in_any_dialect)
    response = await ask(service, way)
    first, last = response.attempts
    assert (response.text, last.outcome, last.HasField("waited")) == ("Hi.", "ok", True)
    assert (first.outcome != "ok", first.http_status) == (True, status)
    assert len(upstream.requests) == 2


async def test_failure_as_an_event_behind_200_is_tried_again(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.play(OVERLOADED_EVENT, answered_in_any_dialect)
    response = await ask(service, "ChatStream")
    assert [attempt.outcome for attempt in response.attempts] == ["UPSTREAM_OVERLOADED", "ok"]


@pytest.mark.parametrize("way", WAYS)
async def test_no_more_than_three_requests_go_out(service: ModelService, upstream: ScriptedUpstream, way: Way) -> None:
    upstream.requests.clear()
    upstream.default = failing(500)
    failure = await fail(service, way)
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_SERVER_ERROR")
    assert attempts_of(failure) == [("gpt-4o", "UPSTREAM_SERVER_ERROR")] * 3
    assert len(upstream.requests) == 3


NEVER_AGAIN = {
    "request that is refused": (failing(400), "UPSTREAM_INVALID_REQUEST"),
    "key that is refused": (failing(401), "UPSTREAM_AUTH"),
    "quota that is used up": (
        json_answer({"error": {"message": "no", "code": "insufficient_quota"}}, status=429),
        "UPSTREAM_QUOTA_EXHAUSTED",
    ),
    "redirect": (failing(307, location="http://127.0.0.1:1/"), "UPSTREAM_REDIRECT"),
    "rate limit for ten minutes": (failing(429, retry_after="600"), "UPSTREAM_RATE_LIMITED"),
    "page of HTML": (json_answer("<html>"), "UPSTREAM_PROTOCOL_ERROR"),
}


@for_each("way", WAYS)
@for_each("fault", NEVER_AGAIN)
async def test_failure_that_no_second_request_mends_is_told_at_once(
    service: ModelService, upstream: ScriptedUpstream, way: Way, fault: str
) -> None:
    script, reason = NEVER_AGAIN[fault]
    upstream.requests.clear()
    upstream.play(script)
    failure = await fail(service, way)
    assert failure.reason == reason
    assert len(upstream.requests) == 1


async def test_nothing_is_tried_again_once_output_was_given(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.play(event_stream(piece("Once"), ending=Ending.CUT), answered_in_any_dialect)
    chunks, failure = await stream_failure(service.stub.ChatStream(chat_request(fallback_models=["claude-opus-4-5"])))
    assert [chunk.token for chunk in chunks] == ["Once"]
    assert failure.reason == "UPSTREAM_STREAM_INTERRUPTED"
    (attempt,) = json.loads(failure.metadata["attempts"])
    assert int(attempt["usage"]["completion_tokens"]) > 0
    assert len(upstream.requests) == 1


ELSEWHERE = {
    "status 503": failing(503),
    "reset": Script(ending=Ending.RESET),
    "key that is refused": failing(401),
    "page of HTML": json_answer("<html>"),
    "context that is too short": json_answer(
        {"error": {"message": "too long", "code": "context_length_exceeded"}}, status=400
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", ELSEWHERE)
async def test_fallback_answers_at_once(
    service: ModelService, upstream: ScriptedUpstream, way: Way, fault: str
) -> None:
    upstream.play(ELSEWHERE[fault], answered_in_any_dialect)
    response = await ask(service, way, fallback_models=["claude-opus-4-5"])
    assert (response.text, response.provider) == ("Hi.", "anthropic")
    assert [attempt.provider for attempt in response.attempts] == ["openai", "anthropic"]
    assert not response.attempts[1].HasField("waited")
    assert [notice.field for notice in response.warnings if notice.code == "FALLBACK_SERVED"] == ["model"]
    assert upstream.requests[1].path == "/v1/messages"


async def test_first_model_is_tried_again_when_its_fallbacks_cannot_answer(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(failing(503), failing(401), answered_in_any_dialect)
    response = await ask(service, "Chat", fallback_models=["claude-opus-4-5"])
    assert [attempt.provider for attempt in response.attempts] == ["openai", "anthropic", "openai"]
    assert not [notice for notice in response.warnings if notice.code == "FALLBACK_SERVED"]


async def test_total_failure_has_the_error_of_the_model_that_was_asked_for(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(failing(429, retry_after="60"), failing(401))
    failure = await fail(service, "Chat", fallback_models=["claude-opus-4-5"])
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "UPSTREAM_RATE_LIMITED")
    assert failure.retry_seconds == 60
    assert [outcome for _, outcome in attempts_of(failure)] == ["UPSTREAM_RATE_LIMITED", "UPSTREAM_AUTH"]


async def test_request_is_translated_anew_for_a_fallback(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.play(failing(503), answered_in_any_dialect)
    config = models_pb2.ChatConfig(top_k=3, seed=1)
    response = await ask(service, "Chat", config=config, fallback_models=["claude-opus-4-5"])
    first, second = (request.json() for request in upstream.requests)
    assert ("seed" in first, "top_k" in first, "seed" in second, second["top_k"]) == (True, False, False, 3)
    dropped = [notice.field for notice in response.warnings if notice.code == "PARAMETER_DROPPED"]
    assert dropped == ["config.seed"]


async def test_operators_fallbacks_come_after_those_of_the_request(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    settings = {"MODELS_MAX_ATTEMPTS": "3", "MODELS_FALLBACKS": "gpt-4o=gpt-4o-mini+claude-opus-4-5"}
    async with model_service(tmp_path, upstream, **settings) as service:
        upstream.play(failing(503), failing(503), answered_in_any_dialect)
        response = await ask(service, "Chat", fallback_models=["claude-opus-4-5"])
    assert [attempt.model for attempt in response.attempts[1:]] != []
    assert [request.json()["model"] for request in upstream.requests][2] == "gpt-4o-mini"


async def test_model_that_is_not_set_up_is_passed_over(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with model_service(tmp_path, upstream, MODELS_MAX_ATTEMPTS="3", OPENAI_API_KEY="") as service:
        upstream.default = answered_in_any_dialect
        response = await ask(service, "Chat", fallback_models=["claude-opus-4-5"])
        failure = await fail(service, "Chat")
    assert [attempt.outcome for attempt in response.attempts] == ["PROVIDER_NOT_CONFIGURED", "ok"]
    assert failure.reason == "PROVIDER_NOT_CONFIGURED"


@for_each(
    ("fallbacks", "field"),
    [
        (["no-such-model"], "fallback_models[0]"),
        (["claude-opus-4-5", "gpt-4o"], "fallback_models[1]"),
        (["a b"], "fallback_models[0]"),
        ([f"claude-{n}" for n in range(9)], "fallback_models"),
    ],
)
async def test_fallback_that_cannot_be_meant_is_refused(
    service: ModelService, upstream: ScriptedUpstream, fallbacks: list[str], field: str
) -> None:
    failure = await fail(service, "Chat", fallback_models=fallbacks)
    assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    assert not upstream.requests


async def test_pause_never_goes_beyond_the_callers_deadline(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.play(failing(503, retry_after="5"))
    failure = await failure_of(service.stub.Chat(chat_request(), timeout=2))
    assert failure.reason == "UPSTREAM_SERVER_ERROR"


async def test_target_that_fails_every_request_is_left_alone_for_a_while(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.default = failing(500)
    for _ in range(3):
        await fail(service, "Chat")
    sent = len(upstream.requests)
    failure = await fail(service, "Chat")
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "CIRCUIT_OPEN")
    assert 0 < (failure.retry_seconds or 0) <= 5
    assert "the last one with UPSTREAM_SERVER_ERROR; the next trial is in " in failure.message
    assert failure.metadata["last_reason"] == "UPSTREAM_SERVER_ERROR"
    assert sent == len(upstream.requests) == 5


async def test_large_request_has_its_memory_in_every_attempt(service: ModelService, upstream: ScriptedUpstream) -> None:
    free = PROCESS_INTAKE.memory.free_bytes
    large = "x" * 2 * 1024 * 1024
    taken: list[int] = []

    def play(request: Received) -> Script:
        taken.append(free - PROCESS_INTAKE.memory.free_bytes)
        return failing(503) if len(taken) < 3 else answered_in_any_dialect(request)

    upstream.default = play
    response = await ask(service, "Chat", text=large)
    assert [attempt.outcome for attempt in response.attempts][-1:] == ["ok"]
    assert len(taken) == 3
    assert all(size >= len(large) for size in taken)
    assert PROCESS_INTAKE.memory.free_bytes == free


async def test_large_request_without_memory_for_another_attempt_has_the_first_error(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    free = PROCESS_INTAKE.memory.free_bytes

    def play(_: Received) -> Script:
        PROCESS_INTAKE.memory.take_now("others", PROCESS_INTAKE.memory.free_bytes)
        return failing(503)

    upstream.default = play
    failure = await fail(service, "Chat", text="x" * 2 * 1024 * 1024)
    PROCESS_INTAKE.memory.release("others", free - PROCESS_INTAKE.memory.free_bytes)
    assert failure.reason == "UPSTREAM_SERVER_ERROR"
    assert len(upstream.requests) == 1


async def test_total_outage_sends_at_most_a_quarter_more_requests(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit_breaker, "FAILURES_IN_ROW", 10_000)
    monkeypatch.setattr(attempts_module, "PAUSES", Backoff(interval=0.01, first_retry=0.001))
    upstream.default = failing(500)
    async with model_service(tmp_path, upstream, MODELS_MAX_ATTEMPTS="3") as service:
        for _ in range(400):
            await fail(service, "Chat")
    assert len(upstream.requests) <= 500


async def test_chat_that_sends_nothing_allows_no_further_attempts(
    service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit_breaker, "FAILURES_IN_ROW", 10_000)
    upstream.requests.clear()
    upstream.default = failing(500)
    for _ in range(40):
        await fail(service, "Chat")
        for _ in range(10):
            await fail(service, "Chat", model="no-such-model")
    assert len(upstream.requests) < 70


NO_OUTAGE = {
    "rate limit": failing(429, retry_after="60"),
    "key that is refused": failing(401),
    "quota": json_answer({"error": {"message": "no", "code": "insufficient_quota"}}, status=429),
}


@pytest.mark.parametrize("fault", NO_OUTAGE)
async def test_fallback_that_works_answers_every_chat_while_the_first_model_never_does(
    service: ModelService, upstream: ScriptedUpstream, fault: str
) -> None:
    def play(request: Received) -> Script:
        return answered_in_any_dialect(request) if request.path == "/v1/messages" else NO_OUTAGE[fault]

    upstream.default = play
    for _ in range(60):
        response = await ask(service, "Chat", fallback_models=["claude-opus-4-5"])
        assert response.provider == "anthropic"


class Pausing(NamedTuple):
    """A chat with the registered model `mine`, which has failed and pauses until `gate` is opened."""

    answer: Awaitable[models_pb2.ChatResponse]
    gate: asyncio.Event


@pytest.fixture
async def pausing(service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch) -> Pausing:
    gate, has_begun = asyncio.Event(), asyncio.Event()

    async def sleep(_: float) -> None:
        has_begun.set()
        await gate.wait()

    monkeypatch.setattr(attempts_module, "asyncio", SimpleNamespace(sleep=sleep))
    await service.stub.RegisterModel(registration(upstream))
    upstream.requests.clear()
    upstream.default = failing(503)
    answer = asyncio.ensure_future(ask(service, "Chat", model="mine"))
    await has_begun.wait()
    return Pausing(answer, gate)


async def test_model_that_is_removed_in_a_pause_gets_no_further_request(
    service: ModelService, upstream: ScriptedUpstream, pausing: Pausing
) -> None:
    await service.stub.DeregisterModel(models_pb2.DeregisterModelRequest(name="mine"))
    pausing.gate.set()
    failure = await failure_of(pausing.answer)
    assert failure.reason == "UPSTREAM_SERVER_ERROR"
    assert [outcome for _, outcome in attempts_of(failure)] == ["UPSTREAM_SERVER_ERROR", "MODEL_NOT_FOUND"]
    assert len([request for request in upstream.requests if request.method == "POST"]) == 1


@pytest.mark.parametrize("count", [1, 2], ids=["one endpoint", "several"])
async def test_model_that_is_changed_in_a_pause_is_tried_as_it_is_then(
    service: ModelService, upstream: ScriptedUpstream, pausing: Pausing, count: int
) -> None:
    async with ScriptedUpstream(default=answered_in_any_dialect) as other:
        endpoints = [f"{other.url}/v1", f"{other.url}/v2"][:count]
        await service.stub.RegisterModel(registration(other, endpoint="", endpoints=endpoints))
        pausing.gate.set()
        response = await pausing.answer
    assert [attempt.outcome for attempt in response.attempts] == ["UPSTREAM_SERVER_ERROR", "ok"]
    assert response.attempts[0].host == urlsplit(upstream.url).netloc != response.attempts[1].host


async def test_what_a_fallback_refuses_the_next_one_may_take(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.play(failing(503), answered_in_any_dialect)
    response = await ask(
        service,
        "Chat",
        config=models_pb2.ChatConfig(seed=1),
        parameter_policy=models_pb2.PARAMETER_POLICY_STRICT,
        fallback_models=["claude-opus-4-5", "gpt-4o-mini"],
    )
    assert [attempt.outcome for attempt in response.attempts] == [
        "UPSTREAM_SERVER_ERROR",
        "PARAMETER_UNSUPPORTED",
        "ok",
    ]
    assert [request.json()["model"] for request in upstream.requests] == ["gpt-4o", "gpt-4o-mini"]


async def test_one_attempt_means_no_fallback(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with model_service(tmp_path, upstream, MODELS_MAX_ATTEMPTS="1", OPENAI_API_KEY="") as service:
        failure = await fail(service, "Chat", fallback_models=["claude-opus-4-5"])
    assert failure.reason == "PROVIDER_NOT_CONFIGURED"
    assert not upstream.requests


async def test_another_name_of_the_same_model_is_no_fallback(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    settings = {"MODELS_MAX_ATTEMPTS": "3", "MODELS_ALIASES": "twin=gpt-4o"}
    async with model_service(tmp_path, upstream, **settings) as service:
        upstream.play(failing(429, retry_after="60"))
        failure = await fail(service, "Chat", fallback_models=["twin"])
    assert failure.reason == "UPSTREAM_RATE_LIMITED"
    assert len(upstream.requests) == 1


async def test_stranger_cannot_take_the_name_of_an_operators_fallback(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """It would get the prompts of everybody whose model fails."""
    settings = {"MODELS_MAX_ATTEMPTS": "3", "MODELS_FALLBACKS": "gpt-4o=local", "MODELS_ALLOWED_ENDPOINTS": "private"}
    async with ScriptedUpstream(default=answered_in_any_dialect) as theirs:
        async with model_service(tmp_path, upstream, **settings) as service:
            failure = await failure_of(service.stub.RegisterModel(registration(theirs, "local"), metadata=STRANGER))
            assert failure.reason == "NAME_RESERVED"
        # One that was registered before the setting was made is passed over.
        async with model_service(tmp_path, upstream, MODELS_ALLOWED_ENDPOINTS="private") as service:
            await service.stub.RegisterModel(registration(theirs, "local"), metadata=STRANGER)
        async with model_service(tmp_path, upstream, **settings) as service:
            theirs.requests.clear()
            upstream.default = failing(503)
            await fail(service, "Chat")
        assert not [request for request in theirs.requests if request.method == "POST"]


async def test_log_names_the_model_that_answered_and_the_one_that_failed(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts_module, "PAUSES", Backoff(interval=0.01, first_retry=0.001))
    file = LogFile()
    async with model_service(tmp_path, upstream, log=open_log("models", file=file), MODELS_MAX_ATTEMPTS="3") as service:
        upstream.play(failing(503), failing(401), answered_in_any_dialect)
        await ask(service, "Chat", fallback_models=["claude-opus-4-5"])
        upstream.play(failing(429, retry_after="60"), failing(401))
        await fail(service, "ChatStream", fallback_models=["claude-opus-4-5"])
        logged = await file.calls(2)
    assert [(entry["provider"], entry["attempts"]) for entry in logged] == [("openai", 3), ("openai", 2)]

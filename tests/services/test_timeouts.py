"""Timeouts of an exchange, as a request, a model or a provider sets them, through a real Model Service."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from proto import models_pb2
from services.models.attempts import attempts
from services.models.attempts.circuit_breaker import FAILURES_IN_ROW
from services.models.health import results
from services.shared.backoff import Backoff
from tests.rows import for_each
from tests.scripted_upstream import Ending, Pause, Received, Script, ScriptedUpstream, event_stream, json_answer
from tests.services.model_service import (
    END,
    ModelService,
    chat_request,
    completion,
    model_service,
    piece,
    registration,
    streamed_completion,
)
from tests.services.vendor_answers import answered_in_any_dialect
from tests.support.errors import Failure, failure_of, stream_failure

SHORT = Duration(nanos=150_000_000)
PINGS = [": ping\n\n", Pause(0.02)] * 50


async def fail(service: ModelService, *, stream: bool, **fields: Any) -> Failure:
    if not stream:
        return await failure_of(service.stub.Chat(chat_request(**fields)))
    return (await stream_failure(service.stub.ChatStream(chat_request(**fields))))[1]


TOO_SLOW: dict[str, tuple[str, bool, Script, str]] = {
    "no head": ("first_output", True, Script(ending=Ending.STALL), "UPSTREAM_TIMEOUT"),
    "pings alone": ("first_output", True, event_stream(*PINGS, ending=Ending.STALL), "UPSTREAM_TIMEOUT"),
    "silence": ("silence", True, event_stream(piece("Hi"), ending=Ending.STALL), "UPSTREAM_IDLE"),
    "pings after output": ("silence", True, event_stream(piece("Hi"), *PINGS, ending=Ending.STALL), "UPSTREAM_IDLE"),
    "output without end": (
        "total",
        True,
        event_stream(*[piece("Hi"), Pause(0.02)] * 50, ending=Ending.STALL),
        "UPSTREAM_TIMEOUT",
    ),
    "whole answer": ("total", False, json_answer(completion(), before=[Pause(1)]), "UPSTREAM_TIMEOUT"),
    "half an answer": ("total", False, json_answer(completion(), ending=Ending.STALL), "UPSTREAM_TIMEOUT"),
}


@for_each("case", TOO_SLOW)
async def test_clock_of_the_request_ends_an_answer_that_is_too_slow(
    service: ModelService, upstream: ScriptedUpstream, case: str
) -> None:
    clock, stream, script, reason = TOO_SLOW[case]
    upstream.play(script)
    failure = await fail(service, stream=stream, timeouts=models_pb2.Timeouts(**{clock: SHORT}))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, reason)
    assert f"the timeout `{clock}` of 0.15 s has passed" in failure.message
    await upstream.requests[-1].closed_by_peer()


async def test_output_that_comes_in_time_satisfies_every_clock(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(event_stream(*[piece("Hi"), Pause(0.05)] * 8, END))
    timeouts = models_pb2.Timeouts(first_output=SHORT, silence=SHORT, connect=SHORT, total=Duration(seconds=20))
    chunks = [chunk async for chunk in service.stub.ChatStream(chat_request(timeouts=timeouts))]
    assert chunks[-1].response.text == "Hi" * 8


async def test_silence_before_the_first_output_is_none(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.play(event_stream(Pause(0.3), piece("Hi"), END))
    request = chat_request(timeouts=models_pb2.Timeouts(silence=SHORT))
    chunks = [chunk async for chunk in service.stub.ChatStream(request)]
    assert chunks[-1].response.text == "Hi"


async def test_fallback_answers_when_the_first_output_is_late(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with model_service(tmp_path, upstream, MODELS_MAX_ATTEMPTS="3") as service:
        upstream.play(event_stream(*PINGS, ending=Ending.STALL), answered_in_any_dialect)
        request = chat_request(timeouts=models_pb2.Timeouts(first_output=SHORT), fallback_models=["claude-opus-4-5"])
        chunks = [chunk async for chunk in service.stub.ChatStream(request)]
    assert [attempt.outcome for attempt in chunks[-1].response.attempts] == ["UPSTREAM_TIMEOUT", "ok"]


@contextlib.contextmanager
def full() -> Iterator[str]:
    """The URL of a server that accepts no further connection."""
    with socket.socket() as listening, contextlib.ExitStack() as stack:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


HURRIED: dict[str, tuple[str, bool, Script]] = {
    "whole answer": ("total", False, json_answer(completion(), before=[Pause(0.4)])),
    "first output": ("first_output", True, streamed_completion(Pause(0.4), piece("Hi."))),
    "silence": ("silence", True, streamed_completion(piece("Hi"), Pause(0.4), piece("."))),
}


@for_each("case", HURRIED)
async def test_caller_in_a_hurry_closes_no_model_to_others(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr(attempts, "PAUSES", Backoff(interval=0.01, first_retry=0.001))
    clock, stream, script = HURRIED[case]
    upstream.default = script
    hurried = models_pb2.Timeouts(**{clock: Duration(nanos=20_000_000)})
    async with model_service(tmp_path / clock, upstream, MODELS_MAX_ATTEMPTS="2") as service:
        for _ in range(FAILURES_IN_ROW):
            failure = await fail(service, stream=stream, timeouts=hurried)
            assert failure.reason in ("UPSTREAM_TIMEOUT", "UPSTREAM_IDLE")
        chunks = [chunk async for chunk in service.stub.ChatStream(chat_request())]
        assert chunks[-1].response.text == "Hi."


async def test_caller_in_a_hurry_leaves_further_attempts_to_others(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "PAUSES", Backoff(interval=0.01, first_retry=0.001))
    failures = [json_answer({}, status=503)] * 2

    def play(request: Received) -> Script:
        is_hurried = b"Hello!" in request.body
        return failures.pop() if failures and not is_hurried else json_answer(completion(), before=[Pause(0.4)])

    upstream.default = play
    hurried = models_pb2.Timeouts(total=Duration(nanos=10_000_000))
    async with model_service(tmp_path, upstream, MODELS_MAX_ATTEMPTS="3") as service:
        await asyncio.gather(*(fail(service, stream=False, timeouts=hurried) for _ in range(20)))
        response = await service.stub.Chat(chat_request(text="Mine."))
    assert [attempt.outcome for attempt in response.attempts] == ["UPSTREAM_SERVER_ERROR"] * 2 + ["ok"]


@for_each("hurried", [True, False])
async def test_only_a_timeout_of_the_operator_is_held_against_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hurried: bool
) -> None:
    monkeypatch.setattr(attempts, "PAUSES", Backoff(interval=0.01, first_retry=0.001))
    monkeypatch.setattr(results, "PROBE_SECONDS", 0.05)
    clocks = {"timeouts": models_pb2.Timeouts(connect=Duration(nanos=20_000_000))} if hurried else {}
    setting = "5" if hurried else "0.02"
    with full() as url:
        async with model_service(
            tmp_path / setting, MODELS_MAX_ATTEMPTS="2", MODELS_TIMEOUTS=f"house.connect={setting}"
        ) as service:
            request = models_pb2.RegisterModelRequest(
                name="mine", endpoint=url, adapter_type="openai-compatible", provider="house"
            )
            await service.stub.RegisterModel(request)
            reasons = [
                (await fail(service, stream=False, model="mine", **clocks)).reason for _ in range(FAILURES_IN_ROW)
            ]
    assert ("CIRCUIT_OPEN" in reasons) is not hurried
    assert "UPSTREAM_UNREACHABLE" in reasons


@for_each(
    "setting",
    [
        "openai.total=0.15",
        "gpt-4o.total=0.15",
        "openai.total=60,gpt-4o.total=0.15",
        "mine.total=0.15",
        "house.total=0.15",
    ],
)
async def test_clock_of_the_operator_is_that_of_the_model_then_of_its_provider(
    tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream, setting: str
) -> None:
    model = "mine" if setting.startswith(("mine", "house")) else "gpt-4o"
    directory = tmp_path_factory.mktemp("models")
    async with model_service(directory, upstream, MODELS_TIMEOUTS=setting) as service:
        upstream.default = json_answer({"data": []})
        await service.stub.RegisterModel(registration(upstream, provider="house"))
        upstream.default = json_answer(completion(), before=[Pause(1)])
        failure = await fail(service, stream=False, model=model)
        assert failure.reason == "UPSTREAM_TIMEOUT"
        patient = models_pb2.Timeouts(total=Duration(seconds=20))
        response = await service.stub.Chat(chat_request(model=model, timeouts=patient))
        assert response.text == "Hi."


@for_each("seconds", [0, -1, 24 * 3600 + 1])
async def test_timeout_out_of_bounds_is_refused_by_its_field(service: ModelService, seconds: int) -> None:
    timeouts = models_pb2.Timeouts(silence=Duration(seconds=seconds))
    failure = await fail(service, stream=False, timeouts=timeouts)
    assert list(failure.fields) == ["timeouts.silence"]

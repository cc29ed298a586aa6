"""Keys, prompts, and the texts of providers and exceptions reach neither a caller's error nor the log."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import models_pb2
from services.models.validation.request import MAX_TAG_LENGTH
from services.shared.logs import open_log
from tests.scripted_upstream import (
    Ending,
    Script,
    ScriptedUpstream,
    answer,
    event,
    event_stream,
    json_answer,
    no_answer,
    raw,
)
from tests.services.log_file import LogFile
from tests.services.model_service import (
    ModelService,
    chat_request,
    completion,
    model_service,
    piece,
    registration,
    streamed_completion,
)

CANARY = "CANARY"
KEY = f"sk-{CANARY}-of-the-key"
PROMPT = f"{CANARY} of the prompt"
PROVIDER_TEXT = f"{CANARY} of the provider: Incorrect API key provided: {KEY}"
BODY = {"error": {"message": PROVIDER_TEXT, "type": PROVIDER_TEXT, "code": PROVIDER_TEXT, "param": PROVIDER_TEXT}}
HEADERS = {"x-request-id": f"{CANARY} of a header", "x-ratelimit": CANARY, "Retry-After": CANARY}


@dataclass
class Watched:
    """A service whose every error and log line is kept."""

    service: ModelService
    log_file: LogFile

    async def fails(self, **fields: Any) -> set[grpc.StatusCode]:
        """Makes the call by both verbs; returns the codes in which they end, and looks for canaries in the errors."""
        request = chat_request(**{"text": PROMPT, **fields})
        codes = {await self._error(self.service.stub.Chat(request))}
        codes.add(await self._error(self._read(self.service.stub.ChatStream(request))))
        return codes

    async def _read(self, stream: Any) -> None:
        async for _ in stream:
            pass

    async def _error(self, call: Any) -> grpc.StatusCode:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        error = caught.value
        told = [error.details(), error.debug_error_string(), *map(str, error.trailing_metadata())]
        told += map(str, error.initial_metadata())
        assert CANARY not in "".join(filter(None, told))
        return error.code()

    async def calls(self, count: int) -> list[dict[str, Any]]:
        """The log lines of this many calls; and there is no canary in any line."""
        entries = await self.log_file.calls(count)
        assert CANARY.encode() not in self.log_file.getvalue()
        return entries


@pytest.fixture
async def watched(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Watched]:
    log_file = LogFile()
    log = open_log("models", "debug", log_file)
    async with model_service(tmp_path, upstream, log=log, OPENAI_API_KEY=KEY, ANTHROPIC_API_KEY=KEY) as service:
        yield Watched(service, log_file)


FAULTS: dict[str, Script] = {
    "nothing": no_answer(Ending.CLOSE),
    "reset": no_answer(Ending.RESET),
    "no HTTP": raw(f"{CANARY}\r\n\r\n", ending=Ending.CLOSE),
    "no JSON": answer(PROVIDER_TEXT.encode()),
    "another JSON": json_answer({"message": PROVIDER_TEXT}),
    "error with status 200": json_answer(BODY),
    "cut": json_answer(BODY, ending=Ending.CUT),
    "redirect": answer(b"", status=307, headers={"Location": f"http://localhost/{CANARY}"}),
    "event of an error": event_stream(event(BODY)),
    "event of an error in mid-stream": event_stream(piece(CANARY), event(BODY)),
    "event that is no JSON": event_stream(piece("a"), event(CANARY)),
    "cut in mid-stream": event_stream(piece(CANARY), ending=Ending.CUT),
}


@pytest.mark.parametrize("model", ["gpt-4o", "claude-3-5-haiku"])
async def test_no_fault_of_a_provider_tells_anything(watched: Watched, upstream: ScriptedUpstream, model: str) -> None:
    for name, fault in FAULTS.items():
        upstream.default = fault
        assert grpc.StatusCode.UNKNOWN not in await watched.fails(model=model), name
    await watched.calls(2 * len(FAULTS))


async def test_no_status_of_a_provider_tells_anything(watched: Watched, upstream: ScriptedUpstream) -> None:
    statuses = [401, 403, 429, 500, 501, 503, 504, 529]
    for status in statuses:
        upstream.default = json_answer(BODY, status=status, headers=HEADERS)
        assert grpc.StatusCode.UNKNOWN not in await watched.fails()
    await watched.calls(2 * len(statuses))


async def test_what_a_provider_says_of_a_refusal_tells_no_key(watched: Watched, upstream: ScriptedUpstream) -> None:
    statuses = [400, 402, 404, 405, 408, 409, 413, 418, 422]
    told = f"Incorrect: {KEY}, {base64.b64encode(f'u:{KEY}'.encode()).decode()}, {KEY[:12]}****\u2028\x1b[0m."
    for status in statuses:
        upstream.default = json_answer({"error": {**BODY["error"], "message": told}}, status=status, headers=HEADERS)
        assert grpc.StatusCode.UNKNOWN not in await watched.fails()
    for entry in await watched.calls(2 * len(statuses)):
        assert "Incorrect" not in str(entry)


async def test_no_refusal_of_ours_repeats_what_it_refuses(watched: Watched, upstream: ScriptedUpstream) -> None:
    user = models_pb2.ChatMessage(role="user", content=PROMPT)
    refused: list[dict[str, Any]] = [
        {"messages": [models_pb2.ChatMessage(role=PROMPT, content=PROMPT)]},
        {"messages": [user, models_pb2.ChatMessage(role="user", content=PROMPT, tool_call_id=PROMPT)]},
        {"tools": [models_pb2.ToolDefinition(name=PROMPT, parameters_json=PROMPT)]},
        {"response_format": models_pb2.ResponseFormat(type=PROMPT)},
        {"tool_choice": models_pb2.ToolChoice(tool_name=PROMPT)},
        {"provider_options_json": {"openai": f'{{"{CANARY}": "\\ud800"}}'}},
        {"config": models_pb2.ChatConfig(temperature=9, stop_sequences=[PROMPT])},
        {"end_user_id": PROMPT * 100},
        {"reasoning": models_pb2.ReasoningConfig(effort=PROMPT)},
        {"tags": {"a": PROMPT + "x" * MAX_TAG_LENGTH}},
    ]
    for fields in refused:
        assert await watched.fails(**fields) <= {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED}
    await watched.calls(2 * len(refused))
    assert not upstream.requests


async def test_answered_call_logs_what_it_used_and_nothing_of_what_was_said(
    watched: Watched, upstream: ScriptedUpstream
) -> None:
    upstream.play(json_answer(completion(PROMPT)), streamed_completion(piece(PROMPT)))
    request = chat_request(text=PROMPT, tags={"team": "blue"}, end_user_id=CANARY)
    response = await watched.service.stub.Chat(request)
    chunks = [chunk async for chunk in watched.service.stub.ChatStream(request)]
    whole, streamed = await watched.calls(2)
    for entry, answered in ((whole, response), (streamed, chunks[-1].response)):
        assert (
            entry.items()
            >= {
                "code": "OK",
                "model": "gpt-4o",
                "provider": "openai",
                "upstream_model": "gpt-4o",
                "tags": {"team": "blue"},
                "response_id": answered.response_id,
                "finish_reason": "stop",
                "prompt_tokens": 9,
                "completion_tokens": 4,
            }.items()
        )
    assert streamed["first_token_ms"] > 0


async def test_unexpected_exception_in_the_service_tells_nothing(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    class Failing:
        """The servicer, with a fault of ours in the methods that the test calls."""

        def __init__(self, servicer: Any) -> None:
            self._servicer = servicer

        def __getattr__(self, name: str) -> Any:
            return getattr(self._servicer, name)

        async def Chat(self, request: models_pb2.ChatRequest, _: Any) -> None:
            raise ValueError(f"cannot handle {request!r} with {KEY}")

        async def ChatStream(self, request: models_pb2.ChatRequest, call: Any) -> AsyncIterator[Any]:
            yield models_pb2.ChatChunk(token="a")
            raise KeyError(f"cannot handle {request!r} with {KEY}")

    log_file = LogFile()
    log = open_log("models", "debug", log_file)
    async with model_service(tmp_path, upstream, log=log, servicer=Failing) as service:
        watched = Watched(service, log_file)
        assert await watched.fails() == {grpc.StatusCode.INTERNAL}
        await watched.calls(2)
    assert {entry["error"] for entry in log_file.entries() if "error" in entry} == {"ValueError", "KeyError"}


async def test_key_of_a_registered_model_stays_with_its_server(
    watched: Watched, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_API_KEY", KEY)
    upstream.default = json_answer(BODY, status=401)
    credential = models_pb2.Credential(env_var="ACME_API_KEY")
    response = await watched.service.stub.RegisterModel(registration(upstream, credential=credential))
    status = await watched.service.stub.GetModelStatus(models_pb2.GetModelStatusRequest(name="mine"))
    listed = await watched.service.stub.ListRegisteredModels(models_pb2.ListRegisteredModelsRequest())
    for told in (response, status, listed):
        assert CANARY not in str(told)
    assert await watched.fails(model="mine") == {grpc.StatusCode.FAILED_PRECONDITION}
    await watched.calls(5)
    assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in upstream.requests)


@pytest.mark.parametrize("key", [f"{KEY}\nx-evil: 1", f"{KEY}\u2028", f"{KEY}ü"])
async def test_key_that_cannot_be_sent_is_not_told_either(tmp_path: Path, upstream: ScriptedUpstream, key: str) -> None:
    log_file = LogFile()
    log = open_log("models", "debug", log_file)
    upstream.default = json_answer(BODY, status=401)
    async with model_service(tmp_path, upstream, log=log, OPENAI_API_KEY=key) as service:
        watched = Watched(service, log_file)
        assert await watched.fails() == {grpc.StatusCode.FAILED_PRECONDITION}
        status = await service.stub.GetModelStatus(models_pb2.GetModelStatusRequest(name="gpt-4o"))
        assert CANARY not in str(status)
        await watched.calls(3)
    assert not any("x-evil" in request.headers for request in upstream.requests)

"""The metrics of a Model Service, scraped from a process of its own: what is counted, and that labels stay bounded."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from proto import models_pb2, models_pb2_grpc
from services.models.main import SERVICE
from services.models.providers.model_labels import MAX_STRANGERS_MODELS
from services.shared import metric_names as names
from services.shared.metrics import MAX_TEAMS, OTHER
from tests.scripted_upstream import Ending, Received, Script, ScriptedUpstream, answer, event_stream, json_answer
from tests.services.model_service import (
    STRANGER,
    chat_request,
    completion,
    piece,
    registration,
    streamed_completion,
    vendor_variables,
)
from tests.support.admin import Scrape, port_of
from tests.support.callers import caller, signed
from tests.support.errors import failure_of, stream_failure
from tests.support.processes import Service, running

CHAT, CHAT_STREAM = f"{SERVICE.full_name}/Chat", f"{SERVICE.full_name}/ChatStream"
GPT = {"gen_ai_provider_name": "openai", "gen_ai_request_model": "gpt-4o"}
LABELS = {"gen_ai_operation_name": "chat", **GPT}


@dataclass
class Scraped:
    """A Model Service in a process of its own."""

    process: Service
    channel: grpc.aio.Channel
    stub: models_pb2_grpc.ModelServiceStub

    async def scrape(self) -> Scrape:
        return await asyncio.to_thread(Scrape.of, port_of(self.process))

    async def scrape_after(self, calls: int) -> Scrape:
        """A scrape after so many calls have ended: one is counted after its caller has the answer."""
        async with asyncio.timeout(10):
            while (scrape := await self.scrape()).sum(names.CALLS) < calls:
                pass
        return scrape


@contextlib.asynccontextmanager
async def scraped(directory: Path, upstream: ScriptedUpstream, **settings: str) -> AsyncIterator[Scraped]:
    settings |= {"MODELS_ADMIN_PORT": "0", "MODELS_MAX_ATTEMPTS": "1", "MODELS_ALLOWED_ENDPOINTS": "private"}
    with running("models", directory, **vendor_variables(upstream.url), **settings) as process:
        async with grpc.aio.insecure_channel(process.address) as channel:
            yield Scraped(process, channel, models_pb2_grpc.ModelServiceStub(channel))


@pytest.fixture
async def service(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Scraped]:
    async with scraped(tmp_path, upstream) as service:
        yield service


async def test_chat_is_measured_under_its_model(service: Scraped, upstream: ScriptedUpstream) -> None:
    limits = {"x-ratelimit-remaining-requests": "59", "x-ratelimit-remaining-tokens": "8000"}
    upstream.play(json_answer(completion(), headers=limits))
    await service.stub.Chat(chat_request())
    seen = await service.scrape_after(1)
    answering = {**LABELS, "gen_ai_response_model": "gpt-4o-2024-08-06"}
    assert seen.sum(f"{names.INFERENCE_DURATION}_count", answering, error_type="") == 1
    assert seen.sum(names.INPUT_TOKENS, answering, gen_ai_token_modality="text") == 9
    assert seen.sum(names.OUTPUT_TOKENS, answering, gen_ai_token_modality="text") == 4
    assert seen.sum(names.COST, GPT, team="", project="") == 9 * 2500 + 4 * 10000
    assert seen.sum(names.UPSTREAM_ATTEMPTS, provider="openai", model="gpt-4o", outcome="ok") == 1
    assert seen.sum(names.UPSTREAM_RATE_LIMIT_REMAINING, provider="openai", resource="requests") == 59
    assert seen.sum(names.UPSTREAM_RATE_LIMIT_REMAINING, provider="openai", resource="tokens") == 8000
    assert seen.sum(f"{names.RPC_DURATION}_count", rpc_method=CHAT, rpc_status_code="OK") == 1
    assert seen.sum(names.CALLS, team="", project="", outcome="ok") == 1
    assert seen.sum(names.UNPRICED_CALLS) == seen.sum(names.INFLIGHT_CALLS) == seen.sum(names.ACTIVE_STREAMS) == 0


async def test_overhead_leaves_out_what_the_provider_takes(service: Scraped, upstream: ScriptedUpstream) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()
    upstream.play(json_answer(completion(), before=[answered]))
    upstream.play(streamed_completion(piece("a"), asked, piece("b")))
    chat = asyncio.ensure_future(service.stub.Chat(chat_request()))
    await upstream.received(1)
    await asyncio.sleep(0.5)
    answered.set()
    await chat
    async for chunk in service.stub.ChatStream(chat_request()):
        if chunk.token == "a":
            await asyncio.sleep(0.5)
            asked.set()
    seen = await service.scrape_after(2)
    for method in (CHAT, CHAT_STREAM):
        assert seen.sum(f"{names.RPC_DURATION}_sum", rpc_method=method) >= 0.5
        assert 0 < seen.sum(f"{names.OVERHEAD}_sum", rpc_method=method) < 0.4


async def test_every_end_of_a_stream_is_counted_once(service: Scraped, upstream: ScriptedUpstream) -> None:
    upstream.play(streamed_completion(piece("a"), piece("b"), piece("c")))
    upstream.play(event_stream(piece("some text"), ending=Ending.CUT))
    upstream.play(event_stream(piece("more"), ending=Ending.STALL))
    assert [chunk async for chunk in service.stub.ChatStream(chat_request())]
    chunks, failure = await stream_failure(service.stub.ChatStream(chat_request()))
    assert chunks
    left = service.stub.ChatStream(chat_request())
    await left.read()
    left.cancel()
    seen = await service.scrape_after(3)
    assert {end: seen.sum(names.STREAM_ENDS, end=end) for end in seen.values(names.STREAM_ENDS, "end")} == {
        **dict.fromkeys(("expired", "slow_reader", "stopped", "failed"), 0),
        **dict.fromkeys(("complete", "truncated", "cancelled"), 1),
    }
    assert seen.sum(f"{names.TIME_TO_FIRST_CHUNK}_count", LABELS) == 3
    assert seen.sum(f"{names.TIME_PER_OUTPUT_CHUNK}_count", LABELS) >= 1
    for error_type in ("", failure.reason, "CANCELLED"):
        assert seen.sum(f"{names.INFERENCE_DURATION}_count", LABELS, error_type=error_type) == 1
    for outcome in ("ok", "protocol", "cancelled"):
        assert seen.sum(names.UPSTREAM_ATTEMPTS, model="gpt-4o", outcome=outcome) == 1
    # What had come is estimated for a stream that broke off, and for one that was left.
    assert seen.sum(names.OUTPUT_TOKENS, LABELS) > 4
    assert seen.sum(names.OUTPUT_TOKENS, LABELS, gen_ai_response_model="") > 0


async def test_attempts_are_counted_by_what_became_of_them(service: Scraped, upstream: ScriptedUpstream) -> None:
    outcomes = {
        400: "refused",
        401: "auth",
        402: "quota",
        404: "refused",
        429: "rate_limited",
        500: "server",
        504: "timeout",
        529: "overloaded",
    }
    for status in outcomes:
        upstream.play(json_answer({"error": {"message": "no", "type": "x"}}, status=status))
        await failure_of(service.stub.Chat(chat_request()))
    upstream.play(json_answer({}, ending=Ending.RESET))
    await failure_of(service.stub.Chat(chat_request()))
    upstream.play(json_answer(["no answer"]))
    await failure_of(service.stub.Chat(chat_request()))
    # Nothing is sent for a request that is refused here.
    await failure_of(service.stub.Chat(chat_request(text="")))
    seen = await service.scrape_after(11)
    counted = {
        outcome: seen.sum(names.UPSTREAM_ATTEMPTS, provider="openai", model="gpt-4o", outcome=outcome)
        for outcome in seen.values(names.UPSTREAM_ATTEMPTS, "outcome")
    }
    expected = {outcome: list(outcomes.values()).count(outcome) for outcome in outcomes.values()}
    assert counted == {**expected, "protocol": 2}
    assert seen.sum(names.CALLS, outcome="refused") == 6
    assert seen.sum(names.CALLS, outcome="failed") == 5


async def test_calls_and_costs_are_those_of_teams_and_projects(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.default = served
    async with scraped(tmp_path, upstream, AUTH_MODE="required", GENAI_INTERNAL_KEYS="k" * 32) as service:
        await service.stub.Chat(chat_request(), metadata=signed(caller("web", team_id="search")))
        for number in range(MAX_TEAMS + 5):
            one_of_many = signed(caller(f"project-{number}", team_id=f"team-{number}"))
            await service.stub.ListModels(models_pb2.ListModelsRequest(page_size=1), metadata=one_of_many)
        await failure_of(service.stub.Chat(chat_request()))
        seen = await service.scrape_after(MAX_TEAMS + 7)
    assert seen.sum(names.COST, GPT, team="search", project="web") > 0
    assert seen.sum(names.CALLS, team="search", project="web", outcome="ok") == 1
    assert seen.sum(names.CALLS, team=OTHER, project=OTHER, outcome="ok") == 6
    assert seen.sum(names.CALLS, team="", project="", outcome="refused") == 1


async def test_registered_models_have_their_own_names_and_a_status(
    service: Scraped, upstream: ScriptedUpstream
) -> None:
    upstream.default = served
    await service.stub.RegisterModel(registration(upstream, name="mine", upstream_model="llama"))
    await service.stub.Chat(chat_request("mine"))
    seen = await service.scrape_after(2)
    assert seen.sum(names.UPSTREAM_ATTEMPTS, model="mine", outcome="ok") == 1
    # Nobody has said what it costs.
    assert seen.sum(names.UNPRICED_CALLS, gen_ai_request_model="mine") == 1
    assert seen.sum(names.COST, gen_ai_request_model="mine") == 0
    async with asyncio.timeout(10):
        while (await service.scrape()).sum(names.MODEL_STATUS, model="mine", status="healthy") != 1:
            pass
    assert seen.sum(names.REGISTRY_SNAPSHOT_AGE) < 5
    shutdowns = seen.values(names.MODEL_SHUTDOWN, "provider")
    assert shutdowns == {"openai", "anthropic"}


def served(request: Received) -> Script:
    return answer(b"{}") if request.method == "GET" else json_answer(completion())


def unknown_or_ever_new(request: Received) -> Script:
    """A vendor that knows no model, and a server that calls itself something else each time."""
    if request.method == "GET":
        return answer(b"{}")
    model = request.json()["model"]
    if model.startswith("gpt"):
        return json_answer({"error": {"message": "no such model", "code": "model_not_found"}}, status=404)
    return json_answer({**completion(), "model": f"{model}-{next(COUNT)}"})


COUNT = itertools.count()


async def test_names_that_callers_and_servers_invent_make_no_series(
    service: Scraped, upstream: ScriptedUpstream
) -> None:
    upstream.default = unknown_or_ever_new
    await service.stub.RegisterModel(registration(upstream, name="mine", upstream_model="llama"))

    async def misspell(first: int, last: int) -> int:
        for number in range(first, last):
            await failure_of(service.stub.Chat(chat_request(f"openai/gpt-4o-{number}")))
            await failure_of(service.stub.Chat(chat_request(f"nobody-{number}")))
            await service.stub.Chat(chat_request("mine"))
            path = f"/{SERVICE.full_name}/Guess{number}" if number % 2 else f"/guess{number}/Call"
            await failure_of(service.channel.unary_unary(path)(b"", timeout=10))
        return len((await service.scrape_after(4 * last)).series)

    few = await misspell(0, 20)
    assert await misspell(20, 300) <= few
    seen = await service.scrape()
    assert seen.values(names.UPSTREAM_ATTEMPTS, "model") == {"mine", OTHER}
    assert OTHER in seen.values(f"{names.RPC_DURATION}_count", "rpc_method")
    assert not [name for name in seen.values(f"{names.RPC_DURATION}_count", "rpc_method") if "uess" in name]
    for number in range(MAX_STRANGERS_MODELS + 10):
        await service.stub.RegisterModel(registration(upstream, name=f"theirs-{number}"), metadata=STRANGER)
        await service.stub.Chat(chat_request(f"theirs-{number}"), metadata=STRANGER)
    models = (await service.scrape()).values(names.UPSTREAM_ATTEMPTS, "model")
    assert len(models) == MAX_STRANGERS_MODELS + len({"mine", OTHER})

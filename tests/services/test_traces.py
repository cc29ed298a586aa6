"""Traces of three processes, as a real collector receives them: one chain, each span ended, nothing secret in it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest

from proto import models_pb2_grpc, sessions_pb2, sessions_pb2_grpc
from tests.scripted_upstream import Ending, ScriptedUpstream, event_stream, json_answer
from tests.services.model_service import chat_request, completion, piece, streamed_completion, vendor_variables
from tests.support.errors import failure_of, stream_failure
from tests.support.otlp import Collector, ReceivedSpan, collecting
from tests.support.processes import Platform, running, running_platform

SERVER, CLIENT = 2, 3
MODEL_SERVICE = "genai_platform.v1.ModelService"
TRACE_ID, SENDER_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENDER = (("traceparent", f"00-{TRACE_ID}-{SENDER_ID}-01"), ("tracestate", "vendor=1"))
SECRET = "CANARY-of-a-prompt"


class Traced(NamedTuple):
    """The three processes, and a channel to the gateway."""

    platform: Platform
    channel: grpc.aio.Channel
    models: models_pb2_grpc.ModelServiceStub

    async def stop(self) -> dict[str, dict[str, int]]:
        """Stops all processes; returns the spans that each has started and ended, as its log says them."""
        counts = {}
        for name, service in self.platform.services.items():
            service.send(signal.SIGTERM)
            assert await service.end() == 0
            [entry] = [entry for entry in service.entries() if entry["event"] == "traces were sent"]
            counts[name] = {"started": entry["started"], "ended": entry["ended"]}
        return counts


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as collector:
        yield collector


@contextlib.asynccontextmanager
async def traced(
    directory: Path, upstream: ScriptedUpstream, collector: Collector, **settings: str
) -> AsyncIterator[Traced]:
    settings |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with running_platform(directory, **vendor_variables(upstream.url), **settings) as platform:
        async with grpc.aio.insecure_channel(platform.address) as channel:
            yield Traced(platform, channel, models_pb2_grpc.ModelServiceStub(channel))


def named(spans: list[ReceivedSpan], service: str, name: str) -> ReceivedSpan:
    [found] = [span for span in spans if (span.service, span.name) == (service, name)]
    return found


async def test_three_processes_and_their_provider_make_one_chain(
    tmp_path: Path, upstream: ScriptedUpstream, collector: Collector
) -> None:
    upstream.play(json_answer({"error": {"message": "no", "type": "x"}}, status=500))
    upstream.play(json_answer(completion("Hi.")))
    async with traced(tmp_path, upstream, collector, MODELS_MAX_ATTEMPTS="2") as platform:
        sessions = sessions_pb2_grpc.SessionServiceStub(platform.channel)
        created = await sessions.CreateSession(sessions_pb2.CreateSessionRequest(user_id="u"))
        request = chat_request(text=SECRET, session_id=created.session_id)
        await platform.models.Chat(request, metadata=SENDER)
        spans = await collector.trace(TRACE_ID, 7)
        at_gateway = named(spans, "genai-gateway", f"{MODEL_SERVICE}/Chat")
        at_models = named(spans, "genai-models", f"{MODEL_SERVICE}/Chat")
        chat = named(spans, "genai-models", "chat gpt-4o")
        first, second = [span for span in spans if span.name == "POST"]
        at_sessions = [span for span in spans if span.service == "genai-sessions"]
    assert (at_gateway.parent_id, at_gateway.kind) == (SENDER_ID, SERVER)
    assert (at_models.parent_id, at_models.kind) == (at_gateway.span_id, SERVER)
    assert (chat.parent_id, chat.kind) == (at_models.span_id, CLIENT)
    assert {first.parent_id, second.parent_id} == {chat.span_id}
    assert {span.parent_id for span in at_sessions} == {at_models.span_id}
    assert {span.name.rpartition("/")[2] for span in at_sessions} >= {"BeginTurn", "AppendMessages"}
    assert (first.attributes["error.type"], first.attributes["http.response.status_code"]) == (
        "UPSTREAM_SERVER_ERROR",
        500,
    )
    assert first.is_error
    assert second.attributes["http.request.resend_count"] == 1
    assert not second.is_error
    assert (
        chat.attributes.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.usage.input_tokens": 9,
            "gen_ai.usage.output_tokens": 4,
        }.items()
    )
    assert at_models.attributes["rpc.status_code"] == "OK"
    for secret in (SECRET, "Hi.", "sk-test"):
        assert secret.encode() not in collector.raw


async def test_every_span_that_starts_ends_however_its_call_does(
    tmp_path: Path, upstream: ScriptedUpstream, collector: Collector
) -> None:
    async with traced(tmp_path, upstream, collector, GENAI_GRACE_SECONDS="0", MODELS_MAX_ATTEMPTS="1") as platform:

        async def begin() -> grpc.aio.UnaryStreamCall:
            upstream.play(event_stream(piece("a"), ending=Ending.STALL))
            call = platform.models.ChatStream(chat_request(), metadata=SENDER)
            await call.read()
            return call

        upstream.play(streamed_completion(piece("a")))
        assert [chunk async for chunk in platform.models.ChatStream(chat_request(), metadata=SENDER)]
        upstream.play(event_stream(piece("a"), ending=Ending.CUT))
        await stream_failure(platform.models.ChatStream(chat_request(), metadata=SENDER))
        (await begin()).cancel()
        upstream.play(event_stream(piece("a"), ending=Ending.STALL))
        with pytest.raises(grpc.aio.AioRpcError, match="DEADLINE_EXCEEDED"):
            assert [chunk async for chunk in platform.models.ChatStream(chat_request(), metadata=SENDER, timeout=0.5)]
        # One that nobody ever reads, and one that is refused.
        upstream.play(event_stream(piece("a"), ending=Ending.STALL))
        never_read = platform.models.ChatStream(chat_request(), metadata=SENDER)
        await failure_of(platform.models.Chat(chat_request(text=""), metadata=SENDER))
        still_running = await begin()
        await upstream.received(6)
        counts = await platform.stop()
        del never_read, still_running
    assert {name: count["started"] - count["ended"] for name, count in counts.items()} == dict.fromkeys(counts, 0)
    assert counts["gateway"]["started"] == 7
    assert counts["models"]["started"] == 7 + 6 + 6
    assert len(collector.spans) == sum(count["ended"] for count in counts.values())
    codes = [
        span.attributes["rpc.status_code"]
        for span in collector.spans
        if span.service == "genai-models" and span.kind == SERVER
    ]
    assert {"OK", "UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "INVALID_ARGUMENT"} == {*codes}


async def test_without_a_collector_nothing_of_a_trace_is_touched(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.play(json_answer(completion()))
    with running("models", tmp_path, **vendor_variables(upstream.url)) as models:
        async with grpc.aio.insecure_channel(models.address) as channel:
            await models_pb2_grpc.ModelServiceStub(channel).Chat(chat_request(), metadata=SENDER)
    assert "traceparent" not in upstream.requests[0].headers
    assert not [entry for entry in models.entries() if "trace_id" in entry]


async def test_a_collector_that_is_away_delays_no_call_and_no_stop_for_long(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.play(json_answer(completion()))
    endpoint = "http://127.0.0.1:1"
    settings = {**vendor_variables(upstream.url), "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    with running("models", tmp_path, **settings) as models:
        async with grpc.aio.insecure_channel(models.address) as channel:
            await models_pb2_grpc.ModelServiceStub(channel).Chat(chat_request(), metadata=SENDER, timeout=10)
        models.send(signal.SIGTERM)
        async with asyncio.timeout(15):
            assert await models.end() == 0

"""Faults of callers, C1 to C17 of the fault matrix, as a real Model Service survives them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import models_pb2, models_pb2_grpc
from services.shared import admission, slow_readers
from services.shared.admission import wait_for_calls
from services.shared.metadata import REQUEST_ID_KEY
from tests.faults.outcomes import VERBS, ask, resident
from tests.faults.stages import LATER, OF_THE_INTAKE, Held, Stage
from tests.rows import for_each, row
from tests.scripted_upstream import ScriptedUpstream, event_stream, no_answer
from tests.services.event_loop import watched_loop
from tests.services.gateway.gateways import gateway
from tests.services.model_service import (
    END,
    chat_request,
    model_service,
    piece,
)
from tests.services.vendor_answers import answered_in_any_dialect
from tests.support.errors import stream_failure
from tests.support.http2 import (
    ACK,
    DATA,
    END_STREAM,
    PING,
    RST_STREAM,
    SETTINGS,
    frame,
    grpc_message,
    header_block,
    headers,
    opening,
    send,
)
from tests.support.processes import running

HELD_ID = "held-at-a-stage"
FREED_SECONDS = 15.0
"""Enough for a busy machine, and far less than what holds a call would last."""
DEADLINE = 3.0
"""Enough to come to any stage, however busy the machine is."""

Stub = models_pb2_grpc.ModelServiceStub

# --------------------------------------------------------------------------------------------- callers that leave


def start(stub: Stub, held: Held, verb: str, timeout: float | None) -> tuple[Any, asyncio.Task[grpc.StatusCode]]:
    """A chat in progress, and the task that reads it to its end."""
    call = getattr(stub, verb)(held.request, timeout=timeout, metadata=((REQUEST_ID_KEY, HELD_ID),))

    async def read() -> grpc.StatusCode:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
            if verb == "Chat":
                await call
            else:
                async for chunk in call:
                    assert not chunk.HasField("response"), "the answer came after its caller had left"
        code: grpc.StatusCode = await call.code()
        return code

    return call, asyncio.create_task(read())


async def assert_freed(stub: Stub, held: Held, code: str) -> None:
    """Fails unless a call that has been left is soon over, its connection closed, and others are served."""
    async with asyncio.timeout(FREED_SECONDS):
        if held.closed:
            await held.closed()
        held.release()
        await held.log.wait_for(HELD_ID, FREED_SECONDS)
    [entry] = [entry for entry in await held.log.calls(1) if entry["request_id"] == HELD_ID]
    assert entry["code"] == code
    response = await stub.Chat(held.next_request, timeout=10)
    assert response.text == "Hi."


async def assert_nothing_runs() -> None:
    await wait_for_calls(FREED_SECONDS)
    assert not admission._running


async def leave(address: str, held: Held, verb: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = models_pb2_grpc.ModelServiceStub(channel)
        call, reading = start(stub, held, verb, None)
        await held.reach()
        call.cancel()
        assert await reading is grpc.StatusCode.CANCELLED
        await assert_freed(stub, held, "CANCELLED")
    await assert_nothing_runs()


@pytest.mark.parametrize("stage", [*OF_THE_INTAKE, *LATER])
@for_each("verb", VERBS)
async def test_c1_a_call_that_is_cancelled_leaves_nothing_at_any_stage(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, stage: Stage, verb: str
) -> None:
    async with stage(tmp_path_factory.mktemp("services"), monkeypatch) as held:
        await leave(held.address, held, verb)


@pytest.mark.parametrize("stage", LATER)
async def test_c1_a_call_that_is_cancelled_at_the_gateway_leaves_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    async with stage(tmp_path, monkeypatch) as held, gateway(held.address) as front:
        await leave(front.address, held, "ChatStream")


async def expire(directory: Path, monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    with row(stage.__name__):
        async with stage(directory, monkeypatch) as held, grpc.aio.insecure_channel(held.address) as channel:
            stub = models_pb2_grpc.ModelServiceStub(channel)
            _, reading = start(stub, held, "ChatStream", DEADLINE)
            await held.reach()
            assert not reading.done()
            assert await reading is grpc.StatusCode.DEADLINE_EXCEEDED
            await assert_freed(stub, held, "DEADLINE_EXCEEDED")


# An append takes at most half of the time that is left: at the last stage the answer comes before the deadline.
WAITING = LATER[:-1]


@pytest.mark.parametrize("stages", [OF_THE_INTAKE[:1], OF_THE_INTAKE[1:], WAITING], ids=["turn", "memory", "later"])
async def test_c2_a_call_whose_deadline_passes_leaves_nothing_at_any_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: tuple[Stage, ...]
) -> None:
    """The stages at which a chat does not hold up others are waited for at the same time."""
    directories = [tmp_path / stage.__name__ for stage in stages]
    for directory in directories:
        directory.mkdir()
    async with asyncio.TaskGroup() as expiring:
        for directory, stage in zip(directories, stages, strict=True):
            expiring.create_task(expire(directory, monkeypatch, stage))
    await assert_nothing_runs()


# --------------------------------------------------------------------------------------------- callers that are slow

PIECE_BYTES = 64 * 1024
PIECES = 250
HELD_BACK_BYTES = 12 * 1024 * 1024
"""The most that may be on its way to a caller who does not read: in the windows and buffers of all hops."""


async def test_c6_a_slow_reader_holds_back_its_provider_and_nobody_else(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.play(event_stream(*[piece("x" * PIECE_BYTES)] * PIECES, END))
    upstream.default = answered_in_any_dialect
    async with (
        model_service(tmp_path, upstream) as service,
        gateway(service.address) as front,
        grpc.aio.insecure_channel(front.address, options=[("grpc.max_receive_message_length", -1)]) as channel,
    ):
        stub = type(service.stub)(channel)
        stream = stub.ChatStream(chat_request())
        await anext(aiter(stream))
        sent = -1
        while sent < upstream.requests[0].generated:
            sent = upstream.requests[0].generated
            assert (await ask(stub, model="gpt-4o-mini")).answer.text == "Hi."
            await asyncio.sleep(0.2)
        assert sent * PIECE_BYTES < HELD_BACK_BYTES
        last = None
        async for chunk in stream:
            last = chunk
        assert last
        assert len(last.response.text) == PIECES * PIECE_BYTES


STALLED_READERS = 20


async def test_c7_readers_that_never_read_are_ended_and_their_providers_left(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_readers, "STALLED_SECONDS", 0.5)
    monkeypatch.setattr(slow_readers, "CHECK_SECONDS", 0.05)
    pieces = 500
    long_answer = event_stream(*[piece("x" * 16 * 1024)] * pieces, END)
    upstream.play(*[long_answer] * STALLED_READERS)
    upstream.default = answered_in_any_dialect
    # A window of 64 KiB for all of them.
    options = [("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1)]
    async with (
        model_service(tmp_path, upstream) as service,
        grpc.aio.insecure_channel(service.address, options) as channel,
    ):
        stub = models_pb2_grpc.ModelServiceStub(channel)
        stalled = [stub.ChatStream(chat_request(), timeout=60) for _ in range(STALLED_READERS)]
        requests = [await upstream.received(number + 1) for number in range(STALLED_READERS)]
        for request in requests:
            await request.closed_by_peer(FREED_SECONDS)
            assert request.generated < pieces
        assert (await ask(service.stub)).answer.text == "Hi."
        # They share a window, in which the rest of one may stand before the end of another.
        for _, failure in await asyncio.gather(*map(stream_failure, stalled)):
            assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CLIENT_TOO_SLOW")
        await assert_nothing_runs()


IDLE_STREAMS = 1000
CONNECTIONS_OF_IDLE = 20
STREAM_BYTES = 128 * 1024
"""The most that a stream may cost a process, with its connection to the provider."""


async def test_c8_many_idle_streams_are_cheap_and_leave_room_for_others(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.default = no_answer()
    settings = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": upstream.url}
    with running("models", tmp_path, **settings) as process:
        async with contextlib.AsyncExitStack() as stack:
            stubs = []
            for _ in range(CONNECTIONS_OF_IDLE):
                options = [("grpc.use_local_subchannel_pool", 1)]
                channel = await stack.enter_async_context(grpc.aio.insecure_channel(process.address, options))
                stubs.append(models_pb2_grpc.ModelServiceStub(channel))
            await stubs[0].ListModels(models_pb2.ListModelsRequest(), timeout=20)
            before = resident(process.pid, "VmRSS")
            streams = [stubs[n % len(stubs)].ChatStream(chat_request(), timeout=120) for n in range(IDLE_STREAMS)]
            await upstream.received(IDLE_STREAMS, 30)
            assert (resident(process.pid, "VmRSS") - before) / IDLE_STREAMS < STREAM_BYTES
            for stub in stubs:
                await stub.ListModels(models_pb2.ListModelsRequest(), timeout=5)
            assert not any(stream.done() for stream in streams)
            for stream in streams:
                stream.cancel()
            for request in upstream.requests:
                await request.closed_by_peer(FREED_SECONDS)


# ------------------------------------------------------------------------------------------------ callers' schemas

LEVELS = 10_000
SCHEMAS: dict[str, Callable[[str], str]] = {
    "too deep": lambda _: '{"properties":{"a":' * LEVELS + "{}" + "}}" * LEVELS,
    "too large": lambda _: json.dumps({"type": "object", "description": "x" * 5_000_000}),
    "at a URL": lambda url: json.dumps({"$ref": f"{url}/schema.json"}),
    "with a part at a URL": lambda url: json.dumps(
        {"type": "object", "properties": {"a": {"$ref": f"{url}/schema.json"}}}
    ),
    "of itself": lambda _: json.dumps({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}),
    "with a catastrophic pattern": lambda _: json.dumps(
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a+)+$", "default": "a" * 5000 + "!"}}}
    ),
}
TOO_MUCH = {"too deep", "too large"}


@pytest.mark.parametrize("model", ["gpt-4o", "claude-opus-4-5"])
@for_each("case", SCHEMAS)
async def test_c13_no_schema_is_fetched_or_holds_the_loop(
    tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream, case: str, model: str
) -> None:
    upstream.default = answered_in_any_dialect
    async with (
        ScriptedUpstream() as elsewhere,
        model_service(tmp_path_factory.mktemp("models"), upstream) as service,
    ):
        text = SCHEMAS[case](elsewhere.url)
        tool = models_pb2.ToolDefinition(name="t", parameters_json=text)
        answers = models_pb2.ResponseFormat(type="json_schema", schema_json=text)
        fields: dict[str, dict[str, Any]] = {
            "tools": {"tools": [tool]},
            "response_format": {"response_format": answers},
        }
        upstream.requests.clear()
        for field, given in fields.items():
            began = time.process_time()
            async with watched_loop() as loop:
                outcome = await ask(service.stub, "Chat", model=model, **given)
            assert time.process_time() - began < 0.5
            assert loop.longest < 0.1
            if outcome.failure:
                assert outcome.failure.code is grpc.StatusCode.INVALID_ARGUMENT
                assert all(name.startswith(field) for name in outcome.failure.fields)
        assert not elsewhere.connections
        assert not (case in TOO_MUCH and upstream.requests)


# ------------------------------------------------------------------------------------------------ callers that flood

CALL = header_block(
    [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/genai_platform.v1.ModelService/Chat"),
        (b":authority", b"x"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    ]
)
STREAMS = range(1, 500, 2)
"""Of all connections together fewer than grpc lets wait."""


def reset(stream: int) -> bytes:
    return frame(RST_STREAM, 0, stream, b"\0\0\0\x08")


def begun(stream: int) -> bytes:
    body = frame(DATA, END_STREAM, stream, grpc_message(chat_request().SerializeToString()))
    return headers(stream, CALL) + body


FLOODS: dict[str, bytes] = {
    "pings": frame(PING, 0, 0, b"\0" * 8) * 20_000,
    "settings": frame(SETTINGS) * 20_000,
    "acknowledged settings": frame(SETTINGS, ACK) * 20_000,
    "rapid reset of calls without a message": b"".join(headers(n, CALL) + reset(n) for n in STREAMS),
    "rapid reset of whole calls": b"".join(begun(n) + reset(n) for n in STREAMS),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 1000,
}
CONNECTIONS = 10


@for_each("case", FLOODS)
async def test_c17_a_flood_of_frames_costs_nobody_else_a_call(
    tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream, case: str
) -> None:
    upstream.default = answered_in_any_dialect
    data = FLOODS[case] if case == "TLS" else opening() + FLOODS[case]
    async with model_service(tmp_path_factory.mktemp("models"), upstream) as service:

        def flood() -> None:
            # The service may close the connection in the middle of it.
            with contextlib.suppress(OSError):
                send(service.address, data).close()

        assert (await ask(service.stub)).answer.text == "Hi."
        flooding = [asyncio.create_task(asyncio.to_thread(flood)) for _ in range(CONNECTIONS)]
        outcomes = [await ask(service.stub) for _ in range(10)]
        await asyncio.gather(*flooding)
        outcomes += [await ask(service.stub) for _ in range(10)]
        assert {outcome.answer.text for outcome in outcomes} == {"Hi."}
        assert max(outcome.seconds for outcome in outcomes) < 10
    await assert_nothing_runs()

"""Whoever leaves stops the spending: the provider's socket is closed within a second, at every stage of every call."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import models_pb2_grpc
from services.shared.logs import open_log
from tests.scripted_upstream import (
    Ending,
    Generate,
    Received,
    Script,
    ScriptedUpstream,
    answer,
    event_stream,
    json_answer,
    no_answer,
)
from tests.services.gateway.gateways import gateway
from tests.services.model_service import LogFile, chat_request, completion, model_service, piece, registration

SECONDS = 1.0
DEADLINE = 3.0
WAIT_SECONDS = 5.0
ROOT = Path(__file__).resolve().parents[2]

TOKENS = 2000
"""Of a server that looks at nothing but its model: twenty seconds of work."""

# What the provider has done when the caller leaves.
STAGES: dict[str, Script] = {
    "before the head": no_answer(),
    "before the first token": event_stream(ending=Ending.STALL),
    "in mid-stream": event_stream(piece("a"), ending=Ending.STALL),
    "in the middle of a whole answer": json_answer(completion("a" * 100), ending=Ending.STALL),
}
STREAMED = ["before the head", "before the first token", "in mid-stream"]
WHOLE = ["before the head", "in the middle of a whole answer"]

Stub = models_pb2_grpc.ModelServiceStub


@pytest.fixture
async def address(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[str]:
    """Where callers find the service: behind the gateway, so that both must notice a caller that leaves."""
    async with model_service(tmp_path, upstream) as service, gateway(service.address) as front:
        yield front.address


@pytest.fixture
async def stub(address: str) -> AsyncIterator[Stub]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield Stub(channel)


class Caller:
    """A call in progress that reads whatever comes."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.tokens: list[str] = []
        self.first_token = asyncio.Event()
        self.ended = asyncio.create_task(self._read())

    async def _read(self) -> grpc.StatusCode:
        try:
            if isinstance(self.call, grpc.aio.UnaryUnaryCall):
                await self.call
            else:
                async for chunk in self.call:
                    self.tokens.append(chunk.token)
                    self.first_token.set()
        except grpc.aio.AioRpcError as error:
            return error.code()
        except asyncio.CancelledError:
            # How grpc.aio tells the caller that it has cancelled its call.
            pass
        code: grpc.StatusCode = await self.call.code()
        return code


async def reach(stage: str, caller: Caller, upstream: ScriptedUpstream, requests: int = 1) -> Received:
    """Waits until a call has come to its stage, and returns what the provider has received."""
    received = await upstream.received(requests)
    if stage == "in mid-stream":
        await asyncio.wait_for(caller.first_token.wait(), 5)
    return received


async def assert_closed(received: Received, since: float) -> None:
    closed_at = await received.closed_by_peer(SECONDS + 1)
    assert closed_at - since < SECONDS


@pytest.mark.parametrize("stage", STREAMED)
async def test_cancelled_stream_closes_the_providers_socket(stub: Stub, upstream: ScriptedUpstream, stage: str) -> None:
    upstream.play(STAGES[stage])
    caller = Caller(stub.ChatStream(chat_request()))
    received = await reach(stage, caller, upstream)
    assert received.closed_at is None
    cancelled_at = asyncio.get_running_loop().time()
    caller.call.cancel()
    await assert_closed(received, cancelled_at)
    assert await caller.ended is grpc.StatusCode.CANCELLED


async def test_stream_whose_caller_left_is_logged_with_what_it_used_by_estimate(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    file = LogFile()
    upstream.play(STAGES["in mid-stream"])
    async with model_service(tmp_path, upstream, log=open_log("models", file=file)) as service:
        caller = Caller(service.stub.ChatStream(chat_request("gpt-4o", "Hello!")))
        await reach("in mid-stream", caller, upstream)
        caller.call.cancel()
        [entry] = await file.calls(1)
    used = {"prompt_tokens": 6, "completion_tokens": 1, "usage_estimated": True}
    assert entry.items() >= {"code": "CANCELLED", **used, "cost_nano_usd": 6 * 2_500 + 10_000}.items()


@pytest.mark.parametrize("stage", WHOLE)
async def test_cancelled_chat_closes_the_providers_socket(stub: Stub, upstream: ScriptedUpstream, stage: str) -> None:
    upstream.play(STAGES[stage])
    caller = Caller(stub.Chat(chat_request()))
    received = await reach(stage, caller, upstream)
    cancelled_at = asyncio.get_running_loop().time()
    caller.call.cancel()
    await assert_closed(received, cancelled_at)
    assert await caller.ended is grpc.StatusCode.CANCELLED


async def test_deadline_closes_the_providers_socket(stub: Stub, upstream: ScriptedUpstream) -> None:
    """At every stage, of all calls at once: each must be there before its deadline, however busy the machine is."""
    calls = [*((stub.ChatStream, stage) for stage in STREAMED), *((stub.Chat, stage) for stage in WHOLE)]
    callers = []
    for count, (verb, stage) in enumerate(calls, 1):
        upstream.play(STAGES[stage])
        callers.append(Caller(verb(chat_request(), timeout=DEADLINE)))
        await reach(stage, callers[-1], upstream, count)
    for received in upstream.requests:
        assert received.closed_at is None
    for received in upstream.requests:
        await received.closed_by_peer(DEADLINE + WAIT_SECONDS)
    assert {await caller.ended for caller in callers} == {grpc.StatusCode.DEADLINE_EXCEEDED}


@pytest.mark.parametrize("verb", ["Chat", "ChatStream"])
async def test_server_that_notices_only_when_it_writes_stops_generating(
    stub: Stub, upstream: ScriptedUpstream, verb: str
) -> None:
    """Such servers generate a whole answer to its end; Chat, too, asks them for a stream, and they stop at a token."""

    def generate(request: Received) -> Script:
        if request.method == "GET":
            return answer(b"")
        if not request.json().get("stream"):
            return json_answer(completion(), before=[Generate(TOKENS)])
        return event_stream(*(step for _ in range(TOKENS) for step in (Generate(1), piece("a"))))

    upstream.default = generate
    await stub.RegisterModel(registration(upstream))
    caller = Caller(getattr(stub, verb)(chat_request("mine")))
    received = await upstream.received(2)
    if verb == "ChatStream":
        await asyncio.wait_for(caller.first_token.wait(), 5)
    cancelled_at = asyncio.get_running_loop().time()
    caller.call.cancel()
    await assert_closed(received, cancelled_at)
    await asyncio.wait_for(received.finished.wait(), SECONDS)
    assert received.generated < TOKENS / 10
    assert await caller.ended is grpc.StatusCode.CANCELLED


CALLING_PROGRAM = """
import sys
import grpc
from proto import models_pb2, models_pb2_grpc
request = models_pb2.ChatRequest.FromString(bytes.fromhex(sys.argv[2]))
stub = models_pb2_grpc.ModelServiceStub(grpc.insecure_channel(sys.argv[1]))
stream = stub.ChatStream(request)
print(next(stream).token, flush=True)
stub.Chat(request)
"""


async def test_killed_caller_closes_the_providers_socket(address: str, upstream: ScriptedUpstream) -> None:
    upstream.play(STAGES["in mid-stream"], STAGES["before the head"])
    arguments = ["-c", CALLING_PROGRAM, address, chat_request().SerializeToString().hex()]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout
        assert await asyncio.wait_for(process.stdout.readline(), 10) == b"a\n"
        await upstream.received(2)
    finally:
        killed_at = asyncio.get_running_loop().time()
        process.kill()
        await process.communicate()
    for received in upstream.requests:
        await assert_closed(received, killed_at)


async def test_others_go_on_when_one_is_cancelled(stub: Stub, upstream: ScriptedUpstream) -> None:
    upstream.default = STAGES["in mid-stream"]
    leaving, staying = (Caller(stub.ChatStream(chat_request())) for _ in range(2))
    for caller in (leaving, staying):
        await asyncio.wait_for(caller.first_token.wait(), 5)
    leaving.call.cancel()
    assert await leaving.ended is grpc.StatusCode.CANCELLED
    closed = [request.closed_by_peer() for request in upstream.requests]
    done, pending = await asyncio.wait(map(asyncio.ensure_future, closed), return_when=asyncio.FIRST_COMPLETED)
    assert (len(done), len(pending)) == (1, 1)
    assert not staying.ended.done()
    staying.call.cancel()
    await asyncio.wait(pending)
    await staying.ended


async def test_connection_of_an_answer_that_was_read_is_used_again(stub: Stub, upstream: ScriptedUpstream) -> None:
    upstream.default = json_answer(completion())
    for _ in range(3):
        await stub.Chat(chat_request())
    assert len(upstream.connections) == 1

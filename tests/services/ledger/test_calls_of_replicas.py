"""Two Model Services behind one gateway: a call is ended in whichever of them it runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc

from proto import models_pb2_grpc, usage_pb2, usage_pb2_grpc
from tests.scripted_upstream import ScriptedUpstream, event_stream
from tests.services.gateway.gateways import gateway
from tests.services.model_service import chat_request, piece, vendor_variables
from tests.support.errors import failure_of, stream_failure
from tests.support.processes import running


async def test_a_call_is_ended_in_the_replica_that_runs_it(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    variables = vendor_variables(upstream.url)
    upstream.play(*(event_stream(piece("Hello."), asyncio.Event()) for _ in range(2)))
    with (
        running("models", tmp_path / "one", **variables) as one,
        running("models", tmp_path / "other", **variables) as other,
    ):
        async with gateway(f"{one.address},{other.address}") as front:
            for replica in (one, other):
                async with grpc.aio.insecure_channel(replica.address) as channel:
                    stream = models_pb2_grpc.ModelServiceStub(channel).ChatStream(chat_request())
                    await anext(aiter(stream))
                    calls = usage_pb2_grpc.UsageServiceStub(channel).ListCalls(usage_pb2.ListCallsRequest())
                    [call] = (await calls).calls
                    request = usage_pb2.CancelCallRequest(call_id=call.call_id)
                    await usage_pb2_grpc.UsageServiceStub(front.channel).CancelCall(request)
                    assert (await stream_failure(stream))[1].reason == "CALL_CANCELLED"
                    again = usage_pb2_grpc.UsageServiceStub(front.channel).CancelCall(request)
                    assert (await failure_of(again)).reason == "CALL_NOT_FOUND"

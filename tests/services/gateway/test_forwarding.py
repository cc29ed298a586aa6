"""What passes through the gateway passes unchanged: bytes, metadata, status, both ways."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from proto import models_pb2, models_pb2_grpc, sessions_pb2, sessions_pb2_grpc
from services.shared.intake import PROCESS_INTAKE
from services.shared.message_sizes import MAX_OTHER_BYTES
from tests.rows import row
from tests.services.gateway.gateways import MODELS, SESSIONS, gateway, serving, stream, unary
from tests.support.errors import failure_of, reason_in

NOT_PROTOBUF = b"\xff\xfe\x00 not protobuf \x80"


async def echo(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
    return request


async def three_times(request: bytes, context: grpc.aio.ServicerContext) -> None:
    for _ in range(3):
        await context.write(request)


async def test_both_services_answer_through_one_port_to_the_stubs_that_they_have() -> None:
    async def list_models(_: bytes, __: grpc.aio.ServicerContext) -> bytes:
        return models_pb2.ListModelsResponse(next_page_token="of models").SerializeToString()

    async def list_sessions(_: bytes, __: grpc.aio.ServicerContext) -> bytes:
        return sessions_pb2.ListSessionsResponse(next_page_token="of sessions").SerializeToString()

    async with (
        serving(MODELS, {"ListModels": unary(list_models)}) as models,
        serving(SESSIONS, {"ListSessions": unary(list_sessions)}) as sessions,
        gateway(models.address, sessions.address) as front,
    ):
        listed = await models_pb2_grpc.ModelServiceStub(front.channel).ListModels(models_pb2.ListModelsRequest())
        assert listed.next_page_token == "of models"
        stub = sessions_pb2_grpc.SessionServiceStub(front.channel)
        assert (await stub.ListSessions(sessions_pb2.ListSessionsRequest())).next_page_token == "of sessions"


async def test_bytes_that_are_no_message_pass_both_ways() -> None:
    """The gateway may not parse: a newer service may send what an older descriptor would reject."""
    handlers = {"Chat": unary(echo), "ChatStream": stream(three_times)}
    async with serving(MODELS, handlers) as models, gateway(models.address) as front:
        for sent in (NOT_PROTOBUF, b""):
            assert await front.unary()(sent) == sent
            assert [message async for message in front.stream()(sent)] == [sent] * 3


async def test_method_without_a_route_is_unimplemented() -> None:
    for path in [
        "/other.v1.Service/Call",
        "/genai_platform.v1.ModelServiceX/Chat",
        "/genai_platform.v1.ModelService/New",
        "/nothing",
    ]:
        for kind in ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]:
            with row(path, kind):
                async with serving(MODELS, {"New": unary(echo)}) as models, gateway(models.address) as front:
                    method = getattr(front.channel, kind)(path)
                    call = method(b"") if kind.startswith("unary") else method()
                    assert await call.code() is grpc.StatusCode.UNIMPLEMENTED
                    assert reason_in(await call.trailing_metadata()) == "METHOD_NOT_SERVED"
                    assert [entry["method"] for entry in front.calls()] == [path]


async def test_refused_size_leaves_the_memory_of_requests_to_others() -> None:
    free = PROCESS_INTAKE.memory.free_bytes
    async with gateway() as front:
        failure = await failure_of(front.unary("ListModels")(b"x" * (MAX_OTHER_BYTES + 1)))
        assert failure.reason == "MESSAGE_TOO_LARGE"
    assert PROCESS_INTAKE.memory.free_bytes == free


async def test_metadata_of_the_caller_reaches_the_backend_without_what_belongs_to_the_hop() -> None:
    received: list[tuple[str, str | bytes]] = []

    async def remember(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        received.extend(tuple(item) for item in context.invocation_metadata())
        return request

    sent = (
        ("authorization", "Bearer token"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("x-twice", "first"),
        ("x-twice", "second"),
        ("x-data-bin", b"\x00\xff\x01"),
        ("x-request-id", "caller-1"),
    )
    hop = (("grpc-previous-rpc-attempts", "7"), ("te", "trailers"))
    forged = (("x-genai-exposed", "no"), ("x-genai-caller", "somebody"), ("x-genai-other", "1"))
    async with serving(MODELS, {"Chat": unary(remember)}) as models, gateway(models.address) as front:
        await front.unary()(b"", metadata=(*sent, *hop, *forged))
    told = {key: value for key, value in received if key.startswith("x-genai-")}
    assert told.keys() == {"x-genai-caller"}
    assert str(told["x-genai-caller"]).startswith("ipv4:127.0.0.1:")
    kept = [item for item in received if item[0] != "user-agent" and item[0] not in told]
    assert sorted(kept, key=lambda item: item[0]) == sorted(sent, key=lambda item: item[0])


@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_metadata_of_the_backend_reaches_the_caller(kind: str) -> None:
    initial = (("x-first", "1"), ("x-first-bin", b"\x00\xfe"))
    trailing = (
        *(("x-last", "2"), ("x-last-bin", b"\x00\xfd"), ("x-last", "3")),
        ("x-genai-anything", "4"),
    )

    async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        await context.send_initial_metadata(initial)
        context.set_trailing_metadata(trailing)
        return request

    async def answer_stream(_: object, context: grpc.aio.ServicerContext) -> None:
        await answer(b"", context)

    handlers = {"Chat": unary(answer), "ChatStream": stream(answer_stream)}
    async with serving(MODELS, handlers) as models, gateway(models.address) as front:
        call = (front.unary() if kind == "unary" else front.stream())(b"")
        assert tuple(await call.initial_metadata()) == initial
        assert sorted(await call.trailing_metadata(), key=str) == sorted(trailing, key=str)
        assert await call.code() is grpc.StatusCode.OK


async def test_initial_metadata_of_a_stream_does_not_wait_for_its_first_message() -> None:
    go = asyncio.Event()

    async def answer(_: bytes, context: grpc.aio.ServicerContext) -> None:
        await context.send_initial_metadata((("x-first", "1"),))
        await go.wait()

    async with serving(MODELS, {"ChatStream": stream(answer)}) as models, gateway(models.address) as front:
        call = front.stream()(b"")
        assert tuple(await asyncio.wait_for(call.initial_metadata(), 5)) == (("x-first", "1"),)
        go.set()
        assert await call.read() is grpc.aio.EOF


ERROR_CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


@pytest.mark.parametrize("kind", ["unary", "stream", "stream after a message"])
async def test_error_of_the_backend_passes_unchanged(kind: str) -> None:
    trailing = (("grpc-status-details-bin", b"\x08\x05\x12\x00details"), ("x-request-id", "r"), ("x-last-bin", b"\x00"))
    initial = (("x-first", "1"),)

    async def fail(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        await context.send_initial_metadata(initial)
        await context.abort(ERROR_CODES[int(request)], "what went wrong: ü\n", trailing)
        return b""

    async def fail_stream(request: bytes, context: grpc.aio.ServicerContext) -> None:
        await fail(request, context)

    async def fail_late(request: bytes, context: grpc.aio.ServicerContext) -> None:
        await context.write(b"message")
        await context.abort(ERROR_CODES[int(request)], "what went wrong: ü\n", trailing)

    name = "Chat" if kind == "unary" else "ChatStream"
    behaviour = {"unary": unary(fail), "stream after a message": stream(fail_late)}.get(kind, stream(fail_stream))
    async with serving(MODELS, {name: behaviour}) as models, gateway(models.address) as front:
        method = front.unary() if kind == "unary" else front.stream(name)
        for index, code in enumerate(ERROR_CODES):
            call = method(b"%d" % index)
            if kind == "stream after a message":
                assert await call.read() == b"message"
            assert await call.code() is code
            assert await call.details() == "what went wrong: ü\n"
            assert sorted(await call.trailing_metadata(), key=str) == sorted(trailing, key=str)
            assert tuple(await call.initial_metadata()) == (() if kind == "stream after a message" else initial)
        assert [entry["code"] for entry in front.calls()] == [code.name for code in ERROR_CODES]


async def test_error_of_the_backend_without_details_passes_unchanged() -> None:
    async def fail(_: bytes, context: grpc.aio.ServicerContext) -> bytes:
        await context.abort(grpc.StatusCode.NOT_FOUND)
        return b""

    async with serving(MODELS, {"Chat": unary(fail)}) as models, gateway(models.address) as front:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await front.unary()(b"")
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.NOT_FOUND, "")
    assert tuple(caught.value.trailing_metadata()) == ()

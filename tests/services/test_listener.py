"""The listener replaces a server whose serving loop has ended; its calls continue."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import time
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import grpc
import pytest
from grpc._cython import cygrpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.shared import server
from services.shared.lanes import MethodHandlers
from services.shared.listener import ServingLost
from services.shared.logs import open_log
from services.shared.server import Server, running
from tests.services.log_file import LogFile
from tests.support.errors import reason_in
from tests.support.http2 import ACK, PING, Answers, Ended, call, frame, header_block, headers, opening, send

SERVICE = "test.Streams"
NOT_UTF8 = call(b"/\xff/x")


class Served(NamedTuple):
    address: str
    server: Server
    log: LogFile
    go_on: asyncio.Event
    keeping: asyncio.Task[None]


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[Served]:
    go_on = asyncio.Event()

    async def stream(_: bytes, context: grpc.aio.ServicerContext) -> None:
        await context.write(b"first")
        await go_on.wait()
        await context.write(b"last")

    handlers = {"Stream": grpc.unary_stream_rpc_method_handler(stream)}
    server = Server([grpc.method_handlers_generic_handler(SERVICE, handlers)], [SERVICE])
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
    log = LogFile()
    async with running(server):
        keeping = asyncio.create_task(server.keep_serving(open_log("test", file=log)))
        yield Served(address, server, log, go_on, keeping)
        keeping.cancel()


async def end_serving_loop(served: Served) -> None:
    """Returns when the port has been lost and is served again."""
    known = len(served.log.entries())
    with send(served.address, NOT_UTF8):
        await served.log.written(known + 1)


async def check(address: str) -> int:
    async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=5, wait_for_ready=True)
        return int(answer.status)


async def test_path_that_is_not_utf8_ends_no_other_call() -> None:
    async with served() as it, grpc.aio.insecure_channel(it.address) as channel:
        running_call = channel.unary_stream(f"/{SERVICE}/Stream")(b"")
        assert await running_call.read() == b"first"
        for _ in range(5):
            await end_serving_loop(it)
            assert await check(it.address) == health_pb2.HealthCheckResponse.SERVING
        it.go_on.set()
        assert await running_call.read() == b"last"
        assert await running_call.code() is grpc.StatusCode.OK
        assert {(entry["level"], entry["error"]) for entry in it.log.entries()} == {("error", "UnicodeDecodeError")}


def send_calls(address: str, paths: list[bytes]) -> socket.socket:
    """Sends calls over a new connection, and returns when grpc has them all while the serving loop has taken none.

    It holds the event loop meanwhile. The answer to a PING says that what was sent before it has been read.
    """
    common = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"x"), (b"te", b"trailers")]
    data = opening()
    for number, path in enumerate(paths):
        block = header_block([*common, (b":path", path), (b"content-type", b"application/grpc")])
        data += headers(1 + 2 * number, block)
    connection = send(address, data + frame(PING, payload=b"all sent"))
    received = b""
    while frame(PING, ACK, 0, b"all sent") not in received:
        received += connection.recv(65536)
    return connection


async def ends_of(streams: Sequence[int], connection: socket.socket) -> set[Ended]:
    reader, writer = await asyncio.open_connection(sock=connection)
    answers = Answers(reader, writer)
    assert await answers.read(streams, 60)
    writer.close()
    await writer.wait_closed()
    return {answers.ended[stream] for stream in streams}


@pytest.mark.parametrize("end", ["of its serving loop", "by a stop"])
async def test_unaccepted_calls_are_refused_with_a_retry_delay(end: str) -> None:
    first = b"/\xff/x" if "loop" in end else b"/test.Unknown/Call"
    async with served() as it:
        connection = send_calls(it.address, [first, *[b"/test.Unknown/Call"] * 50])
        if "stop" in end:
            await it.server.stop(0.5)
        ends = await ends_of(range(3, 103, 2), connection)
    stopping = Ended("status 14", "the server is stopping, and has not begun this call; try again")
    # Some still have a handler.
    assert stopping in ends
    assert {end.how for end in ends - {stopping}} <= {"status 12"}


async def test_many_calls_at_once_are_accepted() -> None:
    """By itself grpc ends some of them at random, of whatever caller, once a thousand wait."""
    async with served() as it:
        connection = send_calls(it.address, [b"/test.Unknown/Call"] * 900)
        assert await ends_of(range(1, 1801, 2), connection) == {Ended("status 12", "Method not found!")}


async def test_call_does_not_wait_behind_those_of_another_method() -> None:
    began: list[str] = []

    def noted(name: str) -> grpc.RpcMethodHandler:
        async def refuse(_: object, context: grpc.aio.ServicerContext) -> None:
            began.append(name)
            await context.abort(grpc.StatusCode.UNIMPLEMENTED)

        return grpc.stream_stream_rpc_method_handler(refuse)

    server = Server([MethodHandlers({"/test.Lanes/Crowd": noted("crowd"), "/test.Lanes/One": noted("one")})], [])
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
    async with running(server):
        connection = send_calls(address, [*[b"/test.Lanes/Crowd"] * 500, b"/test.Lanes/One"])
        await ends_of(range(1, 1003, 2), connection)
    assert began.count("crowd") == 500
    assert began.index("one") < 50


def test_grpc_has_the_private_functions_that_accepting_and_refusing_take() -> None:
    """A grpcio without them would not serve, end untaken calls as CANCELLED, or crash: `lanes` and `call_ends` must
    be written anew for it."""
    taken = {
        cygrpc.AioServer._request_call: ["self"],
        cygrpc.AioServer._request_registered_call: ["self", "method"],
        cygrpc.AioServer.add_registered_method_handlers: ["self", "method_handlers"],
        cygrpc._handle_rpc: [
            *("method_name", "method_resolver", "interceptors", "rpc_state", "loop", "concurrency_exceeded"),
        ],
        cygrpc.AioServer._serving_task_crash_handler: ["self", "task"],
        cygrpc._schedule_rpc_coro: ["rpc_coro", "rpc_state", "loop", "method_name"],
    }
    for function, parameters in taken.items():
        assert list(inspect.signature(function).parameters) == parameters
    assert issubclass(cygrpc._RequestCallError, Exception)
    assert issubclass(cygrpc._ServerStoppedError, grpc.aio.BaseError)
    with pytest.raises(TypeError, match="RPCState"):
        cygrpc._ServicerContext(object(), None, None, None)


async def test_health_of_all_services_is_listed() -> None:
    async with served() as it, grpc.aio.insecure_channel(it.address) as channel:
        listed = await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())
    serving = health_pb2.HealthCheckResponse.SERVING
    assert {name: answer.status for name, answer in listed.statuses.items()} == {"": serving, SERVICE: serving}


async def test_watch_of_health_ends_with_the_server_that_it_began_at() -> None:
    async with served() as it, grpc.aio.insecure_channel(it.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await end_serving_loop(it)
        assert await watch.read() is grpc.aio.EOF


async def test_server_whose_loop_has_ended_can_be_hurried() -> None:
    async with served() as it, grpc.aio.insecure_channel(it.address) as channel:
        running_call = channel.unary_stream(f"/{SERVICE}/Stream")(b"")
        assert await running_call.read() == b"first"
        it.keeping.cancel()
        with send(it.address, NOT_UTF8):
            await it.server._listener.wait_until_lost()
        stopping = asyncio.create_task(it.server.stop(60))
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await it.server.stop(0)
            await stopping


async def test_port_taken_by_another_program_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.shared.listener.REPLACE_SECONDS", 0.1)
    monkeypatch.setattr("services.shared.listener._is_free", lambda *_: False)
    async with served() as it:
        with send(it.address, NOT_UTF8), pytest.raises(ServingLost):
            await asyncio.wait_for(it.keeping, 5)


async def test_server_that_is_stopped_does_not_come_back() -> None:
    async with served() as it:
        it.keeping.cancel()
        await it.server.stop(0)
        with pytest.raises(ConnectionRefusedError):
            send(it.address, b"")


async def test_handler_that_does_not_end_holds_up_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.shared.lanes.ENDING_SECONDS", 0.05)
    go_on = asyncio.Event()

    async def stream(_: object, context: grpc.aio.ServicerContext) -> None:
        await context.write(b"first")
        try:
            await asyncio.Event().wait()
        finally:
            await go_on.wait()

    path = f"/{SERVICE}/Stream"
    server = Server([MethodHandlers({path: grpc.stream_stream_rpc_method_handler(stream)})], [SERVICE])
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.stream_stream(path)()
        assert await call.read() == b"first"
        async with asyncio.timeout(10):
            await server.stop(0)
    go_on.set()


async def is_refused_in_words(channel: grpc.aio.Channel) -> bool:
    call = channel.unary_stream(f"/{SERVICE}/Stream")(b"")
    with contextlib.suppress(grpc.aio.AioRpcError):
        await call.read()
    return reason_in(await call.trailing_metadata()) == "SERVER_STOPPING"


@pytest.mark.parametrize("hurried", [False, True])
async def test_server_whose_health_is_watched_refuses_calls_for_a_moment_before_it_closes(
    hurried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    linger_seconds = 10 if hurried else 0.5
    monkeypatch.setattr(server, "LINGER_SECONDS", linger_seconds)
    async with served() as it, grpc.aio.insecure_channel(it.address) as channel:
        running_call = channel.unary_stream(f"/{SERVICE}/Stream")(b"")
        assert await running_call.read() == b"first"
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING

        began = time.perf_counter()
        stopping = asyncio.create_task(it.server.stop(60))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        # On the connection that it had, and on a new one.
        async with grpc.aio.insecure_channel(it.address, [("grpc.use_local_subchannel_pool", 1)]) as other:
            for each in (channel, other):
                assert await is_refused_in_words(each)
        if hurried:
            await it.server.stop(0)
            assert await running_call.code() is grpc.StatusCode.UNAVAILABLE
        else:
            it.go_on.set()
            assert await running_call.read() == b"last"
        await stopping
        assert (time.perf_counter() - began < linger_seconds) is hurried


async def test_server_whose_health_nobody_watches_closes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LINGER_SECONDS", 10)
    async with served() as it:
        began = time.perf_counter()
        await it.server.stop(60)
        assert time.perf_counter() - began < 10

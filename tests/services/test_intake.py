"""The intake of requests: a few at a time, with bounded memory, and counted fields."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc._cython import cygrpc

from proto import models_pb2
from services.models.main import SERVICE
from services.shared import call_ends
from services.shared.call import Call
from services.shared.errors import LimitExceeded
from services.shared.intake import COPIES, SMALL_BYTES, Intake
from services.shared.lanes import CROWD_ACCEPTORS
from services.shared.message_sizes import MAX_MESSAGE_BYTES, MAX_OTHER_BYTES
from services.shared.rpc import service_handler
from services.shared.server import Server, running
from tests.services.model_service import LOG, chat_request
from tests.support.errors import explain, failure_of, reason_in
from tests.support.http2 import (
    DATA,
    END_STREAM,
    WIDEST_WINDOWS,
    call_on,
    frame,
    grpc_message,
    header_block,
    headers,
    opening,
    send,
    widest_connection,
)

CHAT = f"/{SERVICE.full_name}/Chat"
ANSWER = models_pb2.ChatResponse(text="Hi.").SerializeToString()


class Servicer:
    """Counts the requests that have come in; each waits until `go_on` is set."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.calls: list[Call] = []
        self._changed = asyncio.Condition()

    def __getattr__(self, name: str) -> Any:
        return self._answer

    async def ChatStream(self, request: models_pb2.ChatRequest, call: Call) -> AsyncIterator[models_pb2.ChatChunk]:
        await self._answer(request, call)
        yield models_pb2.ChatChunk(token="a")

    async def _answer(self, _: object, call: Call) -> models_pb2.ChatResponse:
        async with self._changed:
            self.calls.append(call)
            self._changed.notify_all()
        await self.go_on.wait()
        return models_pb2.ChatResponse(text="Hi.")

    async def received(self, count: int) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: len(self.calls) >= count)


class Lag:
    """A lag that stays as it is."""

    def __init__(self, seconds: float) -> None:
        self.seconds = lambda: seconds


@contextlib.asynccontextmanager
async def serving(servicer: Servicer, intake: Intake) -> AsyncIterator[str]:
    server = Server([service_handler(servicer, SERVICE, LOG, intake=intake)], [SERVICE.full_name])
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
    async with running(server):
        yield address


def connect(address: str) -> grpc.aio.Channel:
    """A caller of its own: a channel with a connection that no other one uses."""
    return grpc.aio.insecure_channel(
        address,
        options=[("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", 2 * MAX_MESSAGE_BYTES)],
    )


def sized(size: int) -> bytes:
    """A request of about so many bytes."""
    return chat_request(text="x" * size).SerializeToString()


async def test_incomplete_request_is_preempted() -> None:
    servicer = Servicer()
    async with (
        serving(servicer, Intake(slots=1, receive_seconds=0.05)) as address,
        connect(address) as slow,
        connect(address) as other,
    ):
        stalled = slow.stream_unary(CHAT)()
        await stalled.wait_for_connection()
        assert await other.unary_unary(CHAT)(sized(5), timeout=10) == ANSWER
        failure = explain(await error_of(stalled))
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER_BUSY")
    assert failure.retry_seconds


async def test_request_that_arrives_while_the_loop_is_held_is_not_preempted() -> None:
    servicer = Servicer()
    chat = header_block(
        [
            *((b":method", b"POST"), (b":scheme", b"http"), (b":path", CHAT.encode()), (b":authority", b"x")),
            *((b"content-type", b"application/grpc"), (b"te", b"trailers")),
        ]
    )
    messages = b"".join(frame(DATA, END_STREAM, stream, grpc_message(sized(5))) for stream in (1, 3))
    intake = Intake(slots=1, receive_seconds=0.3)
    async with serving(servicer, intake) as address:
        with contextlib.closing(send(address, opening() + headers(1, chat) + headers(3, chat))) as connection:
            async with asyncio.timeout(10):
                while not intake._waiting:  # noqa: ASYNC110 nothing says so
                    await asyncio.sleep(0.001)
            connection.sendall(messages)
            time.sleep(0.5)
            await servicer.received(2)


async def test_incomplete_request_is_not_preempted_while_no_other_waits() -> None:
    servicer = Servicer()
    async with (
        serving(servicer, Intake(slots=2, receive_seconds=0.0)) as address,
        connect(address) as slow,
        connect(address) as other,
    ):
        stalled = slow.stream_unary(CHAT)()
        await stalled.wait_for_connection()
        for _ in range(20):
            assert await other.unary_unary(CHAT)(sized(5), timeout=10) == ANSWER
        await stalled.write(sized(5))
        await stalled.done_writing()
        assert await stalled == ANSWER


async def test_waiting_callers_take_turns_for_slots() -> None:
    """One who opens a hundred calls that send nothing makes another wait for one of them, and not for all."""
    servicer = Servicer()
    async with (
        serving(servicer, Intake(slots=1, receive_seconds=0.05)) as address,
        connect(address) as many,
        connect(address) as other,
    ):
        stalled = [many.stream_unary(CHAT)() for _ in range(100)]
        await asyncio.gather(*(call.wait_for_connection() for call in stalled))
        assert await other.unary_unary(CHAT)(sized(5), timeout=30) == ANSWER
        assert sum(call.done() for call in stalled) < 50
        for call in stalled:
            call.cancel()


async def test_calls_beyond_those_that_may_wait_stay_in_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.shared.intake.MAX_WAITING", 10)
    monkeypatch.setattr("services.shared.intake.OVERLOADED_WAITING", 10)
    # A stop refuses for a moment only, which may be too short on a busy machine.
    monkeypatch.setattr("services.shared.lanes.REFUSING_SECONDS", 5.0)
    monkeypatch.setattr("services.shared.lanes.QUIET_SECONDS", 0.2)
    intake = Intake(slots=1, receive_seconds=30)
    server = Server([service_handler(Servicer(), SERVICE, LOG, intake=intake)], [SERVICE.full_name])
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
    async with running(server), connect(address) as channel:
        stalled = [channel.stream_unary(CHAT)() for _ in range(200)]
        await asyncio.gather(*(call.wait_for_connection() for call in stalled))
        # Another method's calls are accepted after all of these have been sent.
        await channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10)
        assert intake.is_full
        # Each is counted a few rounds of the loop after it was accepted.
        assert intake._waiting_calls < 10 + 4 * CROWD_ACCEPTORS
        await server.stop(0.1)
        reasons = [reason_in(error.trailing_metadata()) for error in await asyncio.gather(*map(error_of, stalled))]
    assert reasons.count("SERVER_STOPPING") >= 200 - 10 - 4 * CROWD_ACCEPTORS


async def test_held_intake_that_was_full_takes_fewer_until_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, number in (("MAX_WAITING", 10), ("OVERLOADED_WAITING", 5), ("RESUMED", 2)):
        monkeypatch.setattr(f"services.shared.intake.{name}", number)

    class Silent:
        async def read(self) -> bytes:
            await asyncio.Event().wait()
            raise AssertionError("never set")

    intake = Intake(slots=1, receive_seconds=60)
    calls: list[asyncio.Task[Any]] = []

    async def is_full_with(waiting: int) -> bool:
        """Whether it is full with so many waiting calls; one more has the slot."""
        while len(calls) < 1 + waiting:
            calls.append(asyncio.create_task(intake.receive(Silent(), "caller", lambda: None)))
        while len(calls) > 1 + waiting:
            calls.pop().cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return intake.is_full

    seen = [(waiting, await is_full_with(waiting)) for waiting in (9, 10, 9)]
    assert seen == [(9, False), (10, True), (9, False)]
    intake.hold(True)
    seen = [(waiting, await is_full_with(waiting)) for waiting in (9, 10, 5, 4, 5, 2, 9)]
    assert seen == [(9, False), (10, True), (5, True), (4, False), (5, True), (2, False), (9, False)]
    await is_full_with(-1)
    intake.hold(False)


async def test_calls_that_send_nothing_do_not_keep_others_out_of_a_full_intake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.shared.intake.MAX_WAITING", 10)
    monkeypatch.setattr("services.shared.intake.OVERLOADED_WAITING", 10)
    monkeypatch.setattr("services.shared.intake.STUCK_SECONDS", 0.1)
    intake = Intake(slots=1, receive_seconds=0.05)
    async with serving(Servicer(), intake) as address, connect(address) as many, connect(address) as other:
        stalled = [many.stream_unary(CHAT)(timeout=60) for _ in range(100)]
        await asyncio.gather(*(call.wait_for_connection() for call in stalled))
        await many.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10)
        assert await other.unary_unary(CHAT)(sized(5), timeout=30) == ANSWER
        ended = [await call.details() for call in stalled if call.done()]
        assert sum("took too long to arrive" in details for details in ended) < 50
        for call in stalled:
            call.cancel()


async def test_waiting_calls_of_one_caller_make_none_of_another_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.shared.intake.PROCESS_LAG", Lag(0.0))
    monkeypatch.setattr("services.shared.lanes.AT_ONCE_SECONDS", 60.0)
    intake = Intake(slots=1, receive_seconds=0.05)
    async with serving(Servicer(), intake) as address, connect(address) as many, connect(address) as other:
        stalled = [many.stream_unary(CHAT)(timeout=60) for _ in range(100)]
        # The turn of the last of so many comes after more than half a second.
        for ended in itertools.islice(asyncio.as_completed([call.code() for call in stalled]), 13):
            await ended
        assert await other.unary_unary(CHAT)(sized(5), timeout=0.5) == ANSWER
        refusal = await error_of(many.unary_unary(CHAT)(sized(5), timeout=0.5))
        assert reason_in(refusal.trailing_metadata()) == "SERVER_BUSY"
        for call in stalled:
            call.cancel()


@pytest.mark.parametrize(("works", "end"), [(False, "too late"), (True, "whole")])
async def test_busy_loop_gives_requests_more_time_to_arrive(
    works: bool, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.shared.intake.thread_time", lambda: time.monotonic() if works else 0.0)
    monkeypatch.setattr("services.shared.intake.CROWDING_RECEIVE_SECONDS", 0.02)
    arrived = asyncio.Event()

    class Late:
        async def read(self) -> bytes:
            await arrived.wait()
            return b"request"

    async def receive() -> str:
        try:
            await intake.receive(Late(), "caller", lambda: None)  # type: ignore[arg-type]
        except LimitExceeded:
            return "too late"
        return "whole"

    intake = Intake(slots=1)
    calls = [asyncio.create_task(receive()) for _ in range(2)]
    await asyncio.wait(calls[:1], timeout=0.2)
    arrived.set()
    assert await asyncio.gather(*calls) == [end, "whole"]


async def test_short_deadline_is_not_too_late_at_rest() -> None:
    assert not Intake().is_too_late(lambda: 0.02, lambda: "anybody")
    assert Intake().is_too_late(lambda: 0.002, lambda: "anybody")


async def test_call_whose_turn_would_come_too_late_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.shared.intake.PROCESS_LAG", Lag(2.0))
    monkeypatch.setattr("services.shared.lanes.AT_ONCE_SECONDS", 60.0)
    async with serving(Servicer(), Intake()) as address, connect(address) as channel:
        refusal = await error_of(channel.unary_unary(CHAT)(sized(5), timeout=10))
        assert refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason_in(refusal.trailing_metadata()) == "SERVER_BUSY"
        assert await channel.unary_unary(CHAT)(sized(5), timeout=60) == ANSWER
        assert await channel.unary_unary(CHAT)(sized(5)) == ANSWER


async def test_caller_that_takes_no_refusals_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    class Large(Servicer):
        async def _answer(self, request: object, call: Call) -> models_pb2.ChatResponse:
            answer = await super()._answer(request, call)
            return answer if len(self.calls) > 2 else models_pb2.ChatResponse(text="x" * (MAX_MESSAGE_BYTES - 100))

    refusals: list[cygrpc.RPCState] = []
    all_refused = asyncio.Event()

    async def refuse_late(call: cygrpc.RPCState) -> None:
        refusals.append(call)
        if len(refusals) >= CROWD_ACCEPTORS:
            all_refused.set()
        await call_ends.refuse_late(call)

    monkeypatch.setattr("services.shared.intake.PROCESS_LAG", Lag(2.0))
    monkeypatch.setattr("services.shared.lanes.AT_ONCE_SECONDS", 60.0)
    monkeypatch.setattr("services.shared.lanes.refuse_late", refuse_late)
    servicer = Large()
    async with serving(servicer, Intake()) as address, connect(address) as channel:
        _, writer = await asyncio.open_connection(sock=send(address, opening(WIDEST_WINDOWS)))
        # Nothing is read: two answers are more than the sockets hold.
        calls = [call_on(stream, CHAT.encode(), sized(5)) for stream in (1, 3)]
        writer.write(widest_connection() + b"".join(calls))
        await servicer.received(2)
        late = (b"grpc-timeout", b"10S")
        streams = range(5, 5 + 4 * CROWD_ACCEPTORS, 2)
        writer.write(b"".join(call_on(stream, CHAT.encode(), sized(5), late) for stream in streams))
        async with asyncio.timeout(10):
            await all_refused.wait()
            assert await channel.unary_unary(CHAT)(sized(5), timeout=60) == ANSWER
        writer.transport.abort()


@pytest.mark.parametrize("ends", ["answered", "cancelled", "expired"])
async def test_large_requests_wait_for_memory(ends: str) -> None:
    servicer = Servicer()
    servicer.go_on.clear()
    large = 4 * SMALL_BYTES
    async with serving(servicer, Intake(memory_bytes=COPIES * large * 3 // 2)) as address, connect(address) as channel:
        chat = channel.unary_unary(CHAT)
        first = chat(sized(large), timeout=1 if ends == "expired" else 30)
        await servicer.received(1)
        second = chat(sized(large), timeout=30)
        # Small ones are not held up.
        small = chat(sized(5), timeout=30)
        await servicer.received(2)
        assert len(servicer.calls) == 2
        if ends == "cancelled":
            first.cancel()
        elif ends == "answered":
            servicer.go_on.set()
        await servicer.received(3)
        servicer.go_on.set()
        assert await second == await small == ANSWER


async def test_caller_that_waits_for_memory_lets_others_pass() -> None:
    servicer = Servicer()
    servicer.go_on.clear()
    large = 4 * SMALL_BYTES
    async with (
        serving(servicer, Intake(memory_bytes=COPIES * large * 5 // 2)) as address,
        connect(address) as greedy,
        connect(address) as other,
    ):
        calls = [greedy.unary_unary(CHAT)(sized(large), timeout=30) for _ in range(3)]
        await servicer.received(1)
        calls.append(other.unary_unary(CHAT)(sized(large), timeout=30))
        await servicer.received(2)
        assert len({call.caller for call in servicer.calls}) == 2
        servicer.go_on.set()
        assert await asyncio.gather(*calls) == [ANSWER] * 4


async def test_requests_for_which_their_caller_has_too_much_memory_hold_up_no_other() -> None:
    servicer, large = Servicer(), 4 * SMALL_BYTES
    servicer.go_on.clear()
    intake = Intake(slots=2, memory_bytes=COPIES * large * 5 // 2, receive_seconds=60)
    async with serving(servicer, intake) as address, connect(address) as greedy, connect(address) as other:
        calls = [greedy.unary_unary(CHAT)(sized(large), timeout=30) for _ in range(3)]
        await servicer.received(1)
        calls.append(other.unary_unary(CHAT)(sized(5), timeout=30))
        await servicer.received(2)
        servicer.go_on.set()
        ended = await asyncio.gather(*calls, return_exceptions=True)
    [refused] = [call for call in ended if call != ANSWER]
    assert "other large requests" in str(refused.details())


async def test_stalled_request_is_preempted_sooner_once_its_caller_waits_with_more() -> None:
    async with (
        serving(Servicer(), Intake(slots=1, receive_seconds=60)) as address,
        connect(address) as slow,
        connect(address) as other,
    ):
        stalled = [slow.stream_unary(CHAT)()]
        await stalled[0].wait_for_connection()
        waiting = other.unary_unary(CHAT)(sized(5), timeout=10)
        await other.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10)
        stalled.append(slow.stream_unary(CHAT)())
        assert await waiting == ANSWER
        for call in stalled:
            call.cancel()


async def test_memory_is_released_in_the_moment_of_a_cancellation() -> None:
    memory = Intake(memory_bytes=100).memory
    memory.take_now("others", 100)
    waiting = asyncio.create_task(memory.take("leaving", 50))
    await asyncio.sleep(0)
    waiting.cancel()
    memory.release("others", 100)
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert (memory.free_bytes, memory.has_waiters) == (100, False)


async def test_request_that_is_passed_on_frees_memory() -> None:
    servicer = Servicer()
    servicer.go_on.clear()
    large = 4 * SMALL_BYTES
    async with serving(servicer, Intake(memory_bytes=COPIES * large * 7 // 4)) as address, connect(address) as channel:
        calls = [channel.unary_unary(CHAT)(sized(large), timeout=30) for _ in range(2)]
        await servicer.received(1)
        reservation = servicer.calls[0].reservation
        assert reservation
        reservation.shrink_to(1)
        await servicer.received(2)
        servicer.go_on.set()
        assert await asyncio.gather(*calls) == [ANSWER] * 2


async def test_call_without_a_message_is_refused() -> None:
    async with serving(Servicer(), Intake()) as address, connect(address) as channel:
        call = channel.stream_unary(CHAT)()
        await call.done_writing()
        assert (await failure_of(call)).code is grpc.StatusCode.INVALID_ARGUMENT


MANY = {
    "messages": b"\x12\x00",
    "fields of no known number": b"\xa2\x06\x00",
    "one field again and again": b"\x1a\x00",
    "groups of no known number": b"\xa3\x06\xa4\x06",
    "parts": None,
}


@pytest.mark.parametrize("kind", MANY)
@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip], ids=lambda c: c.name)
async def test_message_of_millions_of_fields_is_refused_before_it_is_parsed(
    kind: str, compression: grpc.Compression
) -> None:
    piece = MANY[kind]
    if piece is None:
        inner = b"\x0a\x04user" + b"\x2a\x00" * 1_000_000
        data = b"\x0a\x06gpt-4o\x12" + varint(len(inner)) + inner
    else:
        data = b"\x0a\x06gpt-4o" + piece * 1_000_000
    servicer = Servicer()
    async with serving(servicer, Intake()) as address, connect(address) as channel:
        failure = await failure_of(channel.unary_unary(CHAT)(data, timeout=30, compression=compression))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "50000 fields" in failure.message
    assert servicer.calls == []


async def test_requests_without_messages_have_a_lower_limit() -> None:
    path = f"/{SERVICE.full_name}/ListModels"
    data = models_pb2.ListModelsRequest(provider="x" * MAX_OTHER_BYTES).SerializeToString()
    async with serving(Servicer(), Intake()) as address, connect(address) as channel:
        failure = await failure_of(channel.unary_unary(path)(data, timeout=30))
        assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
        assert await channel.unary_unary(CHAT)(sized(MAX_OTHER_BYTES), timeout=30) == ANSWER


async def test_too_large_response_is_an_output_limit() -> None:
    class Large(Servicer):
        async def _answer(self, _: object, call: Call) -> models_pb2.ChatResponse:
            return models_pb2.ChatResponse(text="x" * MAX_MESSAGE_BYTES)

    async with serving(Large(), Intake()) as address, connect(address) as channel:
        failure = await failure_of(channel.unary_unary(CHAT)(sized(5), timeout=30))
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OUTPUT_LIMIT")


def varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


async def error_of(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value

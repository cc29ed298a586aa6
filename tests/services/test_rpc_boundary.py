"""The boundary between gRPC and a servicer: every error, every deadline and every log line of every service."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from proto import models_pb2, models_pb2_grpc
from services.models.main import SERVICE
from services.shared import errors
from services.shared.call import Call
from services.shared.logs import open_log
from services.shared.metadata import REQUEST_ID_KEY
from services.shared.rpc import DEFAULT_DEADLINES, STATUS_CODES, DefaultDeadlines, service_handler
from services.shared.server import Server, running
from tests.services.log_file import LogFile
from tests.services.model_service import LOG, chat_request
from tests.support.errors import failure_of, stream_failure
from tests.support.http2 import call_with, send

Behaviour = Callable[[Any, Call], Awaitable[Any]]
SECRET = "CANARY-of-an-exception"


class Servicer:
    """Whose Chat does what a test says; ChatStream first sends one chunk."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    def __getattr__(self, name: str) -> Behaviour:
        return self._behaviour

    async def ChatStream(self, request: models_pb2.ChatRequest, call: Call) -> AsyncIterator[models_pb2.ChatChunk]:
        yield models_pb2.ChatChunk(token="a")
        await self._behaviour(request, call)


@contextlib.asynccontextmanager
async def served(
    behaviour: Behaviour, log_file: LogFile | None = None, deadlines: DefaultDeadlines = DEFAULT_DEADLINES
) -> AsyncIterator[str]:
    log = open_log("test", file=log_file) if log_file else LOG
    handler = service_handler(Servicer(behaviour), SERVICE, log, deadlines)
    server = Server([handler], [SERVICE.full_name])
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
    async with running(server):
        yield address


@contextlib.asynccontextmanager
async def serving(
    behaviour: Behaviour, log_file: LogFile | None = None, deadlines: DefaultDeadlines = DEFAULT_DEADLINES
) -> AsyncIterator[models_pb2_grpc.ModelServiceStub]:
    async with served(behaviour, log_file, deadlines) as address, grpc.aio.insecure_channel(address) as channel:
        yield models_pb2_grpc.ModelServiceStub(channel)


@pytest.fixture
def log_file() -> LogFile:
    return LogFile()


def raising(error: BaseException) -> Behaviour:
    async def fail(_: Any, __: Call) -> None:
        raise error

    return fail


async def hang(_: Any, __: Call) -> None:
    await asyncio.Event().wait()


async def answer(_: Any, __: Call) -> models_pb2.ChatResponse:
    return models_pb2.ChatResponse(text="Hi.")


@pytest.mark.parametrize(("kind", "code"), STATUS_CODES.items(), ids=lambda value: getattr(value, "__name__", ""))
async def test_error_of_the_family_becomes_its_status_with_all_that_it_says(
    kind: type[errors.PlatformError], code: grpc.StatusCode, log_file: LogFile
) -> None:
    violation = errors.FieldViolation("messages[2].role", "is not a role: ü")
    error = kind("say what: ü %", reason="SOME_REASON", retry_after=1.25, metadata={"k": "v"}, violations=[violation])
    async with serving(raising(error), log_file) as stub:
        whole = await failure_of(stub.Chat(chat_request()))
        chunks, streamed = await stream_failure(stub.ChatStream(chat_request()))
    assert [chunk.token for chunk in chunks] == ["a"]
    for failure in (whole, streamed):
        assert failure._replace(request_id="") == (
            code,
            "say what: ü %",
            "SOME_REASON",
            {"k": "v"},
            {"messages[2].role": "is not a role: ü"},
            1.25,
            "",
            [],
        )
    logged = await log_file.calls(2)
    assert {entry["request_id"] for entry in logged} == {whole.request_id, streamed.request_id}
    assert {(entry["code"], entry["reason"]) for entry in logged} == {(code.name, "SOME_REASON")}


@pytest.mark.parametrize(
    "error",
    [ValueError(SECRET), KeyError(SECRET), TimeoutError(SECRET), ExceptionGroup(SECRET, [ValueError(SECRET)])],
    ids=repr,
)
async def test_unexpected_exception_is_internal_with_a_fixed_text(error: Exception, log_file: LogFile) -> None:
    async with serving(raising(error), log_file) as stub:
        for failure in (
            await failure_of(stub.Chat(chat_request())),
            (await stream_failure(stub.ChatStream(chat_request())))[1],
        ):
            assert (failure.code, failure.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
            assert failure.message == f"internal error; the log has it under request id {failure.request_id}"
    await log_file.calls(2)
    [entry, _] = [entry for entry in log_file.entries() if entry["event"] == "unexpected error"]
    assert entry["error"] == type(error).__name__
    assert any(place.endswith(" fail") for place in entry["where"])
    assert SECRET.encode() not in log_file.getvalue()


async def test_unexpected_exception_with_a_cause_keeps_both_texts_to_itself(log_file: LogFile) -> None:
    async def fail(_: Any, __: Call) -> None:
        try:
            raise ValueError(SECRET)
        except ValueError as error:
            raise RuntimeError(SECRET) from error

    async with serving(fail, log_file) as stub:
        failure = await failure_of(stub.Chat(chat_request()))
    await log_file.calls(1)
    assert SECRET not in failure.message
    assert SECRET.encode() not in log_file.getvalue()


async def test_answer_that_cannot_be_encoded_is_internal() -> None:
    async def answer_nonsense(_: Any, __: Call) -> Any:
        return SECRET

    async with serving(answer_nonsense) as stub:
        failure = await failure_of(stub.Chat(chat_request()))
    assert failure.code is grpc.StatusCode.INTERNAL
    assert SECRET not in failure.message


async def test_call_without_a_deadline_gets_one() -> None:
    async with serving(hang, deadlines=DefaultDeadlines(generation=0.05, other=0.02)) as stub:
        for failure, seconds in (
            (await failure_of(stub.Chat(chat_request())), "0.05"),
            ((await stream_failure(stub.ChatStream(chat_request())))[1], "0.05"),
            (await failure_of(stub.ListModels(models_pb2.ListModelsRequest())), "0.02"),
        ):
            assert (failure.code, failure.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
            assert f"no answer within {seconds} s" in failure.message


INTERRUPTED = """
import sys
import grpc
from proto import models_pb2, models_pb2_grpc
from services.shared.logs import open_log
from services.shared.rpc import service_handler
from services.shared.server import Server, run, running

SERVICE = models_pb2.DESCRIPTOR.services_by_name["ModelService"]

class Servicer:
    def __getattr__(self, name):
        return self.interrupt

    async def interrupt(self, *_):
        raise KeyboardInterrupt

    async def ChatStream(self, *_):
        await self.interrupt()
        yield

async def main():
    server = Server([service_handler(Servicer(), SERVICE, open_log("test"))], [SERVICE.full_name])
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
    async with running(server), grpc.aio.insecure_channel(address) as channel:
        stub = models_pb2_grpc.ModelServiceStub(channel)
        print(await getattr(stub, sys.argv[1])(models_pb2.ChatRequest()).code())

run("test", main)
"""


@pytest.mark.parametrize("method", ["Chat", "ChatStream"])
def test_interrupt_ends_the_process_and_not_only_the_call(method: str) -> None:
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED, method], timeout=60, capture_output=True)
    assert (ended.returncode, ended.stdout) == (130, b"")


async def test_deadline_of_the_caller_wins_over_the_default_one() -> None:
    async def answer_late(_: Any, call: Call) -> models_pb2.ChatResponse:
        await asyncio.sleep(0.1)
        return models_pb2.ChatResponse(text=str(call.remaining_seconds()))

    async with serving(answer_late, deadlines=DefaultDeadlines(generation=0.02, other=0.02)) as stub:
        response = await stub.Chat(chat_request(), timeout=30)
    assert 29 < float(response.text) < 30


async def test_deadline_cancels_the_servicer_and_is_logged_as_one(log_file: LogFile) -> None:
    cancelled = asyncio.Event()

    async def notice(_: Any, __: Call) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    path = f"/{SERVICE.full_name}/Chat".encode()
    # Whose caller does not end the call by a clock of its own, which would be somewhat early.
    request = call_with(path, chat_request().SerializeToString(), (b"grpc-timeout", b"1S"))
    async with served(notice, log_file) as address:
        with contextlib.closing(send(address, request)):
            await asyncio.wait_for(cancelled.wait(), 30)
            [entry] = await log_file.calls(1)
    assert entry["code"] == "DEADLINE_EXCEEDED"


async def test_cancelled_call_is_logged_as_one(log_file: LogFile) -> None:
    async with serving(hang, log_file) as stub:
        stream = stub.ChatStream(chat_request())
        assert (await stream.read()).token == "a"
        stream.cancel()
        [entry] = await log_file.calls(1)
    assert (entry["method"], entry["code"]) == ("ModelService/ChatStream", "CANCELLED")


async def test_request_id_of_the_caller_is_kept_and_returned(log_file: LogFile) -> None:
    async with serving(answer, log_file) as stub:
        call = stub.Chat(chat_request(), metadata=((REQUEST_ID_KEY, "mine-1"),))
        await call
        assert dict(await call.trailing_metadata())[REQUEST_ID_KEY] == "mine-1"
        # Each server has a writer of its own.
        await log_file.calls(1)
    async with serving(raising(errors.NotFound("gone")), log_file) as stub:
        failure = await failure_of(stub.Chat(chat_request(), metadata=((REQUEST_ID_KEY, "mine-2"),)))
        assert failure.request_id == "mine-2"
    assert [entry["request_id"] for entry in await log_file.calls(2)] == ["mine-1", "mine-2"]


@pytest.mark.parametrize("given", ["", "x" * 129], ids=["empty", "long"])
async def test_request_id_that_does_not_fit_into_a_log_is_replaced(given: str, log_file: LogFile) -> None:
    async with serving(answer, log_file) as stub:
        call = stub.Chat(chat_request(), metadata=((REQUEST_ID_KEY, given),))
        await call
        returned = dict(await call.trailing_metadata())[REQUEST_ID_KEY]
    assert len(returned) == 32
    assert [entry["request_id"] for entry in await log_file.calls(1)] == [returned]


async def test_every_call_is_logged_once_with_what_the_servicer_adds(log_file: LogFile) -> None:
    async def tell(_: Any, call: Call) -> models_pb2.ChatResponse:
        call.log_fields["model"] = "m"
        return models_pb2.ChatResponse()

    async with serving(tell, log_file) as stub:
        await stub.Chat(chat_request())
        [entry] = await log_file.calls(1)
    assert entry.items() >= {"service": "test", "method": "ModelService/Chat", "code": "OK", "model": "m"}.items()
    assert entry["duration_ms"] >= 0
    assert set(entry) == {
        *("level", "ts", "service", "event", "method", "code", "request_id", "duration_ms", "model"),
    }


@pytest.mark.parametrize("character", ["x", "%", "\n", "ü", "\U0001f600"])
async def test_error_reaches_the_caller_however_long_it_is(character: str) -> None:
    """Trailers that are too large would replace the error by one of grpc's own."""
    long = character * 100_000
    violations = [errors.FieldViolation(long, long)] * 1000
    error = errors.InvalidRequest(long, retry_after=1, metadata={"a": long, "b": long}, violations=violations)
    async with serving(raising(error)) as stub:
        failure = await failure_of(stub.Chat(chat_request()))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.message
    assert long.startswith(failure.message)
    assert failure.retry_seconds == 1


async def test_twenty_violations_are_enough() -> None:
    violations = [errors.FieldViolation(f"messages[{number}].role", "is required") for number in range(1000)]
    async with serving(raising(errors.InvalidRequest("wrong", violations=violations))) as stub:
        failure = await failure_of(stub.Chat(chat_request()))
    assert list(failure.fields) == [f"messages[{number}].role" for number in range(20)]


async def test_method_of_a_newer_contract_is_unimplemented() -> None:
    server = Server([service_handler(Servicer(answer), SERVICE, LOG)], [SERVICE.full_name])
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
    async with running(server), grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(f"/{SERVICE.full_name}/NotInThisContract")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_servicer_that_does_not_stream_a_stream_is_refused_at_once() -> None:
    class Wrong:
        async def ChatStream(self, _: Any, __: Call) -> None: ...

        def __getattr__(self, name: str) -> Behaviour:
            return answer

    with pytest.raises(AssertionError, match="must return an async generator"):
        service_handler(Wrong(), SERVICE, LOG)

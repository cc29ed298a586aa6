"""Several replicas of a service behind one gateway: who gets a call, and which calls go on to another replica."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.gateway.routes import USAGE_SERVICE
from services.shared import replicas
from services.shared.call_ends import abort_call, refuse_call
from services.shared.error_details import DETAILS_KEY, pack_details
from services.shared.errors import NotFound, Unavailable
from services.shared.health import NOT_SERVING, SERVING
from tests.rows import row
from tests.services.gateway.backend import running_backend
from tests.services.gateway.gateways import (
    MODELS,
    Backend,
    Gateway,
    Handlers,
    error_of,
    gateway,
    refusing_address,
    serving,
    stream,
    unary,
)
from tests.services.gateway.raw_backend import head, message, raw_backend, reset, trailers
from tests.services.gateway.test_health import check, wait_until
from tests.support.errors import explain, reason_in

SMALL, LARGE = b"small", b"l" * 1024 * 1024

Handler = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[None]]


class Replica:
    """A replica that answers by its name and counts its calls; `behaviour` may answer otherwise."""

    def __init__(self, name: str, behaviour: Handler | None = None) -> None:
        self.name = name.encode()
        self.calls = 0
        self._behaviour = behaviour

    async def unary(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        self.calls += 1
        if self._behaviour:
            await self._behaviour(request, context)
        return self.name

    async def stream(self, request: bytes, context: grpc.aio.ServicerContext) -> None:
        await context.write(await self.unary(request, context))

    def serving(self, host: str = "127.0.0.1", port: int = 0) -> AbstractAsyncContextManager[Backend]:
        return serving(MODELS, self.handlers(), port, host, usage={"CancelCall": unary(self.unary)})

    def handlers(self) -> Handlers:
        return {"Chat": unary(self.unary), "ChatStream": stream(self.stream)}


async def logged(front: Gateway, event: str, times: int) -> None:
    """Waits until the gateway has logged an event so many times."""
    async with asyncio.timeout(10):
        while [entry["event"] for entry in front.log].count(event) < times:
            front.logged.clear()
            await front.logged.wait()


async def says(front: Gateway, address: str, healthy: bool) -> None:
    """Waits until the gateway has noticed that a replica is healthy, or not."""

    def known() -> list[bool]:
        return [
            entry["serving"]
            for entry in front.log
            if entry["event"] == "backend health" and entry["address"] == address
        ]

    async with asyncio.timeout(10):
        while known()[-1:] != [healthy]:
            front.logged.clear()
            await front.logged.wait()


@contextlib.asynccontextmanager
async def two(first: Replica, second: Replica) -> AsyncIterator[tuple[Backend, Backend, Gateway]]:
    """Two healthy replicas behind a gateway."""
    async with (
        first.serving() as one,
        second.serving() as other,
        gateway(f"{one.address},{other.address}") as front,
    ):
        await says(front, one.address, True)
        await says(front, other.address, True)
        yield one, other, front


async def answer(front: Gateway, kind: str, request: bytes = SMALL) -> bytes:
    if kind == "unary":
        return bytes(await front.unary()(request, timeout=20))
    return b"".join([part async for part in front.stream()(request, timeout=20)])


async def test_call_goes_to_the_replica_with_the_fewest_running_calls() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def hang(request: bytes, _: grpc.aio.ServicerContext) -> None:
        if request == b"hang":
            begun.set()
            await go_on.wait()

    first, second = Replica("first", hang), Replica("second", hang)
    async with two(first, second) as (_, __, front):
        assert sorted([await answer(front, "unary") for _ in range(10)]) == [b"first"] * 5 + [b"second"] * 5
        hanging = asyncio.create_task(answer(front, "unary", b"hang"))
        await begun.wait()
        busy, idle = (first, second) if first.calls > second.calls else (second, first)
        assert {await answer(front, "stream") for _ in range(10)} == {idle.name}
        go_on.set()
        assert await hanging == busy.name


async def test_replica_that_is_not_serving_gets_no_call_while_another_is() -> None:
    async with two(Replica("first"), Replica("second")) as (one, other, front):
        await one.server.health.set(MODELS, NOT_SERVING)
        await says(front, one.address, False)
        assert {await answer(front, "unary") for _ in range(10)} == {b"second"}
        assert await check(front, MODELS) == SERVING

        await other.server.health.set(MODELS, NOT_SERVING)
        await wait_until(front, MODELS, NOT_SERVING)
        # What is left may still have an answer, or a better error.
        assert {await answer(front, "unary") for _ in range(10)} == {b"first", b"second"}

        await one.server.health.set(MODELS, SERVING)
        await wait_until(front, MODELS, SERVING)
        assert {await answer(front, "unary") for _ in range(10)} == {b"first"}


async def refuse(_: bytes, context: grpc.aio.ServicerContext) -> None:
    await refuse_call(context)


async def test_call_that_a_stopping_replica_refuses_is_answered_by_another() -> None:
    stopping, other = Replica("stopping", refuse), Replica("other")
    async with two(stopping, other) as (one, second, front):
        # The other one comes second.
        await second.server.health.set(MODELS, NOT_SERVING)
        await says(front, second.address, False)
        for kind in ("unary", "stream"):
            for request in (SMALL, LARGE):
                with row(kind, len(request)):
                    stopping.calls = other.calls = 0
                    front.log.clear()
                    assert await answer(front, kind, request) == b"other"
                    assert (stopping.calls, other.calls) == (1, 1)
                    entry = await front.first_call()
                    assert (entry["code"], entry["replica"]) == ("OK", second.address)
                    assert entry["not_begun_by"] == [one.address]


async def missing(_: bytes, context: grpc.aio.ServicerContext) -> None:
    error = NotFound("no such call runs", reason="CALL_NOT_FOUND")
    await abort_call(context, grpc.StatusCode.NOT_FOUND, error.message, ((DETAILS_KEY, pack_details(5, error)),))


USAGE = USAGE_SERVICE.full_name


async def test_what_one_replica_has_is_found_in_it() -> None:
    for has_it in ("first", "second"):
        first, second = (Replica(name, None if name == has_it else missing) for name in ("first", "second"))
        async with two(first, second) as (_, __, front):
            for _ in range(4):
                assert await front.unary("CancelCall", USAGE)(SMALL, timeout=20) == has_it.encode()
            has, has_not = (first, second) if has_it == "first" else (second, first)
            assert has.calls == 4
            assert has_not.calls >= 1
            assert any("not_found_by" in entry for entry in front.calls())


async def test_what_no_replica_has_is_not_found_and_each_is_asked_once() -> None:
    first, second = Replica("first", missing), Replica("second", missing)
    async with two(first, second) as (one, other, front):
        error = await error_of(front.unary("CancelCall", USAGE)(SMALL, timeout=20))
        assert (error.code(), reason_in(error.trailing_metadata())) == (grpc.StatusCode.NOT_FOUND, "CALL_NOT_FOUND")
        assert (first.calls, second.calls) == (1, 1)
        assert sorted((await front.first_call())["not_found_by"]) == sorted([one.address, other.address])
        # Of other methods, the first answer holds.
        assert (await error_of(front.unary()(SMALL, timeout=20))).code() is grpc.StatusCode.NOT_FOUND
        assert first.calls + second.calls == 3


async def test_what_a_replica_may_have_that_cannot_be_asked_is_not_called_missing() -> None:
    first, second = Replica("first", missing), Replica("second", refuse)
    async with two(first, second) as (_, __, front):
        for _ in range(2):
            error = await error_of(front.unary("CancelCall", USAGE)(SMALL, timeout=20))
            assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert (first.calls, second.calls) == (2, 2)


async def test_refusal_by_all_replicas_is_passed_on() -> None:
    first, second = Replica("first", refuse), Replica("second", refuse)
    async with two(first, second) as (_, __, front):
        for request in (SMALL, LARGE):
            first.calls = second.calls = 0
            error = await error_of(front.unary()(request, timeout=20))
            assert (error.code(), reason_in(error.trailing_metadata())) == (
                grpc.StatusCode.UNAVAILABLE,
                "SERVER_STOPPING",
            )
            assert (first.calls, second.calls) == (1, 1)


def refusal(**fields: Any) -> bytes:
    return pack_details(14, Unavailable("not begun", reason="SERVER_STOPPING", **fields))


async def late_refusal(_: bytes, context: grpc.aio.ServicerContext) -> None:
    """Looks like a refusal, but metadata of an answer have come before it."""
    await context.send_initial_metadata((("x-answer", "begun"),))
    await context.abort(grpc.StatusCode.UNAVAILABLE, "not begun", ((DETAILS_KEY, refusal()),))


async def refusal_after_output(_: bytes, context: grpc.aio.ServicerContext) -> None:
    await context.write(b"output")
    await context.abort(grpc.StatusCode.UNAVAILABLE, "not begun", ((DETAILS_KEY, refusal()),))


async def overloaded(_: bytes, context: grpc.aio.ServicerContext) -> None:
    details = pack_details(14, Unavailable("overloaded", reason="SERVER_BUSY", retry_after=1))
    await context.abort(grpc.StatusCode.UNAVAILABLE, "overloaded", ((DETAILS_KEY, details),))


async def cancelled(_: bytes, context: grpc.aio.ServicerContext) -> None:
    await context.abort(grpc.StatusCode.CANCELLED, "")


async def bare(_: bytes, context: grpc.aio.ServicerContext) -> None:
    await context.abort(grpc.StatusCode.UNAVAILABLE, "connection lost")


async def test_call_that_may_have_begun_reaches_no_second_replica() -> None:
    ends = {"unary": [late_refusal, overloaded, cancelled, bare], "stream": [late_refusal, refusal_after_output, bare]}
    for kind, behaviours in ends.items():
        for behaviour in behaviours:
            with row(kind, behaviour.__name__):
                first, other = Replica("first", behaviour), Replica("other")
                async with two(first, other) as (_, second, front):
                    await second.server.health.set(MODELS, NOT_SERVING)
                    await says(front, second.address, False)
                    for request in (SMALL, LARGE):
                        await error_of((front.unary() if kind == "unary" else front.stream())(request, timeout=20))
                assert (first.calls, other.calls) == (2, 0)


async def test_call_whose_connection_breaks_after_it_was_sent_reaches_no_second_replica() -> None:
    """A reset, or a status without details, says nothing of whether a handler has begun."""
    for case, answers in {
        "reset": [reset(2)],
        "reset after a message": [head(), message(b"m"), reset(8)],
        "bare status": [head(), trailers((b"grpc-status", b"14"))],
    }.items():
        with row(case):
            other = Replica("other")
            async with (
                raw_backend(*answers) as odd,
                without_health(other) as address,
                gateway(f"{odd},{address}") as front,
            ):
                # Neither is healthy, and they take turns.
                codes = [await front.unary()(SMALL, timeout=20).code() for _ in range(4)]
            assert (codes.count(grpc.StatusCode.OK), other.calls) == (2, 2)


@contextlib.asynccontextmanager
async def without_health(replica: Replica) -> AsyncIterator[str]:
    """The address of a replica that has no health service."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(MODELS, replica.handlers())])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


async def test_replicas_that_cannot_be_reached_delay_nothing() -> None:
    """One refuses connections, one accepts them and says nothing, one is a name that does not exist."""
    with refusing_address() as refused, socket.create_server(("127.0.0.1", 0)) as silent:
        mute = f"127.0.0.1:{silent.getsockname()[1]}"
        async with Replica("there").serving() as there:
            addresses = f"{refused},no-such-host.invalid:50053,{mute},{there.address}"
            async with gateway(addresses) as front:
                await says(front, there.address, True)
                assert await check(front, MODELS) == SERVING
                began = time.perf_counter()
                assert {await answer(front, "unary", size) for size in (SMALL, LARGE) * 10} == {b"there"}
                assert time.perf_counter() - began < 1.0


async def test_call_that_could_not_be_sent_goes_to_another_replica() -> None:
    other = Replica("other")
    with refusing_address() as refused:
        async with without_health(other) as address, gateway(f"{refused},{address}") as front:
            # Neither is healthy, and they take turns.
            for kind in ("unary", "stream"):
                for request in (SMALL, LARGE):
                    assert [await answer(front, kind, request) for _ in range(2)] == [b"other"] * 2
            assert any("not_begun_by" in entry for entry in front.calls())
    assert other.calls == 8


async def test_replica_that_hangs_gets_no_call_once_it_does_not_answer_its_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "CHECK_SECONDS", 0.2)
    monkeypatch.setattr(replicas, "CHECK_DEADLINE_SECONDS", 0.3)
    with running_backend(tmp_path) as hanging:
        async with Replica("other").serving() as other, gateway(f"{hanging.address},{other.address}") as front:
            await says(front, hanging.address, True)
            await says(front, other.address, True)
            hanging.send(signal.SIGSTOP)
            stopped = time.perf_counter()
            await says(front, hanging.address, False)
            assert time.perf_counter() - stopped < 1.5
            assert {await answer(front, "unary") for _ in range(10)} == {b"other"}
            hanging.send(signal.SIGCONT)
            await says(front, hanging.address, True)
            assert {await answer(front, "unary") for _ in range(10)} == {b"other", SMALL}


@pytest.mark.parametrize("exposed", [False, True])
async def test_failed_call_names_its_replica_in_the_log_and_to_the_operator_alone(
    tmp_path: Path, exposed: bool
) -> None:
    with running_backend(tmp_path) as dying:
        addresses = f"{dying.address},127.0.0.1:9"
        async with gateway(addresses, exposed=exposed) as front:
            await says(front, dying.address, True)
            call = front.stream()(b"first")
            assert await call.read() == b"first"
            dying.kill()
            told = explain(await error_of(call))
            entry = await front.first_call()
    assert entry["replica"] == dying.address
    assert (told.reason, told.metadata["phase"]) == ("BACKEND_LOST", "mid_stream")
    assert (dying.address in told.message) is not exposed
    assert "127.0.0.1:9" not in told.message


class NameServer:
    """The addresses of names, in place of the system's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hosts: list[str] = []
        self._ask = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self.getaddrinfo)

    def getaddrinfo(self, host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        if host != "models.test":
            return self._ask(host, port, *rest, **named)
        if not self.hosts:
            raise socket.gaierror(socket.EAI_AGAIN, "the name server is away")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in self.hosts]


async def test_name_stands_for_all_its_addresses_as_they_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "LOOKUP_SECONDS", 0.1)
    monkeypatch.setattr(replicas, "LOOKUP_AGAIN_SECONDS", 0.05)
    names = NameServer(monkeypatch)
    go_on = asyncio.Event()

    async def hang(request: bytes, _: grpc.aio.ServicerContext) -> None:
        if request == b"hang":
            await go_on.wait()

    first, second = Replica("first", hang), Replica("second")
    async with first.serving() as one:
        port = one.address.rpartition(":")[2]
        async with second.serving("127.0.0.3", int(port)) as other, gateway(f"models.test:{port}") as front:
            error = await error_of(front.unary()(SMALL, timeout=20))
            assert explain(error).reason == "BACKEND_UNAVAILABLE"

            names.hosts = ["127.0.0.1"]
            await says(front, one.address, True)
            assert {await answer(front, "unary") for _ in range(4)} == {b"first"}
            hanging = asyncio.create_task(answer(front, "unary", b"hang"))

            names.hosts = ["127.0.0.1", "127.0.0.3"]
            await says(front, other.address, True)
            assert {await answer(front, "unary") for _ in range(4)} == {b"second"}

            names.hosts = []
            await logged(front, "backend name not resolved", 2)
            assert {await answer(front, "unary") for _ in range(4)} == {b"second"}

            names.hosts = ["127.0.0.3"]
            await logged(front, "backend name resolved", 3)
            go_on.set()
            assert await hanging == b"first"
            assert {await answer(front, "unary") for _ in range(4)} == {b"second"}

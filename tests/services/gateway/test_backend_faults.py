"""A backend that is not there, or that dies: the caller is told at once, and its return is noticed at once."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import grpc
import pytest
from google.rpc import status_pb2

from tests.services.gateway.backend import running_backend
from tests.services.gateway.gateways import (
    MODELS,
    SESSIONS,
    Gateway,
    error_of,
    gateway,
    refusing_address,
    serving,
    unary,
)
from tests.support.errors import explain

AT_ONCE = 5.0
"""Of a busy machine: less than what grpc waits by itself, and than the deadlines here."""


async def echo(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
    return request


@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_backend_that_is_not_there_is_unavailable_at_once(kind: str) -> None:
    async with gateway() as front:
        method = front.unary() if kind == "unary" else front.stream()
        began = time.perf_counter()
        error = await error_of(method(b"", timeout=30))
        assert time.perf_counter() - began < AT_ONCE
    told = explain(error)
    assert told.code is grpc.StatusCode.UNAVAILABLE
    assert (told.reason, told.metadata, told.retry_seconds) == ("BACKEND_UNAVAILABLE", {"backend": "models"}, 1)


async def test_message_names_the_backend_and_its_address() -> None:
    with refusing_address() as address:
        async with gateway(address, address) as front:
            models = await error_of(front.unary()(b""))
            sessions = await error_of(front.unary("GetSession", SESSIONS)(b""))
    assert models.details() == f"the Model Service at {address} cannot be reached; is it running?"
    assert sessions.details() == f"the Session Service at {address} cannot be reached; is it running?"


async def test_strangers_are_not_told_the_address_of_a_backend() -> None:
    with refusing_address() as address:
        async with gateway(address, exposed=True) as front:
            error = await error_of(front.unary()(b""))
            call = await front.first_call()
    assert error.details() == "the Model Service cannot be reached; is it running?"
    assert address in call["cause"]


async def test_host_that_does_not_exist_is_unavailable() -> None:
    async with gateway("no-such-host.invalid:50053") as front:
        error = await error_of(front.unary()(b"", timeout=30))
        assert explain(error).reason == "BACKEND_UNAVAILABLE"


async def test_backend_that_accepts_and_says_nothing_is_unavailable() -> None:
    """Something else listens on the port: the first attempt to connect may take its second, later calls do not."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        async with gateway(f"127.0.0.1:{silent.getsockname()[1]}") as front:
            assert explain(await error_of(front.unary()(b"", timeout=30))).reason == "BACKEND_UNAVAILABLE"
            began = time.perf_counter()
            for _ in range(20):
                await error_of(front.unary()(b"", timeout=30))
            assert time.perf_counter() - began < AT_ONCE


async def test_one_backend_serves_while_the_other_is_away() -> None:
    handlers = {"GetSession": unary(echo)}
    async with serving(SESSIONS, handlers) as sessions, gateway(sessions=sessions.address) as front:
        await error_of(front.unary()(b""))
        assert await front.unary("GetSession", SESSIONS)(b"here") == b"here"


async def test_backends_own_unavailable_passes_and_is_not_repeated() -> None:
    details = status_pb2.Status(code=14, message="overloaded").SerializeToString()
    calls = 0

    async def overloaded(_: bytes, context: grpc.aio.ServicerContext) -> bytes:
        nonlocal calls
        calls += 1
        await context.abort(
            grpc.StatusCode.UNAVAILABLE, "overloaded", (("grpc-status-details-bin", details), ("x-own", "1"))
        )
        return b""

    async with serving(MODELS, {"Chat": unary(overloaded)}) as models, gateway(models.address) as front:
        error = await error_of(front.unary()(b""))
    assert error.details() == "overloaded"
    assert dict(error.trailing_metadata()) == {"grpc-status-details-bin": details, "x-own": "1"}
    assert calls == 1


async def begun(front: Gateway, kind: str) -> grpc.aio.Call:
    """A call that the backend has begun to work on. A later call's answer shows that: one connection keeps order."""
    call = front.unary()(b"hang") if kind == "unary" else front.stream()(b"hang" if "before" in kind else b"first")
    if "after" in kind:
        assert await call.read() == b"first"
    assert await front.unary()(b"ready") == b"ready"
    return call


@pytest.mark.parametrize("kind", ["unary", "stream before its first message"])
async def test_backend_that_dies_before_it_answers_is_unavailable_at_once(tmp_path: Path, kind: str) -> None:
    """It may have begun the call, and a provider may have: no RetryInfo invites to pay twice."""
    with running_backend(tmp_path) as models:
        async with gateway(models.address) as front:
            call = await begun(front, kind)
            models.kill()
            error = await asyncio.wait_for(error_of(call), AT_ONCE)
    told = explain(error)
    assert (told.code, told.reason, told.retry_seconds) == (grpc.StatusCode.UNAVAILABLE, "BACKEND_LOST", None)
    assert "phase" not in told.metadata


async def test_backend_that_dies_in_mid_stream_is_told_apart(tmp_path: Path) -> None:
    """The caller has part of an answer: repeating the call blindly would pay twice, so no RetryInfo invites to it."""
    with running_backend(tmp_path) as models:
        async with gateway(models.address) as front:
            call = await begun(front, "stream after its first message")
            models.kill()
            error = await asyncio.wait_for(error_of(call), AT_ONCE)
    told = explain(error)
    assert told.code is grpc.StatusCode.UNAVAILABLE
    assert (told.reason, told.metadata) == ("BACKEND_LOST", {"backend": "models", "phase": "mid_stream"})
    assert told.retry_seconds is None


async def test_backend_that_returns_is_used_within_a_second(tmp_path: Path) -> None:
    """Killed and started again on its port, with calls meanwhile, each of which fails at once."""
    with running_backend(tmp_path) as models:
        async with gateway(models.address) as front:
            assert await front.unary()(b"before") == b"before"
            models.kill()
            slowest = 0.0
            # Long enough for a reconnect pause that doubles each time to show.
            until = time.perf_counter() + 2.0
            while time.perf_counter() < until:
                began = time.perf_counter()
                await error_of(front.unary()(b"", timeout=30))
                slowest = max(slowest, time.perf_counter() - began)
                await asyncio.sleep(0.02)
            assert slowest < AT_ONCE

            with running_backend(tmp_path, models.port):
                returned = time.perf_counter()
                while await front.unary()(b"", timeout=30).code() is not grpc.StatusCode.OK:
                    assert time.perf_counter() - returned < 1.0
                    await asyncio.sleep(0.01)
                assert [await front.unary()(b"%d" % number) for number in range(50)] == [b"%d" % n for n in range(50)]


async def test_backend_that_was_away_from_the_start_is_used_within_a_second() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with gateway(f"127.0.0.1:{port}") as front:
            await error_of(front.unary()(b""))
            taken.close()
            async with serving(MODELS, {"Chat": unary(echo)}, port):
                came = time.perf_counter()
                while await front.unary()(b"").code() is not grpc.StatusCode.OK:
                    assert time.perf_counter() - came < 1.0
                    await asyncio.sleep(0.01)

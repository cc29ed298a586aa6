"""The gateway as people start and stop it: a process, its output, its exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import TypeAdapter, ValidationError

from services.shared.channels import Addresses
from services.shared.health import NOT_SERVING, SERVING
from tests.services.gateway.gateways import MODELS, SESSIONS, open_channel, refusing_address, serving, stream, unary
from tests.support.errors import explain
from tests.support.processes import EXIT_CONFIG, Service, run, running


async def echo(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
    return request


@contextlib.asynccontextmanager
async def called(directory: Path, **options: Any) -> AsyncIterator[tuple[Service, grpc.aio.Channel]]:
    """A gateway in a process of its own, and a channel to it."""
    with running("gateway", directory, **options) as gateway:
        async with open_channel(gateway.address) as channel:
            yield gateway, channel


def calls_logged(gateway: Service) -> list[dict[str, object]]:
    return [entry for entry in gateway.entries() if entry["event"] == "rpc"]


async def test_started_gateway_says_where_it_listens_and_serves_there(tmp_path: Path) -> None:
    async with serving(MODELS, {"Chat": unary(echo)}) as models:
        with refusing_address() as nowhere:
            settings = {"MODELS_ADDRESS": models.address, "SESSIONS_ADDRESS": nowhere}
            async with called(tmp_path, as_module=True, **settings) as (gateway, channel):
                assert gateway.line == (
                    f"gateway: listening on {gateway.address}, "
                    f"forwarding models to {models.address} and sessions to {nowhere}"
                )
                assert await channel.unary_unary(f"/{MODELS}/Chat")(b"through") == b"through"
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await channel.unary_unary(f"/{SESSIONS}/GetSession")(b"")
                assert explain(caught.value).reason == "BACKEND_UNAVAILABLE"
                gateway.send(signal.SIGTERM)
                code = await gateway.end()
    assert code == 0
    assert [(call["service"], call["method"], call["code"]) for call in calls_logged(gateway)] == [
        ("gateway", "ModelService/Chat", "OK"),
        ("gateway", "SessionService/GetSession", "UNAVAILABLE"),
    ]


def test_help_names_every_variable_and_default(tmp_path: Path) -> None:
    code, output, _ = run("gateway", tmp_path, "--help")
    assert code == 0
    for word in ("GATEWAY_PORT", "50051", "GENAI_HOST", "127.0.0.1", "MODELS_ADDRESS", "50053", "SESSIONS_ADDRESS"):
        assert word in output
    for word in ("50052", "GENAI_LOG_LEVEL", "GENAI_GRACE_SECONDS"):
        assert word in output


def test_argument_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    code, _, errors = run("gateway", tmp_path, "--port=1")
    assert code == 2
    assert "--port" in errors


def test_port_in_use_is_one_line_and_a_configuration_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, output, errors = run("gateway", tmp_path, GATEWAY_PORT=port)
    assert (code, output) == (EXIT_CONFIG, "")
    assert errors == f"gateway: cannot listen on 127.0.0.1:{port}: Address already in use\n"


BAD_SETTINGS = {
    "port out of range": ({"GATEWAY_PORT": "65536"}, "GATEWAY_PORT: input should be less than or equal to 65535"),
    "address without a port": ({"MODELS_ADDRESS": "localhost"}, "MODELS_ADDRESS: must be host:port"),
    "host of another machine": (
        {"GENAI_HOST": "192.0.2.1", "GENAI_INSECURE": "yes", "GENAI_LOG_LEVEL": "error"},
        "cannot listen on 192.0.2.1:0",
    ),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_bad_setting_is_one_line_that_names_it_and_a_configuration_error(tmp_path: Path, case: str) -> None:
    settings, expected = BAD_SETTINGS[case]
    code, output, errors = run("gateway", tmp_path, **settings)
    assert (code, output) == (EXIT_CONFIG, "")
    assert errors.count("\n") == 1
    assert errors.startswith(f"gateway: {expected}")


def test_gateway_in_front_of_itself_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
    for addresses in (f"localhost:{port}", f"192.0.2.1:1,localhost:{port}", f"https://localhost:{port}"):
        code, _, errors = run("gateway", tmp_path, GATEWAY_PORT=port, MODELS_ADDRESS=addresses)
        assert code == EXIT_CONFIG
        assert errors == f"gateway: MODELS_ADDRESS: localhost:{port} is the gateway itself\n"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:50053",
        "[::1]:1",
        "models:65535",
        "models.platform.svc.cluster.local:80",
        "a:1,[::1]:2",
        "https://a:1,https://[::1]:2",
    ],
)
def test_address_is_a_host_and_a_port(address: str) -> None:
    assert TypeAdapter(Addresses).validate_python(address) == address


@pytest.mark.parametrize(
    "address",
    [
        *("localhost", ":50053", "localhost:", "localhost:0", "localhost:65536", "localhost:http", "::1:50053"),
        *(
            "http://localhost:50053",
            "localhost:50053/",
            "local host:50053",
            "localhost:50053\n",
            "a:1,",
            "a:1,b",
            "a:1;b:2",
            "https://a",
            "HTTPS://a:1",
        ),
    ],
)
def test_anything_else_is_no_address(address: str) -> None:
    with pytest.raises(ValidationError, match="must be host:port"):
        TypeAdapter(Addresses).validate_python(address)


def test_all_bad_settings_are_named_at_once(tmp_path: Path) -> None:
    _, _, errors = run("gateway", tmp_path, GATEWAY_PORT="x", MODELS_ADDRESS="x", SESSIONS_ADDRESS="x")
    assert all(name in errors for name in ("GATEWAY_PORT", "MODELS_ADDRESS", "SESSIONS_ADDRESS"))


class Steps:
    """A stream that writes its second and last message when it is told to."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.ended = asyncio.Event()

    async def stream(self, _: bytes, context: grpc.aio.ServicerContext) -> None:
        try:
            await context.write(b"first")
            await self.go_on.wait()
            await context.write(b"last")
        finally:
            self.ended.set()


async def stop_and_wait_until_draining(gateway: Service, channel: grpc.aio.Channel) -> None:
    """Sends SIGTERM, and returns when the gateway's health tells that it was heeded."""
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=MODELS))
    while (await asyncio.wait_for(watch.read(), 30)).status != SERVING:
        pass
    gateway.send(signal.SIGTERM)
    assert (await asyncio.wait_for(watch.read(), 30)).status == NOT_SERVING
    assert await watch.read() is grpc.aio.EOF


async def refuses_calls(gateway: Service) -> None:
    """Returns when calls of others than those who are connected are refused, which is soon after the health says so."""
    async with asyncio.timeout(30), open_channel(gateway.address) as channel:
        while await channel.unary_unary(f"/{MODELS}/Chat")(b"").code() is not grpc.StatusCode.UNAVAILABLE:
            pass


async def test_sigterm_lets_a_running_stream_finish_and_refuses_new_calls(tmp_path: Path) -> None:
    steps = Steps()
    async with (
        serving(MODELS, {"ChatStream": stream(steps.stream)}) as models,
        called(tmp_path, MODELS_ADDRESS=models.address) as (gateway, channel),
    ):
        call = channel.unary_stream(f"/{MODELS}/ChatStream")(b"")
        assert await call.read() == b"first"
        await stop_and_wait_until_draining(gateway, channel)
        await refuses_calls(gateway)
        steps.go_on.set()
        assert await call.read() == b"last"
        assert await call.code() is grpc.StatusCode.OK
        code = await gateway.end()
    assert code == 0
    streams = [entry for entry in calls_logged(gateway) if entry["method"] == "ModelService/ChatStream"]
    assert [(entry["code"], entry["messages"]) for entry in streams] == [("OK", 2)]


@pytest.mark.parametrize("hurried", ["by the end of the grace", "by a second signal"])
async def test_stream_that_does_not_finish_is_cancelled_at_the_backend_too(tmp_path: Path, hurried: str) -> None:
    steps = Steps()
    async with serving(MODELS, {"ChatStream": stream(steps.stream)}) as models:
        grace = "0.2" if "grace" in hurried else "60"
        settings = {"MODELS_ADDRESS": models.address, "GENAI_GRACE_SECONDS": grace}
        async with called(tmp_path, **settings) as (gateway, channel):
            call = channel.unary_stream(f"/{MODELS}/ChatStream")(b"")
            assert await call.read() == b"first"
            await stop_and_wait_until_draining(gateway, channel)
            if "signal" in hurried:
                gateway.send(signal.SIGTERM)
            await asyncio.wait_for(steps.ended.wait(), 30)
            assert await call.code() is grpc.StatusCode.UNAVAILABLE
            code = await gateway.end()
    assert code == 0
    assert "Traceback" not in gateway.log()
    assert [(entry["code"], entry["messages"]) for entry in calls_logged(gateway)] == [("CANCELLED", 1)]

"""The gateway as people start and stop it: a process, its output, its exit codes."""

from __future__ import annotations

import asyncio
import json
import signal
import socket

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import TypeAdapter, ValidationError

from services.shared.channels import Address
from services.shared.health import NOT_SERVING, SERVING
from tests.services.gateway_fixtures import (
    MODELS,
    SESSIONS,
    Process,
    details_of,
    open_channel,
    process,
    refusing_address,
    serving,
    start_python,
    stream,
    unary,
)

BY_PATH = ("services/gateway/main.py",)
BY_NAME = ("-m", "services.gateway.main")

CONFIGURATION_ERROR = 78


async def outcome(*arguments: str, **environment: str) -> tuple[int | None, str, str]:
    """Runs the program to its end: exit code, standard output, standard error."""
    started = await start_python(*arguments, **environment)
    output, errors = await asyncio.wait_for(started.communicate(), 60)
    return started.returncode, output.decode(), errors.decode()


async def echo(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
    return request


def calls_logged(errors: str) -> list[dict[str, object]]:
    entries = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    return [entry for entry in entries if entry["event"] == "rpc"]


@pytest.mark.parametrize("arguments", [BY_PATH, BY_NAME], ids=["by path", "by name"])
async def test_started_gateway_says_where_it_listens_and_serves_there(arguments: tuple[str, ...]) -> None:
    async with serving(MODELS, {"Chat": unary(echo)}) as models:
        with refusing_address() as nowhere:
            settings = {"MODELS_ADDRESS": models.address, "SESSIONS_ADDRESS": nowhere, "GATEWAY_PORT": "0"}
            async with process(*arguments, **settings) as gateway, open_channel(gateway.address) as channel:
                assert gateway.line == (
                    f"gateway: listening on {gateway.address}, "
                    f"forwarding models to {models.address} and sessions to {nowhere}"
                )
                assert await channel.unary_unary(f"/{MODELS}/Chat")(b"through") == b"through"
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await channel.unary_unary(f"/{SESSIONS}/GetSession")(b"")
                assert details_of(caught.value)[0].reason == "BACKEND_UNAVAILABLE"
                gateway.send(signal.SIGTERM)
                code, errors = await gateway.ended()
    assert code == 0
    assert [(call["service"], call["method"], call["code"]) for call in calls_logged(errors)] == [
        ("gateway", "ModelService/Chat", "OK"),
        ("gateway", "SessionService/GetSession", "UNAVAILABLE"),
    ]


async def test_help_names_every_variable_and_default() -> None:
    code, output, _ = await outcome(*BY_PATH, "--help")
    assert code == 0
    for word in ("GATEWAY_PORT", "50051", "GENAI_HOST", "127.0.0.1", "MODELS_ADDRESS", "50053", "SESSIONS_ADDRESS"):
        assert word in output
    for word in ("50052", "GENAI_LOG_LEVEL", "GENAI_GRACE_SECONDS"):
        assert word in output


async def test_argument_that_does_not_exist_is_refused() -> None:
    code, _, errors = await outcome(*BY_PATH, "--port=1")
    assert code == 2
    assert "--port" in errors


async def test_port_in_use_is_one_line_and_a_configuration_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, output, errors = await outcome(*BY_PATH, GATEWAY_PORT=port)
    assert (code, output) == (CONFIGURATION_ERROR, "")
    assert errors == f"gateway: cannot listen on 127.0.0.1:{port}: Address already in use\n"


BAD_SETTINGS = {
    "port out of range": ({"GATEWAY_PORT": "65536"}, "GATEWAY_PORT: input should be less than or equal to 65535"),
    "address without a port": ({"MODELS_ADDRESS": "localhost"}, "MODELS_ADDRESS: must be host:port"),
    "host of another machine": ({"GENAI_HOST": "192.0.2.1"}, "cannot listen on 192.0.2.1:50051"),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
async def test_bad_setting_is_one_line_that_names_it_and_a_configuration_error(case: str) -> None:
    environment, expected = BAD_SETTINGS[case]
    code, output, errors = await outcome(*BY_PATH, **environment)
    assert (code, output) == (CONFIGURATION_ERROR, "")
    assert errors.count("\n") == 1
    assert errors.startswith(f"gateway: {expected}")


async def test_gateway_in_front_of_itself_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
    code, _, errors = await outcome(*BY_PATH, GATEWAY_PORT=port, MODELS_ADDRESS=f"localhost:{port}")
    assert code == CONFIGURATION_ERROR
    assert errors == f"gateway: MODELS_ADDRESS: localhost:{port} is the gateway itself\n"


@pytest.mark.parametrize(
    "address", ["127.0.0.1:50053", "[::1]:1", "models:65535", "models.platform.svc.cluster.local:80"]
)
def test_address_is_a_host_and_a_port(address: str) -> None:
    assert TypeAdapter(Address).validate_python(address) == address


@pytest.mark.parametrize(
    "address",
    [
        *("localhost", ":50053", "localhost:", "localhost:0", "localhost:65536", "localhost:http", "::1:50053"),
        *("http://localhost:50053", "localhost:50053/", "local host:50053", "localhost:50053\n", "a:1,b:2"),
    ],
)
def test_anything_else_is_no_address(address: str) -> None:
    with pytest.raises(ValidationError, match="must be host:port"):
        TypeAdapter(Address).validate_python(address)


async def test_all_bad_settings_are_named_at_once() -> None:
    _, _, errors = await outcome(*BY_PATH, GATEWAY_PORT="x", MODELS_ADDRESS="x", SESSIONS_ADDRESS="x")
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


async def stop_and_wait_until_draining(gateway: Process, channel: grpc.aio.Channel) -> None:
    """Sends SIGTERM, and returns when the gateway's health tells that it was heeded."""
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=MODELS))
    while (await asyncio.wait_for(watch.read(), 30)).status != SERVING:
        pass
    gateway.send(signal.SIGTERM)
    assert (await asyncio.wait_for(watch.read(), 30)).status == NOT_SERVING
    assert await watch.read() is grpc.aio.EOF


async def refuses_calls(gateway: Process) -> None:
    """Returns when calls of others than those who are connected are refused, which is soon after the health says so."""
    async with asyncio.timeout(30), open_channel(gateway.address) as channel:
        while await channel.unary_unary(f"/{MODELS}/Chat")(b"").code() is not grpc.StatusCode.UNAVAILABLE:
            pass


async def test_sigterm_lets_a_running_stream_finish_and_refuses_new_calls() -> None:
    steps = Steps()
    async with serving(MODELS, {"ChatStream": stream(steps.stream)}) as models:
        settings = {"MODELS_ADDRESS": models.address, "GATEWAY_PORT": "0"}
        async with process(*BY_PATH, **settings) as gateway, open_channel(gateway.address) as channel:
            call = channel.unary_stream(f"/{MODELS}/ChatStream")(b"")
            assert await call.read() == b"first"
            await stop_and_wait_until_draining(gateway, channel)
            await refuses_calls(gateway)
            steps.go_on.set()
            assert await call.read() == b"last"
            assert await call.code() is grpc.StatusCode.OK
            code, errors = await gateway.ended()
    assert code == 0
    streams = [entry for entry in calls_logged(errors) if entry["method"] == "ModelService/ChatStream"]
    assert [(entry["code"], entry["messages"]) for entry in streams] == [("OK", 2)]


@pytest.mark.parametrize("hurried", ["by the end of the grace", "by a second signal"])
async def test_stream_that_does_not_finish_is_cancelled_at_the_backend_too(hurried: str) -> None:
    steps = Steps()
    async with serving(MODELS, {"ChatStream": stream(steps.stream)}) as models:
        grace = "0.2" if "grace" in hurried else "60"
        settings = {"MODELS_ADDRESS": models.address, "GATEWAY_PORT": "0", "GENAI_GRACE_SECONDS": grace}
        async with process(*BY_PATH, **settings) as gateway, open_channel(gateway.address) as channel:
            call = channel.unary_stream(f"/{MODELS}/ChatStream")(b"")
            assert await call.read() == b"first"
            await stop_and_wait_until_draining(gateway, channel)
            if "signal" in hurried:
                gateway.send(signal.SIGTERM)
            await asyncio.wait_for(steps.ended.wait(), 30)
            assert await call.code() is grpc.StatusCode.UNAVAILABLE
            code, errors = await gateway.ended()
    assert code == 0
    assert "Traceback" not in errors
    assert [(entry["code"], entry["messages"]) for entry in calls_logged(errors)] == [("CANCELLED", 1)]

"""The process `services/models/main.py`: how it starts, what it says, and how signals end it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from proto import models_pb2, models_pb2_grpc
from services.models import main
from services.models.main import DEFAULT_HTTP_PORT, SERVICE
from services.models.settings import Settings
from services.shared.backlog import ROOM
from services.shared.errors import StartupError
from tests.scripted_upstream import ScriptedUpstream, json_answer
from tests.services.model_service import chat_request, completion, piece, streamed_completion
from tests.services.test_chat_in_session_faults import free_port
from tests.support.processes import EXIT_CONFIG, Service, run, running

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def openai_at(upstream: ScriptedUpstream) -> dict[str, str]:
    return {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": f"{upstream.url}/v1"}


@contextlib.asynccontextmanager
async def called(
    directory: Path, upstream: ScriptedUpstream, **settings: str
) -> AsyncIterator[tuple[Service, grpc.aio.Channel]]:
    """A service in front of the upstream, and a channel to it."""
    with running("models", directory, **openai_at(upstream), **settings) as service:
        async with grpc.aio.insecure_channel(service.address) as channel:
            yield service, channel


async def test_start_line_says_where_it_listens_and_which_providers_it_has(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.play(json_answer(completion()))
    (tmp_path / ".env").write_text("ANTHROPIC_API_KEY=sk-ant-from-the-file\nOPENAI_API_KEY=overridden\n")
    with running("models", tmp_path, as_module=True, **openai_at(upstream)) as service:
        data = tmp_path / "data" / "models.db"
        expected = f"models: listening on {service.address}, data in {data}, providers: anthropic, openai"
        assert service.line == expected
        assert data.is_file()
        async with grpc.aio.insecure_channel(service.address) as channel:
            assert (await models_pb2_grpc.ModelServiceStub(channel).Chat(chat_request())).text == "Hi."
            health = health_pb2_grpc.HealthStub(channel)
            for name in ("", SERVICE.full_name, SERVICE.full_name + ROOM):
                assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING
        # An exported variable wins over the file.
        assert upstream.requests[0].headers["authorization"] == "Bearer sk-test"


async def test_start_line_says_what_to_do_without_a_provider(tmp_path: Path) -> None:
    with running("models", tmp_path) as service:
        assert "no provider is configured: set OPENAI_API_KEY or ANTHROPIC_API_KEY" in service.line
        assert "RegisterModel" in service.line


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such policy")
async def test_threads_do_not_interrupt_each_other(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.play(json_answer(completion()))
    async with called(tmp_path, upstream) as (service, channel):
        await models_pb2_grpc.ModelServiceStub(channel).Chat(chat_request())
        threads = [int(thread.name) for thread in Path(f"/proc/{service.pid}/task").iterdir()]
        assert len(threads) > 5
        assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_BATCH}


async def test_idle_service_ends_at_once(tmp_path: Path) -> None:
    with running("models", tmp_path) as service:
        async with grpc.aio.insecure_channel(service.address) as channel:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            stopped_at = time.monotonic()
            service.send(signal.SIGTERM)
            code = await service.end()
        # Of a grace of 30 s, on a busy machine.
        assert time.monotonic() - stopped_at < 15
        assert code == 0
        assert service.read_rest() == "", "it has said more than one line"
        events = [entry["event"] for entry in service.entries()]
        assert [event for event in events if event in ("draining", "stopped")] == ["draining", "stopped"]


async def test_sigint_before_a_call_ends_it_cleanly(tmp_path: Path) -> None:
    with running("models", tmp_path) as service:
        service.send(signal.SIGINT)
        code = await service.end()
        assert code == 0


async def closed(address: str) -> None:
    """Waits until nobody listens there. A call that comes while the port is being closed may be cancelled by grpc."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                continue
            writer.close()


async def test_stream_in_flight_finishes_before_a_stop(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    upstream.play(streamed_completion(piece("a"), gate, piece("b")))
    async with called(tmp_path, upstream) as (service, channel), grpc.aio.insecure_channel(service.address) as other:
        stream = aiter(models_pb2_grpc.ModelServiceStub(channel).ChatStream(chat_request()))
        assert (await anext(stream)).token == "a"
        watch = health_pb2_grpc.HealthStub(other).Watch(health_pb2.HealthCheckRequest(service=SERVICE.full_name))
        assert (await watch.read()).status == SERVING

        service.send(signal.SIGTERM)
        assert (await asyncio.wait_for(watch.read(), 5)).status == NOT_SERVING
        await closed(service.address)
        refused = health_pb2_grpc.HealthStub(grpc.aio.insecure_channel(service.address))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await refused.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

        gate.set()
        chunks = [chunk async for chunk in stream]
        assert chunks[0].token == "b"
        assert chunks[-1].response.text == "ab"
        code = await service.end()
    assert code == 0
    assert [entry["code"] for entry in service.entries() if entry["event"] == "rpc"] == ["OK"]


async def test_second_signal_cuts_what_is_in_flight(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.play(streamed_completion(piece("a"), asyncio.Event()))
    async with called(tmp_path, upstream) as (service, channel):
        stream = aiter(models_pb2_grpc.ModelServiceStub(channel).ChatStream(chat_request()))
        assert (await anext(stream)).token == "a"
        await _stop_draining(service, channel)
        cut_at = asyncio.get_running_loop().time()
        service.send(signal.SIGTERM)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(stream)
        assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert await upstream.requests[0].closed_by_peer() - cut_at < 1
        code = await service.end()
    assert code == 0


async def _stop_draining(service: Service, channel: grpc.aio.Channel) -> None:
    """Sends the first signal, and returns when it was heeded: two at once would be one."""
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == SERVING
    service.send(signal.SIGTERM)
    assert (await asyncio.wait_for(watch.read(), 5)).status == NOT_SERVING


async def test_grace_is_not_longer_than_the_operator_wants(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.play(streamed_completion(piece("a"), asyncio.Event()))
    async with called(tmp_path, upstream, GENAI_GRACE_SECONDS="0.2") as (service, channel):
        stream = aiter(models_pb2_grpc.ModelServiceStub(channel).ChatStream(chat_request()))
        assert (await anext(stream)).token == "a"
        service.send(signal.SIGTERM)
        code = await service.end(5)
    assert code == 0
    assert service.entries()[-1]["event"] == "stopped"


# ------------------------------------------------------------------------------------------- what cannot start


def with_bad_port(_: Path) -> dict[str, str]:
    return {"MODELS_PORT": "eighty-CANARY"}


def with_a_directory_for_env(directory: Path) -> dict[str, str]:
    (directory / ".env").mkdir()
    return {}


def with_an_env_that_is_no_text(directory: Path) -> dict[str, str]:
    (directory / ".env").write_bytes(b"OPENAI_API_KEY=\xff\xfeCANARY\n")
    return {}


def with_a_corrupt_database(directory: Path) -> dict[str, str]:
    (directory / "data").mkdir()
    (directory / "data" / "models.db").write_bytes(b"this is no database, CANARY " * 1000)
    return {}


CANNOT_START: dict[Callable[[Path], dict[str, str]], str] = {
    with_bad_port: "MODELS_PORT: ",
    with_a_directory_for_env: ".env cannot be read: is a directory",
    with_an_env_that_is_no_text: ".env cannot be read: it is not UTF-8 text",
    with_a_corrupt_database: "models.db: the storage is corrupt or no database",
}


@pytest.mark.parametrize(("prepare", "text"), CANNOT_START.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_what_cannot_start_says_why_in_one_line(
    tmp_path: Path, prepare: Callable[[Path], dict[str, str]], text: str
) -> None:
    line = _failed_start(tmp_path, **prepare(tmp_path))
    assert text in line
    assert "CANARY" not in line


OTHER_MISTAKES: dict[str, tuple[dict[str, str], str]] = {
    "port out of range": ({"MODELS_PORT": "65536"}, "MODELS_PORT: "),
    "data directory that is a file": ({"GENAI_DATA_DIR": "/dev/null"}, "/dev/null"),
    "database of nobody": ({"MODELS_DATABASE_URL": "mysql://user:CANARY@localhost/models"}, "write sqlite:///path or"),
    "base URL without a scheme": (
        {"OPENAI_API_KEY": "sk-CANARY", "OPENAI_BASE_URL": "localhost/v1"},
        "OPENAI_BASE_URL must be an http or https URL",
    ),
    "key that is mapped nowhere": ({"MODELS_CREDENTIALS": "MINE_API_KEY=CANARY"}, "MODELS_CREDENTIALS: entry 1"),
    "overrides of nobody": ({"MODELS_OVERRIDES": "CANARY"}, "MODELS_OVERRIDES: "),
    "policy of nobody": ({"MODELS_RETIRED_POLICY": "CANARY"}, "MODELS_RETIRED_POLICY: "),
    "host of another machine": (
        {"GENAI_HOST": "192.0.2.1", "GENAI_INSECURE": "yes", "MODELS_PORT": "50053"},
        "cannot listen on 192.0.2.1:50053",
    ),
}


@pytest.mark.parametrize(("environment", "text"), OTHER_MISTAKES.values(), ids=OTHER_MISTAKES.keys())
async def test_mistake_in_the_settings_is_named_without_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], text: str
) -> None:
    """In this process: what becomes of a StartupError in a process of its own, the test above shows."""
    (tmp_path / ".env").touch()
    monkeypatch.chdir(tmp_path)
    for name, value in ({"MODELS_PORT": "0", "GENAI_DATA_DIR": str(tmp_path)} | environment).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StartupError) as caught:
        await main.start()
    assert text in str(caught.value)
    assert "CANARY" not in str(caught.value)


def test_port_in_use_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = _failed_start(tmp_path, MODELS_PORT=str(port))
    assert line == f"models: cannot listen on 127.0.0.1:{port}: Address already in use"


def test_all_wrong_settings_are_told_at_once(tmp_path: Path) -> None:
    line = _failed_start(tmp_path, MODELS_PORT="x", GENAI_LOG_LEVEL="loud", GENAI_GRACE_SECONDS="-1")
    assert all(name in line for name in ("MODELS_PORT", "GENAI_LOG_LEVEL", "GENAI_GRACE_SECONDS"))


def _failed_start(directory: Path, **settings: str) -> str:
    """The one line of a service that does not start; beside it there may be its log's own, about the storage."""
    failed = run("models", directory, **settings)
    assert (failed.code, failed.output) == (EXIT_CONFIG, "")
    lines = failed.log.splitlines()
    [line] = [line for line in lines if line.startswith("models: ")]
    assert all("storage" in other or "SQLite" in json.loads(other)["event"] for other in lines if other != line)
    return line


def test_help_lists_every_variable_that_is_read(tmp_path: Path) -> None:
    helping = run("models", tmp_path, "--help")
    assert helping.code == 0
    for field in Settings.model_fields.values():
        assert str(field.validation_alias) in helping.output


def test_port_for_http_that_is_in_use_is_named_with_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        line = _failed_start(tmp_path, MODELS_HTTP_PORT=str(taken.getsockname()[1]))
    assert line.startswith("models: MODELS_HTTP_PORT: cannot listen on 127.0.0.1:")
    assert line.endswith("set another port, or 0 for none")


def test_provider_at_the_own_port_for_http_is_refused(tmp_path: Path) -> None:
    """As where the variables for clients are exported in the shell of the service: each chat would call itself."""
    port = str(free_port())
    settings = {"MODELS_HTTP_PORT": port, "OPENAI_API_KEY": "any", "MODELS_DISCOVERY": "off"}
    failed = run("models", tmp_path, OPENAI_BASE_URL=f"http://localhost:{port}/v1", **settings)
    assert (failed.code, failed.output) == (EXIT_CONFIG, "")
    assert failed.log.splitlines()[-1] == (
        f"models: OPENAI_BASE_URL: leads to this service's own port for HTTP, {port}, as its clients need it;"
        " unset it here, or set it to the provider's"
    )


def test_model_at_the_own_port_for_http_is_refused(tmp_path: Path) -> None:
    port = free_port()
    request = models_pb2.RegisterModelRequest(name="echo", endpoint=f"http://127.0.0.1:{port}/v1", adapter_type="vllm")
    with (
        running("models", tmp_path, MODELS_HTTP_PORT=str(port)) as service,
        grpc.insecure_channel(service.address) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        models_pb2_grpc.ModelServiceStub(channel).RegisterModel(request, timeout=10)
    assert refused.value.details() == (
        f"endpoint: the endpoint is the Model Service's own port for HTTP ({port}), by which it would call itself;"
        " name the server of the model instead"
    )


def test_port_of_a_connection_to_elsewhere_is_told_apart(tmp_path: Path) -> None:
    """The default ports are among those that the kernel gives to connections."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        port = client.getsockname()[1]
        line = _failed_start(tmp_path, MODELS_PORT=str(port))
    assert line == (
        f"models: cannot listen on 127.0.0.1:{port}: Address already in use by a connection to elsewhere, which leaves"
        " it a minute after its end; try again then"
    )


def test_second_service_of_a_machine_goes_without_the_port_for_http(tmp_path: Path) -> None:
    """Unless one was set: it is the default of both."""
    try:
        taken = socket.create_server(("127.0.0.1", DEFAULT_HTTP_PORT))
    except OSError:
        pytest.skip("another program of this machine has the default port")
    with taken, running("models", tmp_path, MODELS_HTTP_PORT="") as service:
        assert "for HTTP" not in service.line
        service.send(signal.SIGTERM)
        assert service.wait() == 0
        assert "there is no port for HTTP" in service.log()

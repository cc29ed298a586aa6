"""The connection behind a client: when it is made, who may use it, and what is said when there is none."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import grpc
import pytest

import genai_platform
from genai_platform import AsyncGenAIPlatform, ChatRequest, GenAIPlatform, Unavailable
from tests.services.gateway.raw_backend import raw_backend, reset
from tests.services.sdk.backend import WAIT_SECONDS, Backend, serving

ROOT = Path(genai_platform.__file__).parents[1]
REQUEST = ChatRequest(model="m")


@pytest.fixture
def dead_address() -> Iterator[str]:
    """An address at which nothing listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.2", 0))
        yield f"127.0.0.2:{holder.getsockname()[1]}"


async def test_making_and_closing_a_client_connects_to_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with GenAIPlatform(address):
            pass
        async with AsyncGenAIPlatform(address):
            pass
        with pytest.raises(TimeoutError):
            listener.accept()


async def test_call_that_the_server_resets_is_not_one_that_was_cancelled_here() -> None:
    cancel = 8
    async with raw_backend(reset(cancel)) as address, AsyncGenAIPlatform(address) as platform:
        with pytest.raises(Unavailable, match="far too busy") as caught:
            await platform.models.chat(REQUEST)
    assert (caught.value.reason, caught.value.retry_after) == ("CALL_RESET", None)


def test_a_client_may_be_made_outside_of_an_event_loop(backend: Backend) -> None:
    platform = AsyncGenAIPlatform(backend.address)

    async def use() -> None:
        async with platform:
            await platform.models.list_models()

    asyncio.run(use())


async def test_closing_twice_is_fine_and_a_closed_client_says_so(backend: Backend) -> None:
    platform = GenAIPlatform(backend.address)
    platform.models.list_models()
    platform.close()
    platform.close()
    with pytest.raises(RuntimeError, match="this client is closed"):
        platform.models.list_models()
    async_platform = AsyncGenAIPlatform(backend.address)
    await async_platform.models.list_models()
    await async_platform.close()
    await async_platform.close()
    with pytest.raises(RuntimeError, match="this client is closed"):
        await async_platform.models.list_models()


async def test_a_channel_that_was_given_is_used_and_left_open(backend: Backend) -> None:
    with grpc.insecure_channel(backend.address) as channel:
        GenAIPlatform(channel=channel).models.list_models()
        with GenAIPlatform(channel=channel) as platform:
            platform.models.list_models()
        GenAIPlatform(channel=channel).models.list_models()
    async with grpc.aio.insecure_channel(backend.address) as async_channel:
        async with AsyncGenAIPlatform(channel=async_channel) as async_platform:
            await async_platform.models.list_models()
        await AsyncGenAIPlatform(channel=async_channel).models.list_models()


def test_a_target_and_a_channel_exclude_each_other(backend: Backend) -> None:
    with grpc.insecure_channel(backend.address) as channel, pytest.raises(TypeError, match="not both"):
        GenAIPlatform(backend.address, channel=channel)


def test_an_async_client_belongs_to_one_event_loop(backend: Backend) -> None:
    async def check() -> None:
        async with AsyncGenAIPlatform(backend.address) as platform:
            await platform.models.list_models()
            elsewhere = asyncio.to_thread(asyncio.run, platform.models.list_models())
            with pytest.raises(RuntimeError, match="belongs to another event loop; make one for each"):
                await elsewhere

    asyncio.run(check())


def test_async_client_goes_on_in_a_new_event_loop_when_its_own_is_closed(backend: Backend) -> None:
    """As in a notebook, or with `asyncio.run` for each question."""
    platform = AsyncGenAIPlatform(backend.address)

    async def ask() -> str:
        await platform.models.chat(REQUEST)
        return "".join([text async for text in platform.models.stream_text(REQUEST)])

    async def ask_and_close() -> str:
        text = await ask()
        await platform.close()
        return text

    assert [asyncio.run(ask()), asyncio.run(ask()), asyncio.run(ask_and_close())] == ["Hello you"] * 3
    gc.collect()


def test_many_threads_share_a_client(backend: Backend) -> None:
    start = threading.Barrier(16)

    def chat(_: int) -> str:
        start.wait(WAIT_SECONDS)
        platform.models.chat(REQUEST)
        return "".join(platform.models.stream_text(REQUEST))

    with GenAIPlatform(backend.address) as platform, ThreadPoolExecutor(16) as threads:
        assert list(threads.map(chat, range(16))) == ["Hello you"] * 16


async def test_many_tasks_share_a_client() -> None:
    async with serving() as backend, AsyncGenAIPlatform(backend.address) as platform:
        await asyncio.gather(*(platform.models.chat(REQUEST) for _ in range(50)))
        assert backend.names() == ["Chat"] * 50


FORKED = """
import asyncio, os, sys
from genai_platform import AsyncGenAIPlatform, GenAIPlatform

address = sys.argv[1]
platform = GenAIPlatform(address)
platform.models.list_models()

async def call():
    async with AsyncGenAIPlatform(address) as platform:
        await platform.models.list_models()

child = os.fork()
if not child:
    try:
        platform.models.chat("Hi", model="m")
        asyncio.run(call())
        platform.close()
        os._exit(0)
    except BaseException as error:
        print(type(error), error, flush=True)
        os._exit(1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
platform.models.list_models()
print(status, "".join(platform.models.stream_text("Hi", model="m")))
"""
"""No call is in progress at the fork: grpc's own handlers of fork(2) then crash the child now and then."""


def test_a_client_works_on_both_sides_of_a_fork(backend: Backend) -> None:
    """In a process of its own: a fork takes the test's threads away."""
    command = [sys.executable, "-c", FORKED, backend.address]
    # The tests themselves do without what this is about.
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_ENABLE_FORK_SUPPORT"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout.splitlines()[-1:] == ["0 Hello you"], result


async def test_no_gateway_is_said_in_one_line_that_says_what_to_do(dead_address: str) -> None:
    with GenAIPlatform(dead_address, max_retries=0) as platform, pytest.raises(genai_platform.Unavailable) as caught:
        platform.models.chat(REQUEST)
    expected = f"no gateway answers at {dead_address}; start the services (genai serve) or set GENAI_GATEWAY_URL"
    assert (caught.value.details(), caught.value.reason) == (expected, "GATEWAY_UNREACHABLE")
    with GenAIPlatform(dead_address, max_retries=0) as platform, pytest.raises(genai_platform.Unavailable) as caught:
        list(platform.models.chat_stream(REQUEST))
    assert caught.value.details() == expected
    async with AsyncGenAIPlatform(dead_address, max_retries=0) as async_platform:
        with pytest.raises(genai_platform.Unavailable) as caught:
            await async_platform.models.list_models()
        assert caught.value.details() == expected
        with pytest.raises(genai_platform.Unavailable) as caught:
            await anext(async_platform.models.chat_stream(REQUEST))
        assert caught.value.details() == expected


def test_a_name_that_resolves_to_nothing_is_said_the_same_way() -> None:
    expected = r"no gateway answers at no-such-host\.invalid:50051"
    target = "no-such-host.invalid:50051"
    with GenAIPlatform(target, max_retries=0) as platform, pytest.raises(genai_platform.Unavailable, match=expected):
        platform.models.chat(REQUEST)


def test_a_dead_gateway_fails_fast_also_for_calls_that_are_retried(dead_address: str) -> None:
    with GenAIPlatform(dead_address) as platform:
        started = time.monotonic()
        for _ in range(5):
            with pytest.raises(genai_platform.Unavailable):
                platform.models.list_models()
        assert time.monotonic() - started < 3


async def test_a_gateway_that_stops_during_a_stream_is_an_error() -> None:
    async with AsyncExitStack() as stack:
        async with serving() as backend:
            backend.stream = backend.endless_stream
            platform = await stack.enter_async_context(AsyncGenAIPlatform(backend.address))
            stream = platform.models.chat_stream(REQUEST)
            await anext(stream)
        with pytest.raises(genai_platform.Unavailable, match="was lost before its answer was whole") as caught:
            [chunk async for chunk in stream]
    assert (caught.value.reason, caught.value.metadata) == ("GATEWAY_LOST", {"phase": "mid_stream"})


def test_a_connection_that_is_cut_is_said_to_be_lost() -> None:
    """A server that accepts, reads the preface and the call, and then hangs up."""
    settings = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(settings)
            data = b""
            while b"ModelService/Chat" not in data and b"application/grpc" not in data:
                data += connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        expected = f"{address} was lost before its answer was whole"
        with GenAIPlatform(address) as platform, pytest.raises(genai_platform.Unavailable, match=expected) as caught:
            platform.models.chat(REQUEST)
        thread.join()
    assert caught.value.reason == "GATEWAY_LOST"


def test_a_gateway_that_is_away_is_looked_for_twice_a_second_however_long_it_is_away() -> None:
    """It accepts and hangs up, as a gateway's address does before the gateway is back."""
    attempts: list[float] = []

    def hang_up() -> None:
        while len(attempts) < 5:
            connection, _ = listener.accept()
            connection.close()
            attempts.append(time.monotonic())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT_SECONDS)
        thread = threading.Thread(target=hang_up)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with GenAIPlatform(address) as platform:
            with pytest.raises(genai_platform.Unavailable):
                platform.models.chat(REQUEST)
            thread.join()
    assert max(later - earlier for earlier, later in pairwise(attempts)) < 0.9


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    backend: Backend, dead_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{dead_address}")
    monkeypatch.delenv("no_proxy", raising=False)
    with GenAIPlatform(backend.address) as platform:
        platform.models.list_models()


def test_tls_to_a_gateway_without_it_is_explained(backend: Backend) -> None:
    expected = "it does not speak TLS; write the target without https://"
    target = f"https://{backend.address}"
    with GenAIPlatform(target, max_retries=0) as platform, pytest.raises(genai_platform.Unavailable, match=expected):
        platform.models.chat(REQUEST)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return certificate, key


def test_https_and_grpcs_targets_are_spoken_to_over_tls(certificate: tuple[Path, Path]) -> None:
    """In a process of its own: grpc reads the trusted roots from the environment once."""
    code = (
        "import sys\n"
        "from genai_platform import GenAIPlatform\n"
        "for scheme in ('https', 'grpcs'):\n"
        "    with GenAIPlatform(f'{scheme}://localhost:{sys.argv[1]}') as platform:\n"
        "        print(platform.models.list_models().models[0].name)\n"
    )
    path, key = certificate
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), path.read_bytes())])
    server = grpc.server(ThreadPoolExecutor(1))
    answer = grpc.unary_unary_rpc_method_handler(
        lambda request, context: genai_platform.ListModelsResponse(models=[genai_platform.ModelInfo(name="secure")]),
        response_serializer=genai_platform.ListModelsResponse.SerializeToString,
    )
    handler = grpc.method_handlers_generic_handler("genai_platform.v1.ModelService", {"ListModels": answer})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_secure_port("localhost:0", credentials)
    server.start()
    try:
        result = subprocess.run(
            [sys.executable, "-c", code, str(port)],
            env={**os.environ, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.stdout.split() == ["secure", "secure"], result
    finally:
        server.stop(0).wait()

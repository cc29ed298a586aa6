"""The admin port: metrics, liveness and readiness, whatever the event loop and its clients do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proto import models_pb2
from services.shared import admin_port
from services.shared.admin_port import MAX_CONNECTIONS, AdminPort, open_admin_port
from services.shared.health import NOT_SERVING, SERVING
from services.shared.logs import open_log
from services.shared.loop_watch import LoopWatch
from services.shared.server import Server
from tests.rows import for_each
from tests.services.log_file import LogFile
from tests.services.model_service import LOG
from tests.support.admin import Page, Scrape, get, port_of
from tests.support.processes import EXIT_CONFIG, run, running, running_platform

SERVICE = models_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name
SERVICES = {"gateway", "models", "sessions"}


class Opened:
    """An admin port of this process, whose requests are made in threads."""

    def __init__(self, pages: AdminPort, port: int) -> None:
        self.pages = pages
        self.port = port

    async def get(self, path: str, method: str = "GET") -> Page:
        return await asyncio.to_thread(get, self.port, path, method=method)


@contextlib.asynccontextmanager
async def opened(read_health: Callable[[], Mapping[str, bool]] = dict) -> AsyncIterator[Opened]:
    log = LogFile()
    async with open_admin_port("test", "127.0.0.1", 0, open_log("test", file=log)) as pages:
        await log.written(1)
        with LoopWatch(LOG) as watch:
            pages.follow(read_health, watch)
            yield Opened(pages, int(log.entries()[0]["port"]))


@contextlib.contextmanager
def connections(port: int, number: int) -> Iterator[list[socket.socket]]:
    """Connections that send nothing by themselves."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(number)]


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


def is_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_every_process_serves_its_metrics_and_its_health(tmp_path: Path) -> None:
    ports = {f"{name.upper()}_ADMIN_PORT": "0" for name in SERVICES}
    with running_platform(tmp_path, **ports) as platform:
        for name, service in platform.services.items():
            port = port_of(service)
            assert get(port, "/livez").status == 200
            wait_until(lambda port=port: get(port, "/readyz").status == 200)
            assert get(port, "/readyz") == Page(200, "ready\n", "text/plain; charset=utf-8")
            scrape = Scrape.of(port)
            assert scrape.values("genai_build_info", "process") == {name}
            assert scrape.sum("genai_inflight_calls", process=name) == 0
            assert {
                "process_resident_memory_bytes",
                "process_open_fds",
                "genai_event_loop_lag_seconds",
            } <= scrape.names()


def test_gateway_without_services_lives_and_is_not_ready(tmp_path: Path) -> None:
    with running("gateway", tmp_path, GATEWAY_ADMIN_PORT="0", MODELS_ADDRESS="127.0.0.1:1") as gateway:
        port = port_of(gateway)
        assert get(port, "/livez").status == 200
        wait_until(lambda: f"not serving: {SERVICE}\n" in get(port, "/readyz").text)
        assert get(port, "/readyz").status == 503


@for_each("name", sorted(SERVICES))
def test_port_in_use_ends_the_start_with_one_line(name: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(name, tmp_path, **{f"{name.upper()}_ADMIN_PORT": str(port)})
    assert ended.code == EXIT_CONFIG
    assert ended.log.splitlines()[-1] == (
        f"{name}: cannot listen on 127.0.0.1:{port}, the admin port: address already in use"
    )
    assert not list(tmp_path.glob("data/*")), "found before anything is stored"


def test_there_is_no_admin_port_unless_it_is_set(tmp_path: Path) -> None:
    with running("sessions", tmp_path) as sessions:
        assert not [entry for entry in sessions.entries() if entry.get("event") == "admin port"]


async def test_readiness_follows_the_health_of_the_server() -> None:
    server = Server([], [SERVICE])
    async with opened(server.read_health) as admin:
        not_ready = await admin.get("/readyz")
        assert (not_ready.status, not_ready.text) == (503, f"not serving: the process\nnot serving: {SERVICE}\n")
        await server.ready()
        assert (await admin.get("/readyz")).status == 200
        await server.health.set(SERVICE, NOT_SERVING)
        assert (await admin.get("/readyz")).text == f"not serving: {SERVICE}\n"
        await server.health.set(SERVICE, SERVING)
        await server.health.drain()
        assert (await admin.get("/readyz")).status == 503
        assert (await admin.get("/livez")).status == 200, "a process that drains is to be left alone"


async def test_hanging_event_loop_is_reported_while_it_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_port, "LIVE_SECONDS", 0.5)
    # A page that was made a moment ago would be given again, for as long as a busy machine has made it.
    monkeypatch.setattr(admin_port, "PAUSES_PER_WRITE", 0)
    async with opened() as admin:
        assert (await admin.get("/livez")).status == 200
        with ThreadPoolExecutor(1) as thread:
            # The event loop hangs here until the thread has seen it.
            lag = thread.submit(wait_until_dead, admin.port).result()
        assert lag >= 0.5
        await asyncio.to_thread(wait_until, lambda: get(admin.port, "/livez").status == 200)
        assert lag_of(admin.port) >= 0.5


def wait_until_dead(port: int) -> float:
    """The lag of the event loop, once it has not run for too long."""
    wait_until(lambda: get(port, "/livez").status == 503)
    return lag_of(port)


def lag_of(port: int) -> float:
    return Scrape.of(port).sum("genai_event_loop_lag_seconds")


async def test_clients_that_say_nothing_do_not_keep_others_out() -> None:
    async with opened() as admin:
        with connections(admin.port, 3 * MAX_CONNECTIONS) as silent:
            assert (await admin.get("/metrics")).status == 200
            assert await asyncio.to_thread(is_ended, silent[0])
            threads = [thread for thread in threading.enumerate() if "process_request_thread" in thread.name]
            assert len(threads) <= MAX_CONNECTIONS


async def test_a_client_that_sends_slowly_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_port, "CONNECTION_SECONDS", 0.5)
    async with opened() as admin:
        with connections(admin.port, 1) as [slow]:
            assert await asyncio.to_thread(drip, slow) < 5


def drip(connection: socket.socket) -> float:
    """The seconds until a request that never ends is ended by the server."""
    begun = time.monotonic()
    with contextlib.suppress(ConnectionError):
        connection.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        while time.monotonic() < begun + 10:
            connection.sendall(b"x")
            time.sleep(0.02)
    return time.monotonic() - begun


@for_each(
    "request_bytes",
    [
        b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100_000,
        b"GET /" + b"x" * 100_000,
        b"\x16\x03\x01" + b"\0" * 10_000,
    ],
    ids=["endless header", "endless line", "not HTTP"],
)
async def test_a_request_that_is_too_long_gets_no_answer(request_bytes: bytes) -> None:
    async with opened() as admin:
        with connections(admin.port, 1) as [client]:
            with contextlib.suppress(ConnectionError):
                client.sendall(request_bytes)
            assert await asyncio.to_thread(is_ended, client)
        assert (await admin.get("/livez")).status == 200


async def test_other_paths_and_methods_are_refused() -> None:
    async with opened() as admin:
        assert (await admin.get("/metrics/../etc")).status == 404
        assert (await admin.get("/livez", "POST")).status == 405
        assert (await admin.get("/livez", "HEAD")) == Page(200, "", "text/plain; charset=utf-8")

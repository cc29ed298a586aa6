"""The Session Service as a process: how it starts, what it says, and what a kill leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import func, select

from proto import sessions_pb2 as pb
from proto.sessions_pb2_grpc import SessionServiceStub
from services.sessions.expiry import purge_expired_sessions
from services.sessions.tables import sessions
from services.shared.logs import open_log
from tests.services.sessions_fixtures import Service, served

ROOT = Path(__file__).resolve().parents[2]
BY_PATH = ["services/sessions/main.py"]
BY_MODULE = ["-m", "services.sessions.main"]
EXIT_CONFIG = 78
START_SECONDS = 20.0
CALL_SECONDS = 20.0


def environment(data: Path, **variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SESSIONS_", "GENAI_"))}
    return {**kept, "SESSIONS_PORT": "0", "GENAI_DATA_DIR": str(data), "GENAI_LOG_LEVEL": "error", **variables}


@contextlib.contextmanager
def started(
    data: Path, command: list[str] | None = None, **variables: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, when it serves, and the line that it printed."""
    process = subprocess.Popen(
        [sys.executable, *(command or BY_PATH)],
        cwd=ROOT,
        env=environment(data, **variables),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().rstrip("\n")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextlib.asynccontextmanager
async def connected(line: str) -> AsyncIterator[SessionServiceStub]:
    found = re.search(r"listening on (\S+),", line)
    assert found, line
    async with grpc.aio.insecure_channel(found.group(1)) as channel:
        yield SessionServiceStub(channel)


def refused(data: Path, **variables: str) -> str:
    """What a process that must not start says."""
    finished = subprocess.run(
        [sys.executable, *BY_PATH],
        cwd=ROOT,
        env=environment(data, **variables),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (EXIT_CONFIG, "")
    lines = [line for line in finished.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("command", [BY_PATH, BY_MODULE])
async def test_it_starts_says_where_and_drains_on_sigterm(tmp_path: Path, command: list[str]) -> None:
    with started(tmp_path, command) as (process, line):
        assert re.fullmatch(rf"sessions: listening on 127\.0\.0\.1:\d+, data in {tmp_path}/sessions\.db", line)
        address = line.split()[3].rstrip(",")
        async with grpc.aio.insecure_channel(address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            for name in ("", "genai_platform.v1.SessionService"):
                answer = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=CALL_SECONDS)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
        process.send_signal(signal.SIGTERM)
        assert process.wait(START_SECONDS) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["sessions.db"]


async def test_it_serves_from_postgresql_without_saying_the_password(tmp_path: Path, postgresql_url: str) -> None:
    url = postgresql_url.replace("postgres@", "postgres:hunter2@")
    with started(tmp_path, SESSIONS_DATABASE_URL=url) as (_, line):
        assert ", data in postgresql://" in line
        assert "hunter2" not in line
        async with connected(line) as stub:
            await stub.CreateSession(pb.CreateSessionRequest(session_id="s"), timeout=CALL_SECONDS)
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_variable() -> None:
    shown = subprocess.run(
        [sys.executable, *BY_PATH, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for variable in ("SESSIONS_PORT", "SESSIONS_DATABASE_URL", "GENAI_HOST", "GENAI_DATA_DIR"):
        assert variable in shown


def test_a_port_in_use_stops_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(tmp_path, SESSIONS_PORT=str(port))
    assert line.startswith(f"sessions: cannot listen on 127.0.0.1:{port}")
    assert list(tmp_path.iterdir()) == []


def test_all_bad_settings_are_named_at_once(tmp_path: Path) -> None:
    line = refused(tmp_path, SESSIONS_PORT="70000", GENAI_LOG_LEVEL="loud")
    assert "SESSIONS_PORT" in line
    assert "GENAI_LOG_LEVEL" in line


def test_a_bad_database_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "sessions.db").write_text("not a database, but long enough to be taken for one\n" * 100)
    assert "no database" in refused(tmp_path)
    assert "cannot be created" in refused(Path("/proc/nowhere/data"))
    assert "hunter2" not in refused(tmp_path, SESSIONS_DATABASE_URL="postgresql://u:hunter2@127.0.0.1:99999/d")


async def test_expired_sessions_are_removed_in_the_background(sqlite_file: Path) -> None:
    async with served(f"sqlite:///{sqlite_file}") as service:
        await service.create("s", ttl=Duration(seconds=1))
        service.clock.advance(2)
        log = open_log("sessions", level="error")
        purging = asyncio.create_task(purge_expired_sessions(service.store, log, every_seconds=0.01))
        deadline = time.monotonic() + 10
        while await count_rows(service):
            assert time.monotonic() < deadline
        purging.cancel()


async def count_rows(service: Service) -> int:
    async with service.database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(sessions)))

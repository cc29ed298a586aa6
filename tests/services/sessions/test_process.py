"""The Session Service as a process: its start, its output, and the state after a kill."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from pathlib import Path

import grpc
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import func, select

from proto import sessions_pb2 as pb
from proto.sessions_pb2_grpc import SessionServiceStub
from services.sessions.expiry import purge_expired_sessions
from services.sessions.tables import sessions
from services.shared.logs import open_log
from tests.services.session_service import Service, served
from tests.support.processes import EXIT_CONFIG, run, running

CALL_SECONDS = 20.0


def refused(directory: Path, **settings: str) -> str:
    """What a process that must not start says."""
    finished = run("sessions", directory, **{"GENAI_LOG_LEVEL": "error", **settings})
    assert (finished.code, finished.output) == (EXIT_CONFIG, "")
    [line] = [line for line in finished.log.splitlines() if not line.startswith("{")]
    return line


async def test_service_starts_and_drains_on_sigterm(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running("sessions", tmp_path, as_module=True) as service:
        assert service.line == f"sessions: listening on {service.address}, data in {data}/sessions.db"
        async with grpc.aio.insecure_channel(service.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            for name in ("", "genai_platform.v1.SessionService"):
                answer = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=CALL_SECONDS)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
        service.send(signal.SIGTERM)
        assert service.wait() == 0
    assert {file.name for file in data.iterdir()} == {"sessions.db", "sessions.db-served", "sessions.db-turn"}


async def test_service_on_postgresql_does_not_print_the_password(tmp_path: Path, postgresql_url: str) -> None:
    url = postgresql_url.replace("postgres@", "postgres:hunter2@")
    with running("sessions", tmp_path, SESSIONS_DATABASE_URL=url) as service:
        assert ", data in postgresql://" in service.line
        assert "hunter2" not in service.line
        async with grpc.aio.insecure_channel(service.address) as channel:
            stub = SessionServiceStub(channel)
            await stub.CreateSession(pb.CreateSessionRequest(session_id="s"), timeout=CALL_SECONDS)
    assert not (tmp_path / "data").exists()


def test_help_names_every_variable(tmp_path: Path) -> None:
    shown = run("sessions", tmp_path, "--help")
    assert shown.code == 0
    for variable in ("SESSIONS_PORT", "SESSIONS_DATABASE_URL", "GENAI_HOST", "GENAI_DATA_DIR"):
        assert variable in shown.output


def test_a_port_in_use_stops_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(tmp_path, SESSIONS_PORT=str(port))
    assert line.startswith(f"sessions: cannot listen on 127.0.0.1:{port}")
    assert not (tmp_path / "data").exists()


def test_all_bad_settings_are_named_at_once(tmp_path: Path) -> None:
    line = refused(tmp_path, SESSIONS_PORT="70000", GENAI_LOG_LEVEL="loud")
    assert "SESSIONS_PORT" in line
    assert "GENAI_LOG_LEVEL" in line


def test_a_bad_database_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sessions.db").write_text("not a database, but long enough to be taken for one\n" * 100)
    assert "no database" in refused(tmp_path)
    assert "cannot be created" in refused(tmp_path, GENAI_DATA_DIR="/proc/nowhere/data")
    assert "hunter2" not in refused(tmp_path, SESSIONS_DATABASE_URL="postgresql://u:hunter2@127.0.0.1:99999/d")


async def test_expired_sessions_are_removed_in_the_background(sqlite_file: Path) -> None:
    async with served(f"sqlite:///{sqlite_file}") as service:
        await service.create("s", ttl=Duration(seconds=1))
        service.clock.advance(2)
        log = open_log("sessions", level="error")
        purging = asyncio.create_task(purge_expired_sessions(service.store, log, interval_seconds=0.01))
        deadline = time.monotonic() + 10
        while await count_rows(service):
            assert time.monotonic() < deadline
        purging.cancel()


async def count_rows(service: Service) -> int:
    async with service.database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(sessions)))

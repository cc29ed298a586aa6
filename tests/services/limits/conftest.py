"""The stores of limits, each in front of a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.models.limits import limiter, loading, time_limits
from tests.support.redis import RedisServer, find_program, running_redis

PATIENCE_SECONDS = 30.0


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis server. It may be stopped: who asks for its URL finds it running again, and empty."""
    program = find_program()
    if program is None:
        pytest.skip("no redis-server is installed")
    with running_redis(program) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    redis_server.start()
    redis_server.empty()
    return redis_server.url


@pytest.fixture
def patient_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores that are waited for: their limits of time are for servers that are away, and not for a busy machine."""
    for name in ("COMMAND_SECONDS", "CONNECT_SECONDS"):
        monkeypatch.setattr(time_limits, name, PATIENCE_SECONDS)
    monkeypatch.setattr(loading, "LOAD_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(limiter, "SETTLE_SECONDS", PATIENCE_SECONDS)

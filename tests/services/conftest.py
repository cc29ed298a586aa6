"""What the tests of several modules are run against, where starting one for each test would prove nothing more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.models.health import results
from services.shared import postgresql, sqlite
from services.shared.postgresql import PostgreSQL
from tests.scripted_upstream import ScriptedUpstream
from tests.services.model_service import ModelService, model_service
from tests.services.vendor_answers import answered_in_any_dialect

PATIENCE_SECONDS = 60.0


@pytest.fixture
def patient_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Storage that is waited for: its limits of time are for servers that are away, and not for a busy machine."""
    monkeypatch.setattr(PostgreSQL, "answer_seconds", PATIENCE_SECONDS)
    monkeypatch.setattr(PostgreSQL, "crowded_seconds", PATIENCE_SECONDS)
    monkeypatch.setattr(postgresql, "POOL_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(sqlite, "CROWDED_SECONDS", PATIENCE_SECONDS)
    for limit in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        monkeypatch.setitem(postgresql._SESSION_SETTINGS, limit, f"{PATIENCE_SECONDS:g}s")


@pytest.fixture
def hasty_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite that is soon busy: for tests in which nobody releases what is waited for."""
    monkeypatch.setattr(sqlite, "CROWDED_SECONDS", 0.2)
    monkeypatch.setattr(sqlite, "BUSY_MILLISECONDS", 100)
    monkeypatch.setattr(sqlite, "_WRITER", (*sqlite._WRITER, "PRAGMA busy_timeout = 100"))


@pytest.fixture
def patient_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes that do not give up: for tests of what they find, on a machine however busy."""
    monkeypatch.setattr(results, "PROBE_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def hasty_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes that soon give up: for tests of servers that never answer."""
    monkeypatch.setattr(results, "PROBE_SECONDS", 0.3)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=answered_in_any_dialect) as upstream:
        yield upstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_service(
    tmp_path_factory: pytest.TempPathFactory, module_upstream: ScriptedUpstream
) -> AsyncIterator[ModelService]:
    """A Model Service, one for a module whose tests run in the module's loop and change nothing that others see."""
    async with model_service(tmp_path_factory.mktemp("models"), module_upstream) as service:
        yield service


@pytest.fixture
def shared_upstream(module_upstream: ScriptedUpstream) -> ScriptedUpstream:
    """The provider behind the shared service, which answers `Hi.` to anything and has not been asked by this test."""
    module_upstream.requests.clear()
    return module_upstream


@pytest.fixture
async def service(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[ModelService]:
    """A Model Service in front of the upstream of the same test."""
    async with model_service(tmp_path, upstream) as service:
        yield service

